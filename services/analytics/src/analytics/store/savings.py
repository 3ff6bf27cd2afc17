"""SQL of savings: the ledger's units by model and price, and counts of frames."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from analytics.store.hours import UNITS, Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBatchRow:
    """A row of `frame_batch`."""

    tenant_id: UUID
    event_id: UUID
    occur_time: datetime
    captured_count: int
    kept_count: int
    superseded_count: int
    read_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCountRow:
    """Sums of `frame_batch`."""

    captured_count: int
    duplicate_count: int
    superseded_count: int
    read_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """Units of one kind of one model at one price; `agent_id` is None for none."""

    agent_id: UUID | None
    model: str
    kind: str
    price_nanos_per_million: int
    units: int
    amount_nanos: int
    saved_nanos: int
    baseline_nanos: int
    unconfirmed_nanos: int


async def insert_frame_batch(conn: FleetConnection, row: FrameBatchRow) -> None:
    """Notes counts of frames, unless they are noted."""
    await conn.execute(
        "insert into frame_batch (tenant_id, event_id, occur_time, captured_count, kept_count,"
        "  superseded_count, read_count)"
        " values (%(tenant_id)s, %(event_id)s, %(occur_time)s, %(captured_count)s, %(kept_count)s,"
        "  %(superseded_count)s, %(read_count)s) on conflict do nothing",
        asdict(row),
    )


async def sum_frames(
    conn: FleetConnection, tenant_id: UUID, start: datetime, end: datetime
) -> FrameCountRow:
    """The frames of a period."""
    async with conn.cursor(row_factory=class_row(FrameCountRow)) as cursor:
        await cursor.execute(
            "select coalesce(sum(captured_count), 0)::bigint as captured_count,"
            "  coalesce(sum(captured_count - kept_count), 0)::bigint as duplicate_count,"
            "  coalesce(sum(superseded_count), 0)::bigint as superseded_count,"
            "  coalesce(sum(read_count), 0)::bigint as read_count"
            " from frame_batch"
            " where tenant_id = %s and occur_time >= %s and occur_time < %s",
            [tenant_id, start, end],
        )
        (row,) = await cursor.fetchall()
    return row


# By agent or all agents together: one text for both, since a null agent groups as one.
_UNITS_OF: LiteralString = f"""
  select case when %(by_agent)s then nullif(agent_id, '00000000-0000-0000-0000-000000000000') end
      as agent_id,
    model, kind, price_nanos_per_million, sum(units)::bigint as units,
    sum(amount_nanos)::bigint as amount_nanos, sum(saved_nanos)::bigint as saved_nanos,
    sum(baseline_nanos)::bigint as baseline_nanos,
    sum(unconfirmed_nanos)::bigint as unconfirmed_nanos
  from (select * from unit_hour
      where tenant_id = %(tenant_id)s and hour >= %(first)s and hour < %(last)s
    union all select * from ({UNITS}) edge) of_hour
  group by 1, 2, 3, 4 order by 1 nulls last, 2, 3, 4"""  # noqa: S608 - made of literals only


async def sum_units(
    conn: FleetConnection, tenant_id: UUID, parts: Parts, *, by_agent: bool
) -> list[UnitRow]:
    """The ledger's units of a period, by model, kind and price, and by agent where asked so."""
    parameters = parts.edges.parameters | {
        "tenant_id": tenant_id,
        "first": parts.first,
        "last": parts.last,
        "by_agent": by_agent,
    }
    async with conn.cursor(row_factory=class_row(UnitRow)) as cursor:
        # A plan for these spans: one for any would read all facts of the tenant.
        await cursor.execute(_UNITS_OF, parameters, prepare=False)
        return await cursor.fetchall()
