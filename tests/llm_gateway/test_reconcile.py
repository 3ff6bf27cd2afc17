"""The ledger against a provider's own report of what was used, to the token."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from anthropic import AsyncAnthropic
from fakes.anthropic_server import Answer, FakeAnthropic, overloaded
from fleetkit.errors import FailedPrecondition, Unavailable
from harness.answers import ROUTER, ask, asking, passage
from harness.services import Running
from llm_gateway.providers.anthropic import client_of
from llm_gateway.providers.anthropic_report import usage_report
from llm_gateway.reconcile import Reconciled, reconcile

As = Callable[..., Any]
HAIKU = "claude-haiku-5-5"


@pytest.fixture
async def claude() -> AsyncIterator[FakeAnthropic]:
    server = await FakeAnthropic().start()
    yield server
    await server.stop()


@pytest.fixture
async def running(start: Any, claude: FakeAnthropic) -> Running:
    return await start(
        embed_workers=0,
        anthropic_api_key="sk-fleets",
        anthropic_base_url=claude.url,
        anthropic_admin_key="sk-ant-admin-1",
        answer_model=f"anthropic/{HAIKU}",
    )


@pytest.fixture
async def auditor(claude: FakeAnthropic) -> AsyncIterator[AsyncAnthropic]:
    async with client_of("sk-ant-admin-1", claude.url) as client:
        yield client


async def held(running: Running, auditor: AsyncAnthropic) -> Reconciled:
    """Of yesterday, today and tomorrow."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = midnight - timedelta(days=1), midnight + timedelta(days=2)
    reported = await usage_report(auditor, start, end)
    return await reconcile(running.db, "anthropic", reported, start, end)


class TestReconcile:
    async def test_agrees_to_the_token_over_tenants_and_failures(
        self,
        running: Running,
        stub: Any,
        claude: FakeAnthropic,
        auditor: AsyncAnthropic,
        as_background: As,
        tenant_id: UUID,
        other_tenant_id: UUID,
    ) -> None:
        claude.script(overloaded())
        for tenant in (tenant_id, other_tenant_id):
            with as_background(tenant):
                await ask(stub, asking("Ports?", passage(ROUTER)))
        found = await held(running, auditor)
        assert (found.agrees, found.differences, found.unconfirmed) == (True, [], [])
        assert found.compared == 2
        # The command looks at whole days, the last one yesterday.
        running.advance(seconds=86_400)
        await running.rt.commands["reconcile"]()

    async def test_what_is_unconfirmed_explains_as_much_and_no_more(
        self,
        running: Running,
        stub: Any,
        claude: FakeAnthropic,
        auditor: AsyncAnthropic,
        as_background: As,
        tenant_id: UUID,
    ) -> None:
        claude.script(Answer(cut_after_events=3))
        with as_background(tenant_id), pytest.raises(Unavailable):
            await ask(stub, asking("Ports?", passage(ROUTER)))
        found = await held(running, auditor)
        ((tenant, row),) = found.unconfirmed
        assert (tenant, row.kind, found.agrees) == (tenant_id, "output_token", True)
        (difference,) = found.differences
        assert difference.ledger_units == 0 < difference.provider_units < row.units
        # A call that the ledger does not know.
        claude.billed.append((datetime.now(UTC), HAIKU, {"input_tokens": 7, "output_tokens": 0}))
        found = await held(running, auditor)
        assert not found.agrees
        unexplained = [each for each in found.differences if not each.is_explained]
        assert [each.kind for each in unexplained] == ["input_token"]
        assert unexplained[0].provider_units - unexplained[0].ledger_units == 7
        running.advance(seconds=86_400)
        with pytest.raises(FailedPrecondition, match="differ"):
            await running.rt.commands["reconcile"]()

    async def test_calls_by_a_tenants_own_key_are_not_the_fleets(
        self, running: Running, auditor: AsyncAnthropic, tenant_id: UUID
    ) -> None:
        async with running.db.tenant(tenant_id) as conn:
            await conn.execute(
                "insert into known_tenants values (%s) on conflict do nothing", [tenant_id]
            )
            columns = "create_time, service, provider, model, purpose, price_book_version"
            values = "now(), 'a', 'anthropic', 'b', 'turn', 'c'"
            call = uuid4()
            await conn.execute(
                f"insert into usage_call (call_id, tenant_id, {columns}, expire_time, operation,"  # noqa: S608
                f" reserved, reserved_nanos, paid_by) values (%s, %s, {values}, now(), 'answer',"
                " '[]', 0, 'tenant')",
                [call, tenant_id],
            )
            await conn.execute(
                f"insert into usage_entry (usage_id, call_id, tenant_id, {columns}, kind, units,"  # noqa: S608
                f" price_nanos_per_million, amount_nanos, status, paid_by) values (%s, %s, %s,"
                f" {values}, 'input_token', 5, 1, 1, 'settled', 'tenant')",
                [uuid4(), call, tenant_id],
            )
        assert (await held(running, auditor)).compared == 0

    async def test_another_key_reads_no_report(self, claude: FakeAnthropic) -> None:
        day = datetime(2026, 11, 1, tzinfo=UTC)
        async with client_of("sk-fleets", claude.url) as client:
            with pytest.raises(FailedPrecondition):
                await usage_report(client, day, day + timedelta(days=1))
