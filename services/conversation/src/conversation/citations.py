"""Citations are kept only when they are true: the quote stands in the passage that was sent."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Citation:
    """A part of an answer and the span of a chunk it rests on, both in Unicode code points."""

    document_id: str
    chunk_id: str
    title: str
    url: str
    start: int
    end: int
    quote: str
    answer_start: int
    answer_end: int

    def to_json(self) -> dict[str, Any]:
        """The form in which it is stored."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that was found and sent to the model; `score` is retrieval's, 0–1."""

    chunk_id: str
    document_id: str
    title: str
    url: str
    heading_path: tuple[str, ...]
    text: str
    score: float


def holds(citation: Citation, passages: Mapping[str, Passage], answer: str) -> bool:
    """Whether quote and spans are what they claim to be, in a passage that was sent."""
    passage = passages.get(citation.chunk_id)
    if passage is None or passage.document_id != citation.document_id:
        return False
    if not 0 <= citation.start < citation.end <= len(passage.text):
        return False
    if passage.text[citation.start : citation.end] != citation.quote:
        return False
    return 0 <= citation.answer_start < citation.answer_end <= len(answer)


def verified(
    citations: Iterable[Citation], passages: Iterable[Passage], answer: str
) -> tuple[list[Citation], int]:
    """The citations that hold, in the answer's order and each once, and how many were dropped."""
    by_chunk = {passage.chunk_id: passage for passage in passages}
    kept: dict[tuple[str, int, int, int, int], Citation] = {}
    dropped = 0
    for citation in citations:
        if not holds(citation, by_chunk, answer):
            dropped += 1
            continue
        span = (citation.start, citation.end, citation.answer_start, citation.answer_end)
        kept[(citation.chunk_id, *span)] = citation
    return sorted(kept.values(), key=lambda c: (c.answer_start, c.answer_end)), dropped
