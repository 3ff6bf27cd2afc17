"""The queue in front of the workers: who is served next.

Two lanes: interactive work (a person waits) goes before bulk work (ingest). Within a lane the
jobs take turns, a slice each, so that no job waits for the whole of another. A slice is small, so
that an interactive job never waits long for a worker that is busy with bulk.
"""

import asyncio
import enum
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llm_gateway.minilm.windows import WINDOW_TOKENS, Keep, Window, pool
from llm_gateway.workers.frames import Piece

# Roughly how many tokens a slice holds: about 60 ms and 15 ms of one core.
_SLICE_TOKENS = {"bulk": WINDOW_TOKENS, "interactive": WINDOW_TOKENS // 4}
# English has about 4 characters a token, code and other scripts fewer; only slicing depends on it.
_CHARACTERS_PER_TOKEN = 3


class Lane(enum.StrEnum):
    """Where a job waits."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Unit vectors of texts, in order, and the tokens of each; `cpu_us` is what all took.

    `token_vectors` are those of `minilm.token_vectors`, empty where they were not asked for.
    """

    vectors: list[NDArray[np.float32]]
    tokens: list[int]
    cpu_us: int
    version: str
    token_vectors: list[bytes]


@dataclass(slots=True, eq=False)
class Job:
    """Texts to be embedded, and what has come back so far.

    `deadline` is in seconds of `time.monotonic`. `finished` resolves to the version of the model
    when the last window is in.
    """

    texts: list[str]
    lane: Lane
    deadline: float
    finished: asyncio.Future[str]
    keep: Keep = ""
    cpu_ns: int = 0
    queued: bool = False
    waiting: deque[tuple[int, int]] = field(default_factory=deque)
    missing: int = 0
    windows: list[list[Window | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.waiting.extend((index, 0) for index in range(len(self.texts)))
        self.missing = len(self.texts)
        self.windows = [[None] for _ in self.texts]

    @property
    def cpu_us(self) -> int:
        """CPU microseconds spent so far, rounded half-even."""
        return round(self.cpu_ns / 1000)

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for it."""
        return not self.finished.done() and time.monotonic() < self.deadline

    def take(self) -> "Slice":
        """The next few windows, at least one, about a slice's worth of tokens."""
        budget = _SLICE_TOKENS[self.lane]
        taken: list[tuple[int, int]] = []
        while self.waiting:
            text, _ = self.waiting[0]
            budget -= min(WINDOW_TOKENS, len(self.texts[text]) // _CHARACTERS_PER_TOKEN + 2)
            if taken and budget < 0:
                break
            taken.append(self.waiting.popleft())
        return Slice(self, taken)

    def accept(self, places: list[tuple[int, int]], windows: list[Window], version: str) -> None:
        """Stores what came back; a text that turned out longer adds its other windows."""
        for (text, index), window in zip(places, windows, strict=True):
            if index == 0 and window.windows > 1:
                self.windows[text] += [None] * (window.windows - 1)
                self.waiting.extend((text, later) for later in range(1, window.windows))
                self.missing += window.windows - 1
            self.windows[text][index] = window
        self.missing -= len(windows)
        if self.missing == 0 and not self.finished.done():
            self.finished.set_result(version)

    def result(self, version: str) -> Embedded:
        """The vectors, once finished."""
        parts = [[window for window in text if window is not None] for text in self.windows]
        vectors = [pool(windows) for windows in parts]
        tokens = [text[0].text_tokens for text in parts]
        kept = [b"".join(window.token_vectors for window in windows) for windows in parts]
        return Embedded(vectors, tokens, self.cpu_us, version, kept)


@dataclass(slots=True)
class Slice:
    """Windows of one job that a worker does in one go."""

    job: Job
    places: list[tuple[int, int]]
    attempts: int = 0

    @property
    def pieces(self) -> list[Piece]:
        """What to send."""
        keep = self.job.keep
        return [Piece(self.job.texts[text], window, keep) for text, window in self.places]


class Lanes:
    """Jobs by lane, and slices to be done again."""

    def __init__(self) -> None:
        self._jobs: dict[Lane, deque[Job]] = {lane: deque() for lane in Lane}
        self._again: deque[Slice] = deque()

    def add(self, job: Job) -> None:
        """Queues a job that has windows waiting, unless it is queued, behind its lane's others."""
        if job.waiting and not job.queued:
            job.queued = True
            self._jobs[job.lane].append(job)

    def add_again(self, piece: Slice) -> None:
        """Puts a slice, whose worker died, in front of everything."""
        self._again.append(piece)

    def pending_texts(self, lane: Lane) -> int:
        """Texts that wait in a lane."""
        return sum(len(job.waiting) for job in self._jobs[lane] if job.wanted)

    def take(self) -> Slice | None:
        """The next slice; None when nothing waits. Jobs nobody waits for are dropped."""
        while self._again:
            piece = self._again.popleft()
            if piece.job.wanted:
                return piece
        for lane in Lane:
            if (piece := self._take_from(self._jobs[lane])) is not None:
                return piece
        return None

    def _take_from(self, jobs: deque[Job]) -> Slice | None:
        while jobs:
            job = jobs.popleft()
            job.queued = False
            if job.wanted:
                piece = job.take()
                self.add(job)
                return piece
        return None
