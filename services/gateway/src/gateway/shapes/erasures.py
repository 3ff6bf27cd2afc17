"""Bodies of erasures."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from gateway.erasures import Erasure as Found


class ErasureAnswer(Struct, frozen=True):
    """A service that has erased: rows deleted or made anonymous, by table; files under "blobs"."""

    service: str
    complete_time: datetime
    counts: dict[str, int]


class Erasure(Struct, frozen=True):
    """An erasure of a visitor or a tenant, and who has not answered yet."""

    erasure_id: UUID
    kind: str
    request_time: datetime
    finish_time: datetime | None
    completed: list[ErasureAnswer]
    waiting_for: list[str]

    @classmethod
    def of(cls, found: Found) -> "Erasure":
        """What is told of an erasure."""
        answers = [
            ErasureAnswer(one.service, one.complete_time, dict(one.counts)) for one in found.answers
        ]
        row = found.row
        return cls(
            row.erasure_id, row.kind, row.request_time, row.finish_time, answers, found.waiting
        )


class RequestedErasure(Struct, frozen=True):
    """An erasure that begins. `receipt_url` is shown this once, and needs no sign-in."""

    erasure: Erasure
    receipt_url: str


class ErasureList(Struct, frozen=True):
    """Erasures, newest first."""

    items: list[Erasure]
    next_page_token: str
