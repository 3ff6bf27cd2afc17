"""Costs: the ledger of llm-gateway as its events tell it, and sums of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from analytics.store import conversations
from analytics.store import costs as store
from analytics.store.costs import CostEntryRow, CostFilter, CostGroupRow

KEYS = ("conversation", "agent", "visitor", "model", "service", "purpose", "day")
MAX_GROUPS = 10_000
MAX_CONVERSATIONS = 500


@dataclass(frozen=True, slots=True)
class CostSummary:
    """Sums by key; `total_nanos` is of everything selected, also of the groups left out."""

    total_nanos: int
    groups: list[CostGroupRow]
    left_out_groups: int
    left_out_nanos: int


async def record_call(
    conn: FleetConnection,
    tenant_id: UUID,
    call_id: UUID,
    revision: int,
    entries: Sequence[CostEntryRow],
) -> None:
    """Notes the entries of a call, in place of those of its earlier revisions.

    In the transaction of `conn`. A revision that is known or overtaken changes nothing.
    """
    if not await store.claim_revision(conn, tenant_id, call_id, revision):
        return
    touched = await store.delete_entries(conn, tenant_id, call_id)
    touched |= {entry.conversation_id for entry in entries if entry.conversation_id}
    await conversations.lock_conversations(conn, tenant_id, touched)
    await store.insert_entries(conn, entries)
    await conversations.derive_conversations(conn, tenant_id, touched)


async def summarize(
    db: Database, tenant_id: UUID, group_by: str, split_by: str, chosen: CostFilter
) -> CostSummary:
    """Sums by one or two of `KEYS`, the 10,000 largest; largest first, days in order."""
    _check(group_by, split_by, chosen)
    async with db.tenant(tenant_id) as conn:
        groups = await store.sum_groups(conn, tenant_id, group_by, split_by, chosen, MAX_GROUPS)
    if not groups:
        return CostSummary(0, [], 0, 0)
    total_nanos = groups[0].all_nanos
    return CostSummary(
        total_nanos=total_nanos,
        groups=groups,
        left_out_groups=groups[0].all_groups - len(groups),
        left_out_nanos=total_nanos - sum(group.amount_nanos for group in groups),
    )


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
