"""Answer by Claude: the official SDK against a server that speaks its wire format."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from fakes.anthropic_server import (
    Answer,
    Block,
    Failure,
    FakeAnthropic,
    Reset,
    overloaded,
    rate_limited,
)
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.context import Attribution
from fleetkit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FleetError,
    ResourceExhausted,
    Unavailable,
)
from harness.answers import COOKING, ROUTER, Said, ask, asking, entries, passage
from harness.services import Running
from harness.waiting import eventually
from pydantic import SecretStr

As = Callable[..., Any]
# Cache minimum 4,096 tokens; $1 input, $1.25 write, $0.10 read, $5 output per million.
HAIKU = "anthropic/claude-haiku-4-5"


@pytest.fixture
async def claude() -> AsyncIterator[FakeAnthropic]:
    server = await FakeAnthropic(cache_minimum_tokens=4096).start()
    yield server
    await server.stop()


@pytest.fixture
async def running(start: Callable[..., Any], claude: FakeAnthropic) -> Running:
    return await start(
        anthropic_api_key=SecretStr("sk-test"),
        anthropic_base_url=claude.url,
        anthropic_first_token_timeout_s=2.0,
        answer_model=HAIKU,
        embed_workers=0,
    )


class TestAnswer:
    async def test_streams_text_with_verified_citations(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        passages = passage(ROUTER), passage(COOKING)
        claude.script(
            Answer(
                [
                    Block("The router has four LAN ports, ", ((0, 0, 1),)),
                    Block("and cakes are baked for forty minutes.", ((1, 1, 2),)),
                    Block(" Enjoy!"),
                ]
            )
        )
        with tenant():
            said = await ask(stub, asking("Ports and cakes?", *passages))
        assert said.text == (
            "The router has four LAN ports, and cakes are baked for forty minutes. Enjoy!"
        )
        first, second = said.citations
        assert first.quote == "The router has four LAN ports."
        assert second.quote == "Fold in the flour and bake for forty minutes."
        assert said.text[second.answer_start : second.answer_end].startswith("and cakes")
        said.check_citations(*passages)
        assert said.reason == pb.FINISH_REASON_COMPLETE
        assert said.completed is not None
        assert said.completed.support == pytest.approx(1 - len(" Enjoy!") / len(said.text))
        assert said.completed.model == HAIKU

    async def test_sends_the_prompt_in_the_order_that_caching_needs(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        history = [
            pb.HistoryTurn(text="Welcome!"),
            pb.HistoryTurn(from_visitor=True, text="Hi."),
            pb.HistoryTurn(from_visitor=True, text="Are you there?"),
            pb.HistoryTurn(text="Yes."),
        ]
        request = asking(
            "Ports?",
            passage(ROUTER, "Router", heading_path=["Hardware", "R7"]),
            passage(" "),
            history=history,
            instructions="Be brief.",
            max_tokens=200,
            temperature_millis=1500,
        )
        with tenant():
            await ask(stub, request)
        (body,) = claude.requests
        assert body["system"][0]["text"].startswith("Be brief.\n\nAnswer the customer's question")
        assert (body["max_tokens"], body["stream"]) == (200, True)
        roles = [message["role"] for message in body["messages"]]
        assert roles == ["user", "assistant", "user"]
        (document, question) = body["messages"][-1]["content"]
        assert question["text"] == "Ports?"
        assert document["context"] == "Hardware > R7"
        assert document["citations"] == {"enabled": True}
        assert "".join(part["text"] for part in document["source"]["content"]) == ROUTER.rstrip()
        assert "cache_control" not in str(body)

    async def test_what_is_not_supported_is_never_shown(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        unsupported = {
            "cites nothing": Answer([Block("Paris, of course.")]),
            "a quote that the passage does not have": Answer(
                [Block("It has nine ports.", ((0, 0, 1),), quote="The router has nine ports.")]
            ),
            "a document that was not sent": Answer(
                [Block("See elsewhere.", ((7, 0, 1),), quote="elsewhere")]
            ),
            "a decision to hand over": Answer(hand_over="missing_knowledge"),
            "cut before anything was cited": Answer([Block("Well, ")], stop_reason="max_tokens"),
        }
        for case, step in unsupported.items():
            claude.script(step)
            with tenant():
                said = await ask(stub, asking("Ports?", passage(ROUTER)))
            assert (said.text, said.citations) == ("", []), case
            assert said.reason == pb.FINISH_REASON_UNSUPPORTED, case
        assert len(await entries(running)) == 2, "it was paid for all the same"
        claude.requests.clear()
        with tenant():
            said = await ask(stub, asking("Ports?"))
        assert said.reason == pb.FINISH_REASON_UNSUPPORTED
        assert claude.requests == [], "without passages nothing is asked"

    async def test_links_that_no_passage_has_are_taken_out(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        text = (
            "Reset it. See https://example.com/networks, not https://evil.example/x?q=1 or "
            "mail help@evil.example. Done"
        )
        claude.script(Answer([Block(text, ((0, 0, 1),))]))
        with tenant():
            said = await ask(stub, asking("Reset?", passage(ROUTER)))
        assert said.text == "Reset it. See https://example.com/networks, not  or mail . Done"
        assert said.citations[0].answer_end == len(said.text)

    async def test_the_token_limit_is_told(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(Answer(stop_reason="max_tokens"))
        with tenant():
            said = await ask(stub, asking("Ports?", passage(ROUTER)))
        assert said.reason == pb.FINISH_REASON_MAX_TOKENS
        assert said.text

    async def test_answers_at_the_same_time_do_not_mix(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        texts = [f"Number {n} is the number. Nothing else is known." for n in range(16)]

        async def one(text: str) -> Said:
            return await ask(stub, asking("Which number?", passage(text)))

        with tenant():
            said = await asyncio.gather(*map(one, texts))
        for text, answer in zip(texts, said, strict=True):
            assert answer.text.strip() == text.split(". ")[0] + "."


class TestCost:
    async def test_is_what_the_provider_reports(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        with tenant():
            await ask(stub, asking("Ports?", passage(ROUTER)))
        (usage,) = claude.usages
        assert await entries(running) == {
            "input_token": (usage["input_tokens"], usage["input_tokens"] * 1_000, "settled"),
            "output_token": (usage["output_tokens"], usage["output_tokens"] * 5_000, "settled"),
        }

    async def test_cached_tokens_are_told_apart_with_what_they_save(
        self,
        running: Running,
        stub: Any,
        as_background: As,
        tenant_id: UUID,
        claude: FakeAnthropic,
    ) -> None:
        request = asking(
            "Ports?", passage(ROUTER), instructions="Be brief. " * 1800, prompt_caching=True
        )
        # Two requests to learn from that the third, a minute later, will not be the last.
        with as_background(tenant_id, Attribution(agent_id=uuid4())):
            for _ in range(4):
                await ask(stub, request)
                running.advance(61)
        wrote, read = claude.usages[-2:]
        tokens = wrote["cache_creation_input_tokens"]
        assert tokens == read["cache_read_input_tokens"] > 4096
        rows = await running.rows("select * from usage_entry where kind like 'cache%%' order by 1")
        write, again = rows
        assert (write["kind"], write["units"]) == ("cache_write_5m_token", tokens)
        assert (write["amount_nanos"], write["saved_nanos"]) == (tokens * 1_250, -tokens * 250)
        assert (again["kind"], again["units"]) == ("cache_read_token", tokens)
        assert (again["amount_nanos"], again["saved_nanos"]) == (tokens * 100, tokens * 900)


class TestFaults:
    async def failing(
        self, stub: Any, tenant: Any, claude: FakeAnthropic, *script: Any, timeout: float = 30
    ) -> FleetError:
        claude.script(*script)
        with tenant(), pytest.raises(FleetError) as failed:
            await ask(stub, asking("Ports?", passage(ROUTER)), timeout)
        return failed.value

    async def test_a_rate_limit_says_when_to_come_back_and_costs_nothing(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        error = await self.failing(stub, tenant, claude, rate_limited(7))
        assert isinstance(error, ResourceExhausted)
        assert error.reason == "PROVIDER_RATE_LIMITED"
        assert error.retry_after_s == pytest.approx(7)
        assert await entries(running) == {}
        (call,) = await running.rows("select status, failure from usage_call")
        assert call == {"status": "failed", "failure": "PROVIDER_RATE_LIMITED"}

    async def test_overload_is_tried_again_and_then_told(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(overloaded(), Failure(500, "api_error"))
        with tenant():
            said = await ask(stub, asking("Ports?", passage(ROUTER)))
        assert said.reason == pb.FINISH_REASON_COMPLETE
        assert len(claude.requests) == 3
        assert len(await running.rows("select from usage_call")) == 1
        error = await self.failing(stub, tenant, claude, *[overloaded()] * 3)
        assert isinstance(error, Unavailable)
        assert error.reason == "PROVIDER_OVERLOADED"

    async def test_a_wrong_key_names_the_setting_and_not_the_key(
        self, start: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        running = await start(
            anthropic_api_key=SecretStr("wrong"),
            anthropic_base_url=claude.url,
            answer_model=HAIKU,
            embed_workers=0,
        )
        stub = running.stub(LlmGatewayServiceStub, caller="conversation")
        error = await self.failing(stub, tenant, claude)
        assert isinstance(error, FailedPrecondition)
        assert error.reason == "PROVIDER_CREDENTIALS"
        assert "wrong" not in error.message

    async def test_a_stream_that_breaks_is_counted_once_and_its_output_unconfirmed(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        faults = {
            "STREAM_TRUNCATED": Answer(cut_after_events=6),
            "STREAM_BROKEN": Answer(reset_after_events=6),
            "STREAM_MALFORMED": Answer(malformed_after_events=6),
            "PROVIDER_OVERLOADED": Answer(error_after_events=6),
        }
        for reason, step in faults.items():
            error = await self.failing(stub, tenant, claude, step)
            assert isinstance(error, Unavailable)
            assert error.reason == reason
        rows = await running.rows("select * from usage_entry order by kind, usage_id")
        inputs, outputs = rows[:4], rows[4:]
        assert [(row["units"], row["status"]) for row in inputs] == [
            (usage["input_tokens"], "settled") for usage in claude.usages
        ]
        assert {(row["units"], row["status"]) for row in outputs} == {(1024, "unconfirmed")}
        calls = await running.rows("select status, failure from usage_call order by call_id")
        assert [call["failure"] for call in calls] == list(faults)
        assert {call["status"] for call in calls} == {"unconfirmed"}

    async def test_a_connection_that_breaks_before_the_answer_is_unconfirmed_as_reserved(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        error = await self.failing(stub, tenant, claude, Reset())
        assert isinstance(error, Unavailable)
        assert len(claude.requests) == 1, "it may have been billed: not tried again"
        counted = await entries(running)
        assert {status for _, _, status in counted.values()} == {"unconfirmed"}
        (call,) = await running.rows("select reserved_nanos from usage_call")
        assert sum(amount for _, amount, _ in counted.values()) == call["reserved_nanos"]

    async def test_a_slow_first_token_ends_at_our_limit(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        error = await self.failing(stub, tenant, claude, Answer(first_token_after_s=30))
        assert isinstance(error, DeadlineExceeded)
        assert error.reason == "FIRST_TOKEN_TIMEOUT"

    async def test_the_callers_deadline_ends_it_sooner_and_the_cost_stays(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        step = Answer(first_token_after_s=30)
        error = await self.failing(stub, tenant, claude, step, timeout=0.5)
        assert isinstance(error, DeadlineExceeded)

        async def settled() -> dict[str, tuple[int, int, str]]:
            return await entries(running)

        counted = await eventually(settled)
        assert counted["input_token"][2] == "settled"
        assert counted["output_token"] == (1024, 1024 * 5_000, "unconfirmed")

    async def test_a_caller_that_goes_away_leaves_the_cost_on_the_ledger(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(Answer(first_token_after_s=30))
        with tenant():
            work = asyncio.create_task(ask(stub, asking("Ports?", passage(ROUTER))))

        async def asked() -> bool:
            return bool(claude.usages)

        await eventually(asked)
        work.cancel()

        async def closed() -> list[dict[str, Any]]:
            return await running.rows("select failure from usage_call where status <> 'open'")

        assert await eventually(closed) == [{"failure": "CANCELLED"}]
        assert (await entries(running))["output_token"][2] == "unconfirmed"
