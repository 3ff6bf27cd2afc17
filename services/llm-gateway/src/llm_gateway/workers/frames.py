"""The wire format between the service and its worker processes.

A frame is two lengths (uint32, little-endian), a JSON head and a binary tail. Work goes down as
pieces `[text, window, keep]`; the answer's head has a row for each piece, its tail their vector
sums, then the token vectors of those of which they were wanted.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from llm_gateway.minilm.windows import HIDDEN, Window

_LENGTHS = struct.Struct("<II")
PREFIX_BYTES = _LENGTHS.size


@dataclass(frozen=True, slots=True)
class Piece:
    """One window of one text; `keep` is an encoder's `Keep`."""

    text: str
    window: int
    keep: str = ""


class ByteReader(Protocol):
    """Reads exactly `size` bytes; b"" or fewer bytes at the end of the stream."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102


def pack(head: dict[str, Any], tail: bytes = b"") -> bytes:
    """One frame."""
    body = json.dumps(head, separators=(",", ":")).encode()
    return _LENGTHS.pack(len(body), len(tail)) + body + tail


def lengths(prefix: bytes) -> tuple[int, int]:
    """Bytes of head and tail that follow a frame's first `PREFIX_BYTES`."""
    head, tail = _LENGTHS.unpack(prefix)
    return head, tail


def read(stream: ByteReader) -> tuple[dict[str, Any], bytes] | None:
    """The next frame of a blocking stream; None at its end."""
    prefix = stream.read(PREFIX_BYTES)
    if len(prefix) < PREFIX_BYTES:
        return None
    head, tail = lengths(prefix)
    return json.loads(stream.read(head)), stream.read(tail)


def pack_windows(windows: list[Window], cpu_ns: int) -> bytes:
    """The answer to a frame of pieces: their windows, and the CPU time they took."""
    rows = [
        [window.tokens, window.windows, window.text_tokens, len(window.token_vectors)]
        for window in windows
    ]
    sums = np.stack([window.vector_sum for window in windows]).astype("<f4")
    kept = b"".join(window.token_vectors for window in windows)
    return pack({"rows": rows, "cpu_ns": cpu_ns}, sums.tobytes() + kept)


def unpack_windows(head: dict[str, Any], tail: bytes) -> list[Window]:
    """The windows in the answer to a frame of pieces, in order."""
    rows = head["rows"]
    sums = np.frombuffer(tail, "<f4", len(rows) * HIDDEN).reshape(-1, HIDDEN)
    found: list[Window] = []
    start = sums.nbytes
    for vector_sum, (tokens, windows, text_tokens, kept) in zip(sums, rows, strict=True):
        token_vectors = tail[start : start + kept]
        found.append(Window(vector_sum, tokens, windows, text_tokens, token_vectors))
        start += kept
    return found
