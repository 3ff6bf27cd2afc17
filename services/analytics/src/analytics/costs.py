"""Costs: the ledger of llm-gateway as its events tell it, and sums of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from analytics import conversations, hours
from analytics.store import costs as store
from analytics.store.costs import CostEntryRow, CostFilter, CostGroupRow

KEYS = ("conversation", "agent", "visitor", "model", "service", "purpose", "day")
_KEYS_OF_HOURS = {"", "agent", "model", "service", "purpose", "day"}
# Where the hour after a time is still in the calendar.
_BEGINNING, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=366)
MAX_GROUPS = 10_000
MAX_CONVERSATIONS = 500


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a model as one of its revisions tells it."""

    call_id: UUID
    revision: int
    entries: Sequence[CostEntryRow]


@dataclass(frozen=True, slots=True)
class CostSummary:
    """Sums by key; `total_nanos` is of everything selected, also of the groups left out."""

    total_nanos: int
    groups: list[CostGroupRow]
    left_out_groups: int
    left_out_nanos: int


async def record_calls(conn: FleetConnection, tenant_id: UUID, calls: Sequence[Call]) -> None:
    """Notes the entries of calls, each in place of those of its earlier revisions.

    In the transaction of `conn`. A revision that is known or overtaken changes nothing.
    """
    newest = {call.call_id: call for call in sorted(calls, key=lambda call: call.revision)}
    revisions = {call_id: newest[call_id].revision for call_id in sorted(newest)}
    claimed = await store.claim_revisions(conn, tenant_id, revisions)
    if not claimed:
        return
    entries = [entry for call_id in claimed for entry in newest[call_id].entries]
    before = await store.delete_entries(conn, tenant_id, claimed)
    ids = (*(row[0] for row in before), *(entry.conversation_id for entry in entries))
    touched = {one for one in ids if one is not None}
    times = {row[1] for row in before} | {entry.create_time for entry in entries}
    times |= await conversations.lock(conn, tenant_id, touched)
    await store.insert_entries(conn, entries)
    await conversations.changed(conn, tenant_id, touched, times)


async def summarize(
    db: Database, tenant_id: UUID, group_by: str, split_by: str, chosen: CostFilter
) -> CostSummary:
    """Sums by one or two of `KEYS`, the 10,000 largest; largest first, days in order."""
    _check(group_by, split_by, chosen)
    async with db.tenant(tenant_id) as conn:
        if _of_conversations(group_by, split_by, chosen):
            groups = await store.sum_conversations(
                conn, tenant_id, chosen.start_time, chosen.end_time, MAX_GROUPS
            )
        else:
            source = None
            if _of_hours(group_by, split_by, chosen):
                await hours.refresh(conn, tenant_id)
                source = hours.parts(
                    tenant_id, chosen.start_time or _BEGINNING, chosen.end_time or _END
                )
            groups = await store.sum_groups(
                conn, tenant_id, group_by, split_by, chosen, MAX_GROUPS, source
            )
    if not groups:
        return CostSummary(0, [], 0, 0)
    total_nanos = groups[0].all_nanos
    return CostSummary(
        total_nanos=total_nanos,
        groups=groups,
        left_out_groups=groups[0].all_groups - len(groups),
        left_out_nanos=total_nanos - sum(group.amount_nanos for group in groups),
    )


def _of_conversations(group_by: str, split_by: str, chosen: CostFilter) -> bool:
    """Whether the rows of conversations tell it: nothing but a period is asked for."""
    return (group_by, split_by) == ("conversation", "") and chosen == CostFilter(
        start_time=chosen.start_time, end_time=chosen.end_time
    )


def _of_hours(group_by: str, split_by: str, chosen: CostFilter) -> bool:
    """Whether the sums by the hour tell it: they know of no conversation and no visitor."""
    if chosen.conversation_ids or not {group_by, split_by} <= _KEYS_OF_HOURS:
        return False
    times = [time for time in (chosen.start_time, chosen.end_time) if time is not None]
    return all(_BEGINNING <= time <= _END for time in times)


def _check(group_by: str, split_by: str, chosen: CostFilter) -> None:
    if group_by == split_by:
        raise InvalidArgument("split_by is another key than group_by", field="split_by")
    start, end = chosen.start_time, chosen.end_time
    if start is not None and end is not None and start > end:
        raise InvalidArgument("the period ends before it has begun", field="start_time")
    if len(chosen.conversation_ids) > MAX_CONVERSATIONS:
        raise InvalidArgument(
            f"name at most {MAX_CONVERSATIONS} conversations", field="conversation_ids"
        )
