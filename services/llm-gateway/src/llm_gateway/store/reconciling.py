"""SQL of llm-gateway: what of the ledger a provider reports, too."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRow:
    """Settled units of a model and kind."""

    model: str
    kind: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnconfirmedRow:
    """Units that a call may have used."""

    call_id: UUID
    create_time: datetime
    model: str
    kind: str
    units: int
    amount_nanos: int


async def settled_units(
    conn: FleetConnection, tenant_id: UUID, provider: str, start: datetime, end: datetime
) -> list[SettledRow]:
    """What went by the fleet's key and was settled; without answers that were given again."""
    async with conn.cursor(row_factory=class_row(SettledRow)) as cursor:
        await cursor.execute(
            "select model, kind, sum(units)::bigint as units from usage_entry"
            " where tenant_id = %s and provider = %s and paid_by = 'fleet'"
            "  and status = 'settled' and kind <> 'response_cache_hit'"
            "  and create_time >= %s and create_time < %s"
            " group by model, kind",
            [tenant_id, provider, start, end],
        )
        return await cursor.fetchall()


async def unconfirmed_units(
    conn: FleetConnection, tenant_id: UUID, provider: str, start: datetime, end: datetime
) -> list[UnconfirmedRow]:
    """What went by the fleet's key and is unconfirmed, oldest first."""
    async with conn.cursor(row_factory=class_row(UnconfirmedRow)) as cursor:
        await cursor.execute(
            "select call_id, create_time, model, kind, units, amount_nanos from usage_entry"
            " where tenant_id = %s and provider = %s and paid_by = 'fleet'"
            "  and status = 'unconfirmed' and create_time >= %s and create_time < %s"
            " order by create_time, call_id, kind",
            [tenant_id, provider, start, end],
        )
        return await cursor.fetchall()
