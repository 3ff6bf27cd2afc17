"""Frames each call to a model: reserve, call, settle, however the call ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fleetkit import context
from fleetkit.errors import FleetError
from fleetkit.telemetry import Tracer, counter, histogram

from llm_gateway import genai
from llm_gateway.entries import Meter
from llm_gateway.health import Health
from llm_gateway.ledger import NO_ATTEMPT, Attempt, Call, Count, Ledger, Operation
from llm_gateway.pricing import Unit
from llm_gateway.providers.refusals import CREDENTIALS, own_key_refused

# Runs a coroutine that outlives the request which began it; `Runtime.spawn`.
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


@dataclass(frozen=True, slots=True)
class Metered:
    """An open call and its meter."""

    call: Call
    meter: Meter


class Metering:
    """Opens and settles calls on `ledger`; settling survives the cancelling of a request."""

    def __init__(self, ledger: Ledger, spawn: Spawn, tracer: Tracer) -> None:
        self._ledger = ledger
        self._spawn = spawn
        self._tracer = tracer
        self.health = Health()
        self._calls = counter(
            "fleetdesk_llm_calls", "Calls to models.", ("operation", "model", "outcome")
        )
        self._seconds = histogram(
            "fleetdesk_llm_call_seconds",
            "Duration of calls to models in seconds.",
            ("operation", "model"),
            _SECONDS,
        )

    @asynccontextmanager
    async def call(
        self,
        tenant_id: UUID,
        operation: Operation,
        model: str,
        at_most: Mapping[Unit, int],
        attempt: Attempt = NO_ATTEMPT,
        count: Count | None = None,
    ) -> AsyncIterator[Metered]:
        """A call whose reservation is written; it is settled, committed, at the block's end.

        What its provider has against a tenant's own key is told as the tenant's to mend.
        """
        call = await self._ledger.open_call(tenant_id, operation, model, at_most, attempt, count)
        metered = Metered(call, Meter())
        started = time.monotonic()
        failure = "CANCELLED"
        traced = genai.of_request(operation, model, at_most)
        name = genai.span_name(operation, model)
        try:
            with self._tracer.noted(name, context.current().span, "client", traced):
                try:
                    yield metered
                    failure = ""
                except FleetError as error:
                    failure = error.reason
                    if failure == CREDENTIALS and attempt.paid_by == "tenant":
                        raise own_key_refused(model.partition("/")[0]) from error
                    raise
                finally:
                    traced |= genai.of_usage(metered.meter.units, failure)
        finally:
            seconds = time.monotonic() - started
            if failure != "CANCELLED" and attempt.paid_by == "fleet":
                self.health.note(model, seconds, failure)
            self._seconds.labels(operation, model).observe(seconds)
            self._calls.labels(operation, model, failure or "ok").inc()
            await asyncio.shield(self._spawn(self._close(metered, failure), "close_call"))

    async def _close(self, metered: Metered, failure: str) -> None:
        # What was spent has to be written down also when the request's time is over.
        with context.bound(replace(context.current(), deadline=None)):
            await self._ledger.close_call(metered.call, metered.meter, failure)
