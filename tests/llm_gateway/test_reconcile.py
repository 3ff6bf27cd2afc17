"""The ledger against a provider's own report of what was used, to the token."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fakes.anthropic_server import Answer, FakeAnthropic, overloaded
from fakes.faults import Failure
from fakes.openai_server import FakeOpenAi
from fleetkit.errors import FailedPrecondition, Unavailable
from harness.answers import ROUTER, ask, asking, passage
from harness.services import Running
from llm_gateway.config import OpenAiEndpoint
from llm_gateway.providers import usage_reports
from llm_gateway.providers.usage_reports import Report
from llm_gateway.reconcile import Reconciled, reconcile
from pydantic import SecretStr

As = Callable[..., Any]
HAIKU, LUNA = "claude-haiku-5-5", "gpt-6-luna"


@pytest.fixture
async def openai() -> AsyncIterator[FakeOpenAi]:
    server = await FakeOpenAi(cache_writes=True).start()
    yield server
    await server.stop()


@pytest.fixture
async def running(start: Any, claude: FakeAnthropic, openai: FakeOpenAi) -> Running:
    endpoint = OpenAiEndpoint(
        name="openai",
        base_url=openai.url,
        api_key=SecretStr("sk-fleets"),
        max_output_field="max_completion_tokens",
    )
    return await start(
        embed_workers=0,
        anthropic_api_key="sk-fleets",
        anthropic_base_url=claude.url,
        anthropic_admin_key="sk-ant-admin-1",
        openai_endpoints=(endpoint,),
        openai_admin_key="sk-admin-1",
        answer_model=f"anthropic/{HAIKU}",
    )


@pytest.fixture
def reports(running: Running) -> Mapping[str, Report]:
    return usage_reports.configured(running.rt.settings)


async def held(
    running: Running, reports: Mapping[str, Report], provider: str = "anthropic"
) -> Reconciled:
    """Of yesterday, today and tomorrow."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = midnight - timedelta(days=1), midnight + timedelta(days=2)
    return await reconcile(running.db, provider, await reports[provider](start, end), start, end)


class TestReconcile:
    async def test_agrees_to_the_token_over_tenants_and_failures(
        self,
        running: Running,
        stub: Any,
        claude: FakeAnthropic,
        reports: Mapping[str, Report],
        as_background: As,
        tenant_id: UUID,
        other_tenant_id: UUID,
    ) -> None:
        claude.script(overloaded())
        for tenant in (tenant_id, other_tenant_id):
            with as_background(tenant):
                await ask(stub, asking("Ports?", passage(ROUTER)))
        found = await held(running, reports)
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
        reports: Mapping[str, Report],
        as_background: As,
        tenant_id: UUID,
    ) -> None:
        claude.script(Answer(cut_after_events=3))
        with as_background(tenant_id), pytest.raises(Unavailable):
            await ask(stub, asking("Ports?", passage(ROUTER)))
        found = await held(running, reports)
        ((tenant, row),) = found.unconfirmed
        assert (tenant, row.kind, found.agrees) == (tenant_id, "output_token", True)
        (difference,) = found.differences
        assert difference.ledger_units == 0 < difference.provider_units < row.units
        # A call that the ledger does not know.
        claude.billed.append((datetime.now(UTC), HAIKU, {"input_tokens": 7, "output_tokens": 0}))
        found = await held(running, reports)
        assert not found.agrees
        unexplained = [each for each in found.differences if not each.is_explained]
        assert [each.kind for each in unexplained] == ["input_token"]
        assert unexplained[0].provider_units - unexplained[0].ledger_units == 7
        running.advance(seconds=86_400)
        with pytest.raises(FailedPrecondition, match="differ: anthropic"):
            await running.rt.commands["reconcile"]()

    async def test_agrees_with_openais_report_by_every_kind_of_token(
        self,
        running: Running,
        stub: Any,
        openai: FakeOpenAi,
        reports: Mapping[str, Report],
        as_background: As,
        tenant_id: UUID,
    ) -> None:
        openai.script(Failure(503, "server_error"))
        rules = "Be kind, and say what it costs. " * 200
        question = asking("Ports?", passage(ROUTER), model=f"openai/{LUNA}", instructions=rules)
        for _ in range(2):
            with as_background(tenant_id):
                await ask(stub, question)
        found = await held(running, reports, "openai")
        assert (found.agrees, found.differences) == (True, [])
        assert found.compared == len({"cache_read_token", "cache_write_30m_token", "output_token"})
        openai.billed[0][2]["completion_tokens"] += 1
        found = await held(running, reports, "openai")
        assert [(each.model, each.kind) for each in found.differences] == [(LUNA, "output_token")]
        assert not found.agrees

    async def test_calls_by_a_tenants_own_key_are_not_the_fleets(
        self, running: Running, reports: Mapping[str, Report], tenant_id: UUID
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
        assert (await held(running, reports)).compared == 0

    @pytest.mark.parametrize("provider", ["anthropic", "openai"])
    async def test_another_key_reads_no_report(self, running: Running, provider: str) -> None:
        day = datetime(2026, 11, 1, tzinfo=UTC)
        wrong = {f"{name}_admin_key": SecretStr("sk-fleets") for name in ("anthropic", "openai")}
        reports = usage_reports.configured(running.rt.settings.model_copy(update=wrong))
        with pytest.raises(FailedPrecondition):
            await reports[provider](day, day + timedelta(days=1))
