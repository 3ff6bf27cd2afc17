"""The cost ledger: what each call to a model reserved, and what it used.

A call is written before it is made, with the most it can cost, and settled after it with what the
provider reported; each unit stands on the ledger exactly once. A call that is never settled,
because the process died, becomes `unconfirmed` at its reservation (`sweep`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from fleetdesk.llm_gateway.v1 import events_pb2
from fleetkit import context
from fleetkit.clock import Clock
from fleetkit.events import publish
from fleetkit.ids import new_id
from fleetkit.logging import get_logger
from fleetkit.postgres import Database, remember_tenant
from fleetkit.postgres.connection import FleetConnection
from fleetkit.rpc.retry import retry_idempotent

from llm_gateway.pricing import PROMPT, Period, PriceBook, Tier, Unit, amount_nanos
from llm_gateway.store import ledger as store
from llm_gateway.store.ledger import CallRow, EntryRow
from llm_gateway.translate import to_entry

Operation = Literal["answer", "embed", "rerank", "see"]

# After a call's deadline its process needs a moment to settle it.
_SETTLE_GRACE_S = 10.0
_DEFAULT_EXPIRY_S = 120.0
_SWEEP_BATCH = 100
_MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class Meter:
    """What a call has used so far, written by its provider.

    `begun` is set before the first byte that may be billed leaves; from then on a kind of unit
    that is never reported is unconfirmed at its reservation. Reports replace earlier ones.
    """

    begun: bool = False
    complete: bool = False
    units: dict[Unit, int] = field(default_factory=dict)

    def report(self, kind: Unit, units: int) -> None:
        """Says how many units of a kind the provider reports for the whole call so far."""
        self.begun = True
        self.units[kind] = units


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which attempt of a ladder a call is, from 1, and why it is not the first model's."""

    tier: int
    reason: str


NO_ATTEMPT = Attempt(0, "")


@dataclass(frozen=True, slots=True)
class Call:
    """An open call: its row, and the prices that hold for it."""

    row: CallRow
    period: Period

    @property
    def call_id(self) -> UUID:
        """Its id."""
        return self.row.call_id


class Ledger:
    """Writes the ledger of all tenants; prices come from `book`."""

    def __init__(self, db: Database, clock: Clock, book: PriceBook) -> None:
        self._db = db
        self._clock = clock
        self._book = book
        self._remembered: set[UUID] = set()

    async def open_call(
        self,
        tenant_id: UUID,
        operation: Operation,
        model: str,
        at_most: Mapping[Unit, int],
        attempt: Attempt = NO_ATTEMPT,
    ) -> Call:
        """Reserves the most that a call can cost, before it is made.

        `at_most` bounds each kind of unit. Attribution and caller are those of the work at hand.
        FailedPrecondition (UNPRICED_MODEL) when something has no price.
        """
        now = self._clock.now()
        period = self._book.period(model, now, at_most)
        reserved = [_reserved(period, kind, units) for kind, units in at_most.items()]
        provider, _, name = model.partition("/")
        work = context.current()
        row = CallRow(
            call_id=new_id(),
            tenant_id=tenant_id,
            create_time=now,
            service=work.caller,
            operation=operation,
            provider=provider,
            model=name,
            purpose=work.attribution.purpose or "other",
            message_id=work.attribution.message_id,
            conversation_id=work.attribution.conversation_id,
            agent_id=work.attribution.agent_id,
            visitor_id=work.attribution.visitor_id,
            knowledge_document_id=work.attribution.knowledge_document_id,
            price_book_version=self._book.version,
            reserved=reserved,
            reserved_nanos=sum(item["amount_nanos"] for item in reserved),
            tier=attempt.tier,
            tier_reason=attempt.reason,
        )
        remaining = context.remaining_s()
        expires_in_s = (_DEFAULT_EXPIRY_S if remaining is None else remaining) + _SETTLE_GRACE_S
        async with self._db.tenant(tenant_id) as conn:
            if tenant_id not in self._remembered:
                # The sweeper visits known tenants; the event that tells of one may come later.
                await remember_tenant(conn, tenant_id)
            await store.insert_call(conn, row, expires_in_s)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered.add(tenant_id)
        return Call(row, period)

    async def close_call(self, call: Call, meter: Meter, failure: str = "") -> None:
        """Settles a call with what it used; `failure` is the reason of the error it ended with.

        A call that never began costs nothing. Idempotent; tried again while the database is away.
        """
        entries = list(_entries(call, meter))
        if not entries:
            status = "failed"
        elif any(entry.status == "unconfirmed" for entry in entries):
            status = "unconfirmed"
        else:
            status = "failed" if failure else "settled"

        async def write() -> None:
            async with self._db.tenant(call.row.tenant_id) as conn:
                closed = await store.close_call(
                    conn, call.row.tenant_id, call.call_id, status, failure
                )
                if closed:
                    await _record(conn, call.row, entries)
                else:
                    get_logger().warning("usage_came_too_late", call_id=str(call.call_id))

        await retry_idempotent(write, attempts=5)

    async def sweep(self, tenant_id: UUID) -> int:
        """Turns the tenant's calls whose process died into unconfirmed rows; returns how many."""
        swept = 0
        while True:
            async with self._db.tenant(tenant_id) as conn:
                calls = await store.close_expired(conn, tenant_id, _SWEEP_BATCH)
                for call in calls:
                    await _record(conn, call, list(_reservation_entries(call)))
            swept += len(calls)
            if len(calls) < _SWEEP_BATCH:
                return swept


def _reserved(period: Period, kind: Unit, units: int) -> dict[str, Any]:
    price = max(tier.price(kind) for tier in period.tiers)
    return {
        "kind": kind.value,
        "units": units,
        "price_nanos_per_million": price,
        "amount_nanos": amount_nanos(units, price),
    }


def _entries(call: Call, meter: Meter) -> Iterable[EntryRow]:
    tier = call.period.tier(sum(meter.units.get(kind, 0) for kind in PROMPT))
    for kind, units in meter.units.items():
        if units:
            price = tier.price(kind)
            yield _entry(call.row, kind, units, price, "settled", _saved(kind, units, tier))
    if meter.begun and not meter.complete:
        unreported = [item for item in call.row.reserved if item["kind"] not in meter.units]
        yield from _reservation_entries(call.row, unreported)


def _saved(kind: Unit, units: int, tier: Tier) -> int:
    if kind not in PROMPT or kind in (Unit.INPUT, Unit.IMAGE):
        return 0
    uncached = amount_nanos(units, tier.price(Unit.INPUT))
    return uncached - amount_nanos(units, tier.price(kind))


def _reservation_entries(
    row: CallRow, reserved: list[dict[str, Any]] | None = None
) -> Iterable[EntryRow]:
    for item in row.reserved if reserved is None else reserved:
        if item["units"]:
            yield _entry(
                row, item["kind"], item["units"], item["price_nanos_per_million"], "unconfirmed", 0
            )


def _entry(
    row: CallRow, kind: str, units: int, price: int, status: str, saved_nanos: int
) -> EntryRow:
    return EntryRow(
        usage_id=new_id(),
        tenant_id=row.tenant_id,
        call_id=row.call_id,
        create_time=row.create_time,
        status=status,
        service=row.service,
        provider=row.provider,
        model=row.model,
        kind=str(kind),
        purpose=row.purpose,
        units=units,
        price_nanos_per_million=price,
        price_book_version=row.price_book_version,
        amount_nanos=amount_nanos(units, price),
        saved_nanos=saved_nanos,
        message_id=row.message_id,
        conversation_id=row.conversation_id,
        agent_id=row.agent_id,
        visitor_id=row.visitor_id,
        tier=row.tier,
        tier_reason=row.tier_reason,
    )


async def _record(conn: FleetConnection, row: CallRow, entries: list[EntryRow]) -> None:
    """Writes the entries of a call and the event that tells of them."""
    if not entries:
        return
    for entry in entries:
        await store.insert_entry(conn, entry, row.knowledge_document_id)
    event = events_pb2.UsageRecorded(
        call_id=str(row.call_id), entries=[to_entry(entry) for entry in entries]
    )
    await publish(conn, event, revision=1)
