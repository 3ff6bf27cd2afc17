"""The cost ledger: what each call to a model reserved, and what it used.

A call is written before it is made, with the most it can cost, and settled after it with what the
provider reported; each unit stands on the ledger exactly once. A call that is never settled,
because the process died, becomes `unconfirmed` at its reservation (`sweep`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fleetdesk.llm_gateway.v1 import events_pb2
from fleetkit import context
from fleetkit.clock import Clock
from fleetkit.events.outbox import outgoing
from fleetkit.ids import new_id
from fleetkit.logging import get_logger
from fleetkit.postgres import Database, remember_tenant
from fleetkit.rpc.retry import retry_idempotent
from psycopg import DatabaseError

from llm_gateway.budgets import left_in, refusal, warn
from llm_gateway.entries import (
    Meter,
    Prices,
    counted_bound,
    entries_of,
    hit_entry,
    reservation,
    reservation_entries,
)
from llm_gateway.prices import TenantPrices
from llm_gateway.pricing import PROMPT, PriceBook, Unit
from llm_gateway.store import ledger as store
from llm_gateway.store.budgets import due_windows
from llm_gateway.store.ledger import CallRow, EntryRow
from llm_gateway.tenant_settings import TenantSettings
from llm_gateway.wire.rows import to_entry

Operation = Literal["answer", "complete", "embed", "rerank", "see"]
PaidBy = Literal["fleet", "tenant"]
# A provider's count of a call's prompt, None where it does not say.
Count = Callable[[], Awaitable[int | None]]

# After a call's deadline its process needs a moment to settle it.
_SETTLE_GRACE_S = 10.0
_DEFAULT_EXPIRY_S = 120.0
_SWEEP_BATCH = 100
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which attempt of a ladder a call is, from 1 (0: of none), why it is not the first model's.

    And by whose key it goes.
    """

    tier: int = 0
    reason: str = ""
    paid_by: PaidBy = "fleet"


NO_ATTEMPT = Attempt()


@dataclass(frozen=True, slots=True)
class Call:
    """An open call: its row, and the prices that hold for it."""

    row: CallRow
    prices: Prices

    @property
    def call_id(self) -> UUID:
        """Its id."""
        return self.row.call_id


class Ledger:
    """Writes the ledger of all tenants, at the prices of `book` or a tenant's own.

    `decided` is shared with who changes what tenants decide.
    """

    def __init__(
        self, db: Database, clock: Clock, book: PriceBook, decided: TenantSettings | None = None
    ) -> None:
        self._db = db
        self._clock = clock
        self._prices = TenantPrices(db, clock, book, decided or TenantSettings(db))
        self._remembered: set[UUID] = set()

    async def open_call(
        self,
        tenant_id: UUID,
        operation: Operation,
        model: str,
        at_most: Mapping[Unit, int],
        attempt: Attempt = NO_ATTEMPT,
        count: Count | None = None,
    ) -> Call:
        """Reserves the most that a call can cost, before it is made.

        `at_most` bounds each kind of unit. Where a hard budget has no room for it, `count` may say
        how many tokens the prompt has. Attribution and caller are those of the work at hand.
        FailedPrecondition (UNPRICED_MODEL) when something has no price, ResourceExhausted
        (BUDGET_EXHAUSTED) when a hard budget has no room.
        """
        now = self._clock.now()
        held = await self._prices.holding(tenant_id, model, now, at_most)

        def row_of(units: Mapping[Unit, int]) -> CallRow:
            reserved = reservation(held.period, units)
            return self._row(now, tenant_id, operation, model, reserved, attempt, held.version)

        await self._remember(tenant_id)
        row = row_of(at_most)
        window_id = await self._reserve(row)
        if window_id is not None and count is not None:
            counted = await self._counted(row, window_id, count)
            if counted is not None:
                row = row_of(counted_bound(at_most, counted))
                window_id = await self._reserve(row)
        if window_id is not None:
            raise await refusal(self._db, tenant_id, window_id, row)
        return Call(row, Prices(held.period, self._prices.book.baseline(model, now)))

    async def _reserve(self, row: CallRow) -> UUID | None:
        """Writes an open call; returns the window of a hard budget that has no room for it."""
        remaining = context.remaining_s()
        expires_in_s = (_DEFAULT_EXPIRY_S if remaining is None else remaining) + _SETTLE_GRACE_S
        reserving = asyncio.create_task(store.reserve_call(self._db, row, expires_in_s))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            # What is cut in the midst would be neither reserved nor free.
            await asyncio.wait([reserving])
            if not reserving.cancelled() and not reserving.exception():
                await self._write(row, "failed", "CANCELLED", [])
            raise

    async def _counted(self, row: CallRow, window_id: UUID, count: Count) -> int | None:
        """Tokens of the prompt; None when no count could make room for the rest of the call."""
        rest = sum(item["amount_nanos"] for item in row.reserved if item["kind"] not in PROMPT)
        if rest >= await left_in(self._db, row.tenant_id, window_id):
            return None
        return await count()

    async def record_hit(
        self, tenant_id: UUID, model: str, saved_nanos: int, baseline_nanos: int
    ) -> UUID:
        """Writes down an answer that cost nothing because it was there; returns its call id.

        `saved_nanos`: what the call cost that it repeats; `baseline_nanos`: the same at the
        baseline model.
        """
        row = self._row(self._clock.now(), tenant_id, "answer", model, [])
        entries = [hit_entry(row, saved_nanos, baseline_nanos)]
        await self._remember(tenant_id)
        event = self._event(row, entries)
        writing = asyncio.create_task(store.record_hit(self._db, row, entries, event))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise
        return row.call_id

    async def close_call(self, call: Call, meter: Meter, failure: str = "") -> None:
        """Settles a call with what it used; `failure` is the reason of the error it ended with.

        A call that never began costs nothing. Idempotent; tried again while the database is away.
        """
        entries = entries_of(call.row, call.prices, meter)
        if not entries:
            status = "failed"
        elif any(entry.status == "unconfirmed" for entry in entries):
            status = "unconfirmed"
        else:
            status = "failed" if failure else "settled"

        async def write() -> None:
            await self._write(call.row, status, failure, entries)

        await retry_idempotent(write, attempts=5)

    async def sweep(self, tenant_id: UUID) -> int:
        """Turns the tenant's calls whose process died into unconfirmed rows; returns how many.

        Budget warnings that such a process did not come to give are given, too.
        """
        swept = 0
        while True:
            async with self._db.tenant(tenant_id) as conn:
                calls = await store.expired_calls(conn, tenant_id, _SWEEP_BATCH)
            for call in calls:
                swept += await self._write(call, "unconfirmed", "", reservation_entries(call))
            if len(calls) < _SWEEP_BATCH:
                break
        async with self._db.tenant(tenant_id) as conn:
            due = await due_windows(conn, tenant_id, self._clock.now())
        await self._warn(tenant_id, due)
        return swept

    async def _write(
        self, row: CallRow, status: str, failure: str, entries: list[EntryRow]
    ) -> bool:
        """Closes a call, its event and its budgets' counts with it; False when it is closed."""
        event = self._event(row, entries) if entries else None
        try:
            due = await store.settle_call(self._db, row, status, failure, entries, event)
        except DatabaseError as error:
            if error.sqlstate != store.NOT_OPEN:
                raise
            get_logger().warning("usage_came_too_late", call_id=str(row.call_id))
            return False
        if due:
            await self._warn(row.tenant_id, due)
        return True

    async def _warn(self, tenant_id: UUID, window_ids: list[UUID]) -> None:
        """Tells of budgets' shares by itself: trying again must not mean settling again."""
        await retry_idempotent(lambda: warn(self._db, tenant_id, window_ids), attempts=5)

    def _event(self, row: CallRow, entries: list[EntryRow]) -> dict[str, Any]:
        event = events_pb2.UsageRecorded(
            call_id=str(row.call_id), entries=[to_entry(entry) for entry in entries]
        )
        return outgoing(event, row.tenant_id, self._clock.now(), revision=1)

    def _row(
        self,
        now: datetime,
        tenant_id: UUID,
        operation: Operation,
        model: str,
        reserved: list[dict[str, Any]],
        attempt: Attempt = NO_ATTEMPT,
        version: str = "",
    ) -> CallRow:
        provider, _, name = model.partition("/")
        work = context.current()
        return CallRow(
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
            price_book_version=version or self._prices.book.version,
            reserved=reserved,
            reserved_nanos=sum(item["amount_nanos"] for item in reserved),
            tier=attempt.tier,
            tier_reason=attempt.reason,
            paid_by=attempt.paid_by,
        )

    async def _remember(self, tenant_id: UUID) -> None:
        """Makes the tenant known to the sweeper: the event that tells of it may come later."""
        if tenant_id in self._remembered:
            return
        async with self._db.tenant(tenant_id) as conn:
            await remember_tenant(conn, tenant_id)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered.add(tenant_id)
