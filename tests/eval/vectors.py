"""Vectors of the local embedding model, kept between runs."""

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from llm_gateway.minilm.artifact import ensure, weights_folder
from llm_gateway.minilm.encoder import Encoder
from llm_gateway.minilm.windows import pool
from numpy.typing import NDArray

_COMMIT_EVERY = 64
_REPORT_S = 20.0


class VectorCache:
    """all-MiniLM-L6-v2 as llm-gateway runs it, in this process; vectors are cached by text."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._artifact = ensure(weights_folder(None), folder / "models", "int8")
        self._encoder: Encoder | None = None
        self._db = sqlite3.connect(folder / f"vectors-{self._artifact.version}.sqlite")
        self._db.execute("create table if not exists vector (key blob primary key, value blob)")

    @property
    def model(self) -> str:
        """The version of the converted model."""
        return f"all-minilm-l6-v2@{self._artifact.version}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, one row a text."""
        rows: list[NDArray[np.float32]] = []
        reported = time.monotonic()
        for number, text in enumerate(texts, start=1):
            rows.append(self._one(text))
            if number % _COMMIT_EVERY == 0:
                self._db.commit()
            if time.monotonic() - reported > _REPORT_S:
                reported = time.monotonic()
                print(f"  embedded {number:,} of {len(texts):,}", flush=True)
        self._db.commit()
        return np.array(rows)

    def _one(self, text: str) -> NDArray[np.float32]:
        key = hashlib.sha256(text.encode()).digest()
        found = self._db.execute("select value from vector where key = ?", (key,)).fetchone()
        if found:
            return np.frombuffer(found[0], np.float32)
        self._encoder = self._encoder or Encoder(self._artifact)
        first = self._encoder.window(text, 0)
        rest = [self._encoder.window(text, index) for index in range(1, first.windows)]
        vector = pool([first, *rest]).astype(np.float32)
        self._db.execute("insert into vector values (?, ?)", (key, vector.tobytes()))
        return vector
