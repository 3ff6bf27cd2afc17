"""Texts to token vectors: tokenising and inference, a window at a time, in a worker process."""

from collections import OrderedDict

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from llm_gateway.minilm import token_vectors
from llm_gateway.minilm.artifact import Artifact
from llm_gateway.minilm.windows import Keep, Window, window_bounds

_REMEMBERED_TEXTS = 64


class Encoder:
    """The model of `artifact`, loaded; one thread, one text at a time.

    Texts are not batched: on one CPU thread a batch is no faster than its texts one by one, and
    alone each text needs no padding and gets the same vector whatever its neighbours are.
    """

    def __init__(self, artifact: Artifact) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(artifact.model), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(artifact.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._cls = self._special("[CLS]")
        self._sep = self._special("[SEP]")
        self._remembered: OrderedDict[str, list[int]] = OrderedDict()

    def window(self, text: str, index: int, keep: Keep = "") -> Window:
        """Window `index` (from 0) of `text`; an empty text has one window without content."""
        ids = self._token_ids(text)
        row, vectors = self.tokens(text, index)
        kept = _kept(vectors, row, keep)
        windows = len(window_bounds(len(ids)))
        return Window(vectors.sum(axis=0), len(row), windows, len(ids), kept)

    def tokens(self, text: str, index: int) -> tuple[list[int], NDArray[np.float32]]:
        """The ids of a window's tokens, the special ones at its ends, and the vector of each."""
        ids = self._token_ids(text)
        start, end = window_bounds(len(ids))[index]
        row = [self._cls, *ids[start:end], self._sep]
        return row, self._token_vectors(row)

    def _token_vectors(self, row: list[int]) -> NDArray[np.float32]:
        inputs = {
            "ids": np.array([row], np.int64),
            "lengths": np.array([len(row)], np.int32),
        }
        (tokens,) = self._session.run(["tokens"], inputs)
        return np.asarray(tokens)[0]

    def _token_ids(self, text: str) -> list[int]:
        # The windows of one text come as separate pieces of work; it is tokenised once.
        ids = self._remembered.get(text)
        if ids is None:
            ids = self._tokenizer.encode(text, add_special_tokens=False).ids
            self._remembered[text] = ids
            if len(self._remembered) > _REMEMBERED_TEXTS:
                self._remembered.popitem(last=False)
        return ids

    def _special(self, token: str) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise ValueError(f"the tokenizer has no {token}")
        return token_id


def _kept(vectors: NDArray[np.float32], ids: list[int], keep: Keep) -> bytes:
    if keep == "query":
        # The special tokens are not asked for, unless there is nothing else.
        part = slice(1, -1) if len(ids) > 2 else slice(None)
        return token_vectors.of_query(vectors[part], ids[part])
    return token_vectors.of_passage(vectors) if keep else b""
