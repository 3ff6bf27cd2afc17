"""Bodies of conflicts between articles."""

from datetime import datetime
from typing import Literal

from fleetdesk.retrieval.v1 import conflict_pb2
from msgspec import Struct

from gateway.shapes.common import label_of, optional_time, time_of

KindFilter = Literal["duplicate", "contradiction"]
_KIND = "CONFLICT_KIND_"


class ConflictSide(Struct, frozen=True):
    """A sentence, or a duplicate's passage; `start` and `end` count in the document's text."""

    chunk_id: str
    document_id: str
    title: str
    url: str
    text: str
    start: int
    end: int

    @classmethod
    def of(cls, side: conflict_pb2.ConflictSide) -> "ConflictSide":
        """From the proto."""
        return cls(
            chunk_id=side.chunk_id,
            document_id=side.document_id,
            title=side.title,
            url=side.url,
            text=side.text,
            start=side.start,
            end=side.end,
        )


class Conflict(Struct, frozen=True):
    """Two places of different documents that contradict each other, or say the same.

    `reason` is `NUMBERS`, `UNITS`, `DATES`, `NEGATION`, `OPPOSITES`, `YES_NO` or `VERSIONS`;
    `SAME_TEXT` of a duplicate.
    """

    conflict_id: str
    kind: str | None
    reason: str
    score: float
    one: ConflictSide
    other: ConflictSide
    create_time: datetime
    dismiss_time: datetime | None

    @classmethod
    def of(cls, conflict: conflict_pb2.Conflict) -> "Conflict":
        """From the proto."""
        return cls(
            conflict_id=conflict.conflict_id,
            kind=label_of(conflict_pb2.ConflictKind, conflict.kind, _KIND),
            reason=conflict.reason,
            score=conflict.score,
            one=ConflictSide.of(conflict.one),
            other=ConflictSide.of(conflict.other),
            create_time=time_of(conflict.create_time),
            dismiss_time=optional_time(conflict, "dismiss_time"),
        )


class ConflictList(Struct, frozen=True):
    """One page of conflicts, newest first; the counts are of all, whatever their kind."""

    items: list[Conflict]
    next_page_token: str
    open_count: int
    dismissed_count: int
