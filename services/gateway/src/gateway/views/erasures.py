"""What the pages of erasures show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.erasures import ANSWERING, Erasure
from gateway.views.format import When, when

_KINDS = {"visitor": "A visitor", "tenant": "The whole company"}


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """A service on a receipt; `done` is None while it has not answered."""

    name: str
    done: When | None
    rows: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """An erasure as its receipt shows it."""

    erasure_id: str
    title: str
    sentence: str
    finished: bool
    asked: When
    lines: tuple[ServiceLine, ...]


def receipt(found: Erasure, now: datetime) -> Receipt:
    """The receipt of an erasure."""
    row, waiting = found.row, found.waiting
    if row.finish_time is not None:
        sentence = f"All {len(ANSWERING)} services have erased what they had."
    else:
        done = len(ANSWERING) - len(waiting)
        sentence = f"{done} of {len(ANSWERING)} services have erased what they had."
    answered = {answer.service: answer for answer in found.answers}
    lines: list[ServiceLine] = []
    for service in ANSWERING:
        answer = answered.get(service)
        lines.append(
            ServiceLine(
                service.replace("_", "-"),
                when(answer.complete_time, now) if answer else None,
                _rows(answer.counts) if answer else "",
            )
        )
    return Receipt(
        str(row.erasure_id),
        _KINDS[row.kind],
        sentence,
        row.finish_time is not None,
        when(row.request_time, now),
        tuple(lines),
    )


def receipts(found: Sequence[Erasure], now: datetime) -> list[Receipt]:
    """The receipts of several erasures."""
    return [receipt(one, now) for one in found]


def _rows(counts: Mapping[str, int]) -> str:
    if not counts:
        return "nothing kept"
    return ", ".join(
        f"{number:,} {name.replace('_', ' ')}" for name, number in sorted(counts.items())
    )
