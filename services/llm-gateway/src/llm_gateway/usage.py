"""Reading the cost ledger."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from fleetkit import context
from fleetkit.errors import InvalidArgument, PermissionDenied
from fleetkit.postgres import Database

from llm_gateway.store import ledger as store
from llm_gateway.store.ledger import EntryRow, GroupRow, Selection

_MAX_PAGE = 1000
KEYS = ("conversation", "agent", "visitor", "model", "service", "purpose", "day")


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Some entries, where to go on ("" at the end), and the sum over all pages."""

    items: list[EntryRow]
    next_page_token: str
    total_nanos: int


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Sums by key, and the sum of the sums."""

    total_nanos: int
    groups: list[GroupRow]


async def list_usage(
    db: Database, tenant_id: UUID, selection: Selection, page_size: int, page_token: str
) -> UsagePage:
    """Entries oldest first; a page has up to 1,000.

    PermissionDenied when a visitor asks for anything but their own conversation.
    """
    _check_visitor(selection)
    _check_times(selection)
    if not 0 <= page_size <= _MAX_PAGE:
        raise InvalidArgument(f"page_size is 1–{_MAX_PAGE}, or 0 for that", field="page_size")
    limit = page_size or _MAX_PAGE
    after = _position(page_token) if page_token else None
    message_id = selection.message_id
    if message_id is not None and selection == Selection(message_id=message_id) and after is None:
        # A receipt, which every turn asks for: it hardly ever has a second page.
        rows = await store.entries_of_message(db, tenant_id, message_id, limit + 1)
        if len(rows) <= limit:
            return UsagePage(rows, "", sum(row.amount_nanos for row in rows))
    async with db.tenant(tenant_id) as conn:
        rows = await store.list_entries(conn, tenant_id, selection, after, limit + 1)
        total_nanos = await store.sum_entries(conn, tenant_id, selection)
    more = len(rows) > limit
    items = rows[:limit]
    return UsagePage(items, _token(items[-1]) if more else "", total_nanos)


async def summarize_usage(
    db: Database, tenant_id: UUID, group_by: str, split_by: str, selection: Selection
) -> UsageSummary:
    """Sums of all entries by one or two of `KEYS`, largest first; days in order."""
    _check_times(selection)
    if group_by == split_by:
        raise InvalidArgument("split_by is another key than group_by", field="split_by")
    async with db.tenant(tenant_id) as conn:
        groups = await store.group_entries(conn, tenant_id, group_by, split_by, selection)
    return UsageSummary(sum(group.amount_nanos for group in groups), groups)


def _check_visitor(selection: Selection) -> None:
    person = context.current().identity
    if person is None or person.kind != "visitor":
        return
    if selection.conversation_id is None or selection.conversation_id != person.conversation_id:
        raise PermissionDenied(
            "a visitor sees the usage of their own conversation: name it in conversation_id",
            field="conversation_id",
        )


def _check_times(selection: Selection) -> None:
    start, end = selection.start_time, selection.end_time
    if start is not None and end is not None and start > end:
        raise InvalidArgument("start_time is not after end_time", field="start_time")


def _token(row: EntryRow) -> str:
    position = f"{row.create_time.astimezone(UTC).isoformat()} {row.usage_id}"
    return base64.urlsafe_b64encode(position.encode()).decode()


def _position(token: str) -> tuple[datetime, UUID]:
    try:
        time, _, usage_id = base64.urlsafe_b64decode(token.encode()).decode().partition(" ")
        return datetime.fromisoformat(time).astimezone(UTC), UUID(usage_id)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InvalidArgument(
            "page_token is not one that ListUsage returned", field="page_token"
        ) from error
