"""Conflicts between articles: what contradicts what, and what is said twice."""

from dataclasses import dataclass
from datetime import datetime

from fleetdesk.retrieval.v1 import conflict_pb2 as pb
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb_service

from gateway.views.format import When, when_of
from gateway.views.frame import Badge, Tab, link

PATH = "/knowledge/conflicts"
KINDS: dict[str, int] = {
    "": pb.CONFLICT_KIND_UNSPECIFIED,
    "contradiction": pb.CONFLICT_KIND_CONTRADICTION,
    "duplicate": pb.CONFLICT_KIND_DUPLICATE,
    "dismissed": pb.CONFLICT_KIND_UNSPECIFIED,
}
DISMISSED = "dismissed"
_LABELS = {
    "": "All open",
    "contradiction": "Contradictions",
    "duplicate": "Said twice",
    DISMISSED: "Dismissed",
}
_REASONS = {
    "NUMBERS": "Different numbers",
    "UNITS": "Different units",
    "NEGATION": "One denies it",
    "DATES": "Different dates",
    "OPPOSITES": "The opposite",
    "YES_NO": "Yes and no",
    "VERSIONS": "Different versions",
    "SAME_TEXT": "The same text",
}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two places."""

    title: str
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A pair of places."""

    conflict_id: str
    badge: Badge
    reason: str
    sides: tuple[Side, Side]
    found: When
    dismissed: When | None


@dataclass(frozen=True, slots=True)
class ConflictsPage:
    """The page."""

    headline: str
    tabs: tuple[Tab, ...]
    shows_dismissed: bool
    rows: tuple[ConflictRow, ...]
    next_href: str
    first_href: str


def conflicts_page(
    found: pb_service.ListConflictsResponse, now: datetime, *, kind: str, page_token: str
) -> ConflictsPage:
    """The conflicts of a kind, or of all."""
    following = found.next_page_token
    counts = {"": found.open_count, DISMISSED: found.dismissed_count}
    return ConflictsPage(
        headline=_headline(found.open_count, found.dismissed_count),
        tabs=tuple(
            Tab(label, link(PATH, kind=key), key == kind, counts.get(key))
            for key, label in _LABELS.items()
        ),
        shows_dismissed=kind == DISMISSED,
        rows=tuple(_row(conflict, now) for conflict in found.conflicts),
        next_href=link(PATH, kind=kind, page_token=following) if following else "",
        first_href=link(PATH, kind=kind) if page_token else "",
    )


def _headline(count: int, dismissed: int) -> str:
    besides = (
        f" {dismissed:,} more {'was' if dismissed == 1 else 'were'} dismissed." if dismissed else ""
    )
    if not count:
        return f"No two documents were found to contradict or repeat each other.{besides}"
    if count == 1:
        return f"One pair of places disagrees or repeats itself.{besides}"
    return f"{count:,} pairs of places disagree or repeat each other.{besides}"


def _row(conflict: pb.Conflict, now: datetime) -> ConflictRow:
    contradicts = conflict.kind == pb.CONFLICT_KIND_CONTRADICTION
    badge = (
        Badge("Contradiction", "triangle-alert", "warn")
        if contradicts
        else Badge("Said twice", "copy")
    )
    return ConflictRow(
        conflict_id=conflict.conflict_id,
        badge=badge,
        reason=_REASONS.get(conflict.reason, ""),
        sides=(_side(conflict.one), _side(conflict.other)),
        found=when_of(conflict.create_time, now),
        dismissed=when_of(conflict.dismiss_time, now)
        if conflict.HasField("dismiss_time")
        else None,
    )


def _side(side: pb.ConflictSide) -> Side:
    path = f"/documents/{side.document_id}"
    href = link(path, chunk=side.chunk_id, start=side.start, end=side.end) + "#quote"
    return Side(side.title or "Untitled", side.text, href)
