"""What a provider of answers is given and gives."""

import enum
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol

from llm_gateway.caching.plan import NO_MARKS, Marks
from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of knowledge that an answer may use. Data, never instructions."""

    chunk_id: str
    document_id: str
    title: str
    heading_path: tuple[str, ...]
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier message."""

    from_visitor: bool
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """Everything an answer is made from. `model` is the provider's own name of the model.

    `shown` is text that the visitor has already been shown as the beginning of this answer, which
    goes on right after it. `screen_text` is what the visitor's shared screen says, `screen_focus`
    the lines of it that the question seems to be about: data like passages, never instructions.
    `prompt_caching` says whether the agent has it on, `marks` what of the prompt shall be cached.
    `relevance`, 0–1, is retrieval's estimate that the passages answer. `prefix_tokens` is the
    provider's count of what stands before the history, 0 while it is not known.
    """

    model: str
    instructions: str
    history: tuple[Turn, ...]
    passages: tuple[Passage, ...]
    text: str
    max_tokens: int
    temperature_millis: int
    prompt_caching: bool
    screen_text: str = ""
    screen_focus: str = ""
    shown: str = ""
    response_cache: bool = False
    marks: Marks = NO_MARKS
    relevance: float = 0.0
    prefix_tokens: int = 0


class FinishReason(enum.Enum):
    """How an answer ended."""

    COMPLETE = enum.auto()
    UNSUPPORTED = enum.auto()
    MAX_TOKENS = enum.auto()
    PARTIAL = enum.auto()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """Answer text [answer_start, answer_end) rests on passage text [start, end), in code points."""

    passage: Passage
    start: int
    end: int
    answer_start: int
    answer_end: int

    @property
    def quote(self) -> str:
        """The passage's words."""
        return self.passage.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer; `support`, 0–1, says how well the passages carry its text."""

    reason: FinishReason
    support: float


Piece = TextDelta | Cited | Finished


class AnswerProvider(Protocol):
    """Writes answers. One implementation a file; `providers/__init__.py` lists them."""

    @property
    def kinds(self) -> frozenset[Unit]:
        """Every kind of unit that a call may use: each must have a price."""
        ...

    def at_most(self, question: Question) -> Mapping[Unit, int]:
        """An upper bound of the units that answering will use."""
        ...

    async def count(self, question: Question) -> int | None:
        """Tokens of the whole prompt as the provider counts them; None where it does not, in time.

        Costs a round trip and no money; never raises.
        """
        ...

    def answer(self, question: Question, meter: Meter) -> AsyncGenerator[Piece, None]:
        """Any number of deltas and citations, then one `Finished`; nothing else when UNSUPPORTED.

        Keeps `meter` up to date on the way, so that it is right whenever the stream ends.
        """
        ...

    async def close(self) -> None:
        """Gives back connections; no answer is asked for any more."""
        ...
