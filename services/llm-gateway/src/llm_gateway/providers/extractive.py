"""The provider `local/extractive`: the best sentences of the best passages, cited, or none.

No model writes anything here, so nothing is said that the passages do not say.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from llm_gateway.entries import Meter
from llm_gateway.extractive.choosing import Choosing, choosing
from llm_gateway.extractive.composing import Part, compose
from llm_gateway.extractive.ranking import (
    Candidate,
    Query,
    Ranked,
    Vector,
    Weights,
    load_weights,
)
from llm_gateway.extractive.terms import terms
from llm_gateway.extractive.units import Unit as TextUnit
from llm_gateway.extractive.units import UnitKind, units
from llm_gateway.pricing import Unit
from llm_gateway.providers.minilm import MiniLm, most_compute_us
from llm_gateway.question import (
    Cited,
    Finished,
    FinishReason,
    Passage,
    Piece,
    Question,
    TextDelta,
)

# Embedding a unit takes about 8 ms of one core: many of them would be felt as waiting.
_MOST_EMBEDDED = 32
_MOST_OWN_US = 5_000_000

T = TypeVar("T")


class Extractive:
    """Answers with the passages' own sentences."""

    def __init__(self, embedder: MiniLm) -> None:
        self._embedder = embedder
        self._weights = load_weights()

    @property
    def kinds(self) -> frozenset[Unit]:
        """Compute only."""
        return frozenset({Unit.COMPUTE_US})

    def at_most(self, question: Question) -> Mapping[Unit, int]:
        """The CPU time of embedding the question and all that an answer could be made from."""
        texts = [_asked(question)]
        for passage in question.passages:
            texts += [passage.text, passage.title, *passage.heading_path]
        return {Unit.COMPUTE_US: most_compute_us(texts) + _MOST_OWN_US}

    async def count(self, question: Question) -> None:
        """Time is paid, not tokens."""

    async def answer(self, question: Question, meter: Meter) -> AsyncGenerator[Piece, None]:
        """Sentence by sentence, each followed by its citation."""
        prepared, own_ns = await asyncio.to_thread(_timed, lambda: prepare(question))
        _add(meter, own_ns)
        meter.complete = True
        parts: list[Part] = []
        if prepared.candidates:
            ranked = await self._ranked(prepared, meter)
            parts, own_ns = await asyncio.to_thread(
                _timed, lambda: compose_answer(question, prepared, ranked, self._weights)
            )
            _add(meter, own_ns)
        for piece in _pieces(parts):
            yield piece

    async def close(self) -> None:
        """Holds nothing of its own."""

    async def _ranked(self, prepared: "Prepared", meter: Meter) -> list[Ranked]:
        """The candidates that count, best first, with as few vectors made as that takes."""
        steps = prepared.choosing(self._weights)
        texts = next(steps)
        while True:
            vectors = await self._embedder.vectors(texts, meter)
            step, own_ns = await asyncio.to_thread(_timed, partial(_advance, steps, vectors))
            _add(meter, own_ns)
            if isinstance(step, Chosen):
                return step.ranked
            texts = step


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question and the units that may answer it, before anything is embedded."""

    asked: str
    query: Query
    candidates: list[Candidate]
    units_of: dict[str, list[TextUnit]]

    def choosing(self, weights: Weights) -> Choosing:
        """See `extractive.choosing`."""
        return choosing(self.asked, self.query, self.candidates, weights)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The candidates that count, best first."""

    ranked: list[Ranked]


def _advance(steps: Choosing, vectors: Sequence[Vector]) -> list[str] | Chosen:
    """The texts that are wanted next, or the end."""
    try:
        return steps.send(vectors)
    except StopIteration as end:
        return Chosen(end.value)


def compose_answer(
    question: Question, prepared: Prepared, ranked: Sequence[Ranked], weights: Weights
) -> list[Part]:
    """The parts of the answer; none when nothing is supported well enough."""
    return compose(
        ranked,
        prepared.units_of,
        weights.least_support,
        question.max_tokens,
        prepared.query.wants_steps,
    )


def _add(meter: Meter, own_ns: int) -> None:
    meter.report(Unit.COMPUTE_US, meter.units.get(Unit.COMPUTE_US, 0) + round(own_ns / 1000))


def prepare(question: Question) -> Prepared:
    """Cuts the passages into units and picks those that are worth embedding."""
    asked = _asked(question)
    units_of = {passage.chunk_id: units(passage.text) for passage in question.passages}
    candidates = _candidates(question.passages, units_of)
    query = Query(asked, candidates)
    return Prepared(asked, query, query.prefer(candidates, _MOST_EMBEDDED), units_of)


def _timed(work: Callable[[], T]) -> tuple[T, int]:
    """The result of `work`, and the CPU nanoseconds that it took of this thread."""
    started = time.thread_time_ns()
    return work(), time.thread_time_ns() - started


def _asked(question: Question) -> str:
    """The question, with what it is about on the visitor's screen.

    A question that leans on the one before comes together with it: conversation sees to that.
    """
    if question.screen_focus:
        return f"{question.text} {question.screen_focus}"
    return question.text


def _candidates(
    passages: Sequence[Passage], units_of: Mapping[str, list[TextUnit]]
) -> list[Candidate]:
    """All units but those whose text a better passage has already."""
    seen: set[str] = set()
    candidates: list[Candidate] = []
    for index, passage in enumerate(passages):
        outer = f"{passage.title} {' '.join(passage.heading_path)}"
        above: dict[str, frozenset[str]] = {}
        for unit in units_of[passage.chunk_id]:
            if unit.text in seen:
                continue
            seen.add(unit.text)
            if unit.heading not in above:
                above[unit.heading] = frozenset(terms(f"{outer} {unit.heading}"))
            words = tuple(terms(unit.text))
            candidates.append(Candidate(unit, passage, index, words, above[unit.heading]))
    return candidates


def _pieces(parts: Sequence[Part]) -> list[Piece]:
    if not parts:
        return [Finished(FinishReason.UNSUPPORTED, 0.0)]
    pieces: list[Piece] = []
    at = 0
    for part in parts:
        text = f"- {part.unit.text}" if part.unit.kind is UnitKind.ITEM else part.unit.text
        start = at + len(part.glue)
        at = start + len(text)
        pieces.append(TextDelta(part.glue + text))
        pieces.append(Cited(part.passage, part.unit.start, part.unit.end, start, at))
    pieces.append(Finished(FinishReason.COMPLETE, max(part.support for part in parts)))
    return pieces
