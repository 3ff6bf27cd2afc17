"""Answer by OpenAI-compatible endpoints: the official SDK against a server of that format."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fakes.faults import Failure, Reset, failed, rate_limited
from fakes.openai_server import Answer, FakeOpenAi
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetkit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FleetError,
    ResourceExhausted,
    Unavailable,
)
from harness.answers import COOKING, ROUTER, ask, asking, entries, passage
from harness.services import Running
from llm_gateway.config import OpenAiEndpoint
from pydantic import SecretStr, ValidationError

As = Callable[..., Any]
# $0.10 input, $0.125 write, $0.01 read, $0.50 output per million.
LUNA = "openai/gpt-6-luna"
# $0.30 input, $0.03 read, $2.50 output per million.
FLASH = "gemini/gemini-3.5-flash-lite"
OWN = "ollama/llama3.2:3b"
OWN_PRICES = """
version: own-1
models:
  - model: ollama/llama3.2:3b
    serves: answer
    features: [temperature]
    periods:
      - source: our own server
        date: 2026-11-28
        tiers: [{input_token: 1_000_000, output_token: 2_000_000}]
"""


@pytest.fixture
async def openai() -> AsyncIterator[FakeOpenAi]:
    server = await FakeOpenAi(cache_writes=True).start()
    yield server
    await server.stop()


@pytest.fixture
async def other() -> AsyncIterator[FakeOpenAi]:
    server = await FakeOpenAi().start()
    yield server
    await server.stop()


@pytest.fixture
async def running(start: Callable[..., Any], openai: FakeOpenAi, other: FakeOpenAi, tmp_path: Any):
    (tmp_path / "own.yaml").write_text(OWN_PRICES)
    return await start(
        openai_endpoints=(
            OpenAiEndpoint(
                name="openai",
                base_url=openai.url,
                api_key=SecretStr("sk-openai"),
                max_output_field="max_completion_tokens",
                first_token_timeout_s=2.0,
            ),
            OpenAiEndpoint(name="gemini", base_url=other.url, api_key=SecretStr("sk-gemini")),
            OpenAiEndpoint(name="ollama", base_url=other.url),
        ),
        price_book_additions_file=tmp_path / "own.yaml",
        answer_model=LUNA,
        embed_workers=0,
    )


class TestAnswer:
    async def test_streams_text_with_verified_quotes_and_without_the_marks(
        self, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        passages = passage(ROUTER), passage(COOKING)
        openai.script(
            Answer(
                text=(
                    "It has four LAN ports [[1|router has four LAN ports]], and cakes take forty"
                    " minutes [[2|bake for forty minutes]] [[2|Fold in the flour]]. Enjoy!"
                )
            )
        )
        with tenant():
            said = await ask(stub, asking("Ports and cakes?", *passages))
        assert said.text == "It has four LAN ports, and cakes take forty minutes. Enjoy!"
        first, second, third = said.citations
        assert first.quote == "router has four LAN ports"
        assert said.text[first.answer_start : first.answer_end] == "It has four LAN ports,"
        assert (second.quote, third.quote) == ("bake for forty minutes", "Fold in the flour")
        assert said.text[third.answer_start : third.answer_end].endswith("forty minutes.")
        said.check_citations(*passages)
        assert said.reason == pb.FINISH_REASON_COMPLETE
        assert said.completed is not None
        assert said.completed.support == pytest.approx(1 - len(" Enjoy!") / len(said.text))
        assert said.completed.model == LUNA

    async def test_several_endpoints_stand_side_by_side_each_with_its_key(
        self, stub: Any, tenant: Any, openai: FakeOpenAi, other: FakeOpenAi
    ) -> None:
        with tenant():
            for model in (LUNA, FLASH, OWN):
                said = await ask(stub, asking("Ports?", passage(ROUTER), model=model))
                assert said.text == "The router has four LAN ports."
                assert said.completed is not None
                assert said.completed.model == model
            listed = await stub.ListModels(pb.ListModelsRequest())
        assert (openai.keys, other.keys) == (["sk-openai"], ["sk-gemini", "none"])
        assert [body["model"] for body in other.requests] == [
            "gemini-3.5-flash-lite",
            "llama3.2:3b",
        ]
        assert {LUNA, FLASH, OWN} <= {model.model for model in listed.models}

    async def test_sends_what_the_price_book_says_that_a_model_takes(
        self, stub: Any, tenant: Any, openai: FakeOpenAi, other: FakeOpenAi
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
            screen_text='Error "E42"',
        )
        with tenant():
            await ask(stub, request)
            request.model = OWN
            await ask(stub, request)
        (body,) = openai.requests
        assert (body["max_completion_tokens"], body["temperature"]) == (200, 1.5)
        assert body["reasoning_effort"] == "none"
        assert body["tools"][0]["function"]["name"] == "hand_over"
        roles = [message["role"] for message in body["messages"]]
        assert roles == ["system", "user", "assistant", "user"]
        assert body["messages"][0]["content"].startswith("Be brief.\n\nAnswer the customer's")
        last = body["messages"][-1]["content"]
        assert last.startswith("Document 1: Router > Hardware > R7\n<document>\n# Router R7")
        assert last.endswith('"Error \\"E42\\""\n\nPorts?')
        (own,) = other.requests
        assert own["max_tokens"] == 200
        assert not {"tools", "reasoning_effort", "max_completion_tokens"} & set(own)

    async def test_what_is_not_supported_is_never_shown(
        self, running: Running, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        unsupported = {
            "cites nothing": Answer(text="Paris, of course."),
            "a quote that the passage does not have": Answer(text="Nine. [[1|has nine LAN ports]]"),
            "a document that was not sent": Answer(text="Four. [[2|four LAN ports]]"),
            "no document's number": Answer(text="Four. [[0|four LAN ports]]"),
            "a quote of a word that is everywhere": Answer(text="Nine. [[1|The]]"),
            "a mark that never closes": Answer(text="Four. [[1|four LAN ports"),
            "a decision to hand over": Answer(hand_over="missing_knowledge"),
            "cut before anything was cited": Answer(text="Well, ", finish_reason="length"),
        }
        for case, step in unsupported.items():
            openai.script(step)
            with tenant():
                said = await ask(stub, asking("Ports?", passage(ROUTER)))
            assert (said.text, said.citations) == ("", []), case
            assert said.reason == pb.FINISH_REASON_UNSUPPORTED, case
        assert await entries(running), "it was paid for all the same"
        openai.requests.clear()
        with tenant():
            said = await ask(stub, asking("Ports?"))
        assert said.reason == pb.FINISH_REASON_UNSUPPORTED
        assert openai.requests == [], "without passages nothing is asked"

    async def test_brackets_that_are_no_marks_are_text_and_foreign_links_are_taken_out(
        self, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        openai.script(
            Answer(
                text="Run [[ -f x ]] or a[[0]] [x]. See https://evil.example/x [[1|four LAN ports]]"
                "\n\n- Unplug [[1|Unplug the **power** adapter]]\n- Wait [["
            )
        )
        with tenant():
            said = await ask(stub, asking("Reset?", passage(ROUTER)))
        assert said.text == "Run [[ -f x ]] or a[[0]] [x]. See \n\n- Unplug\n- Wait"
        assert len(said.citations) == 2

    async def test_the_token_limit_is_told(
        self, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        openai.script(Answer(text="Four [[1|four LAN ports]] and", finish_reason="length"))
        with tenant():
            said = await ask(stub, asking("Ports?", passage(ROUTER)))
        assert (said.reason, said.text) == (pb.FINISH_REASON_MAX_TOKENS, "Four and")


class TestCost:
    async def test_tokens_are_told_apart_by_cache_class(
        self, running: Running, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        request = asking("Ports?", passage(ROUTER), instructions="Be brief. " * 1000)
        with tenant():
            await ask(stub, request)
            await ask(stub, request)
        wrote, read = openai.usages
        rows = await running.rows("select * from usage_entry order by usage_id")
        counted = [
            (row["kind"], row["units"], row["amount_nanos"], row["saved_nanos"]) for row in rows
        ]
        written = wrote["prompt_tokens"]
        again = read["prompt_tokens_details"]
        cached, rewritten = again["cached_tokens"], again["cache_write_tokens"]
        assert cached > 2000
        assert counted == [
            ("cache_write_30m_token", written, written * 125, -written * 25),
            ("output_token", wrote["completion_tokens"], wrote["completion_tokens"] * 500, 0),
            ("cache_read_token", cached, cached * 10, cached * 90),
            ("cache_write_30m_token", rewritten, rewritten * 125, -rewritten * 25),
            ("output_token", read["completion_tokens"], read["completion_tokens"] * 500, 0),
        ]

    async def test_a_cache_read_without_a_price_costs_as_input(
        self, running: Running, stub: Any, tenant: Any, other: FakeOpenAi
    ) -> None:
        request = asking("Ports?", passage(ROUTER), instructions="Be brief. " * 1000, model=OWN)
        with tenant():
            await ask(stub, request)
            await ask(stub, request)
        (row,) = await running.rows("select * from usage_entry where kind = 'cache_read_token'")
        assert row["units"] == other.usages[1]["prompt_tokens_details"]["cached_tokens"] > 0
        assert (row["price_nanos_per_million"], row["saved_nanos"]) == (1_000_000, 0)
        assert row["price_book_version"].endswith("+own-1")

    async def test_an_answer_without_usage_is_unconfirmed_as_reserved(
        self, running: Running, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        openai.script(Answer(tells_usage=False))
        with tenant():
            said = await ask(stub, asking("Ports?", passage(ROUTER)))
        assert said.reason == pb.FINISH_REASON_COMPLETE
        counted = await entries(running)
        assert {status for _, _, status in counted.values()} == {"unconfirmed"}
        (call,) = await running.rows("select reserved_nanos, status from usage_call")
        assert call["status"] == "unconfirmed"
        assert sum(amount for _, amount, _ in counted.values()) == call["reserved_nanos"]

    async def test_a_model_that_is_not_in_the_book_is_refused(
        self, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        with tenant(), pytest.raises(FailedPrecondition) as refused:
            await ask(stub, asking("Ports?", passage(ROUTER), model="openai/gpt-7"))
        assert refused.value.reason == "UNPRICED_MODEL"
        assert openai.requests == []


class TestFaults:
    async def failing(
        self, stub: Any, tenant: Any, openai: FakeOpenAi, *script: Any, timeout: float = 30
    ) -> FleetError:
        openai.script(*script)
        with tenant(), pytest.raises(FleetError) as error:
            await ask(stub, asking("Ports?", passage(ROUTER)), timeout)
        return error.value

    async def test_refusals_cost_nothing_and_say_what_they_are(
        self, running: Running, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        refusals: list[tuple[Failure, type[FleetError], str]] = [
            (Failure(429, "insufficient_quota"), FailedPrecondition, "PROVIDER_CREDENTIALS"),
            (Failure(401, "invalid_api_key"), FailedPrecondition, "PROVIDER_CREDENTIALS"),
            (Failure(404, "model_not_found"), FailedPrecondition, "MODEL_NOT_FOUND"),
            (Failure(400, "unknown"), FailedPrecondition, "PROVIDER_REFUSED"),
            # Last: it is not asked again before the time that it says.
            (rate_limited(7), ResourceExhausted, "PROVIDER_RATE_LIMITED"),
        ]
        for failure, kind, reason in refusals:
            error = await self.failing(stub, tenant, openai, failure)
            assert (type(error), error.reason) == (kind, reason)
            assert "sk-openai" not in error.message
        assert await entries(running) == {}

    async def test_a_failure_is_tried_again_and_then_told(
        self, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        openai.script(failed(), Failure(503, "service_unavailable"))
        with tenant():
            said = await ask(stub, asking("Ports?", passage(ROUTER)))
        assert said.reason == pb.FINISH_REASON_COMPLETE
        assert len(openai.requests) == 3
        error = await self.failing(stub, tenant, openai, *[failed()] * 3)
        assert (type(error), error.reason) == (Unavailable, "PROVIDER_FAILED")

    async def test_a_stream_that_breaks_is_unconfirmed(
        self, running: Running, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        faults: dict[str, Any] = {
            "STREAM_TRUNCATED": Answer(cut_after_events=4),
            "STREAM_BROKEN": Answer(reset_after_events=4),
            "STREAM_MALFORMED": Answer(malformed_after_events=4),
            "PROVIDER_FAILED": Answer(error_after_events=4),
            "CONTENT_FILTERED": Answer(finish_reason="content_filter"),
            "PROVIDER_UNREACHABLE": Reset(),
        }
        for reason, step in faults.items():
            error = await self.failing(stub, tenant, openai, step)
            assert (type(error), error.reason) == (Unavailable, reason)
        calls = await running.rows("select status, failure from usage_call order by call_id")
        assert [call["failure"] for call in calls] == list(faults)
        assert [call["status"] for call in calls] == [
            "failed" if reason == "CONTENT_FILTERED" else "unconfirmed" for reason in faults
        ]
        assert len(openai.requests) == len(faults), "none was sent twice"

    async def test_a_slow_first_token_ends_at_our_limit(
        self, stub: Any, tenant: Any, openai: FakeOpenAi
    ) -> None:
        error = await self.failing(stub, tenant, openai, Answer(first_token_after_s=30))
        assert (type(error), error.reason) == (DeadlineExceeded, "FIRST_TOKEN_TIMEOUT")


class TestConfiguration:
    @pytest.mark.parametrize(
        "endpoint",
        [{"name": "local", "base_url": "http://x"}, {"name": "A", "base_url": "http://x"}],
    )
    async def test_names_that_others_have_are_refused(self, start: Any, endpoint: Any) -> None:
        with pytest.raises(ValidationError):
            await start(openai_endpoints=(endpoint,))

    async def test_the_two_that_everybody_knows_need_only_a_key(self, start: Any) -> None:
        running = await start(
            openai_api_key=SecretStr("sk-1"),
            gemini_api_key=SecretStr("sk-2"),
            embed_workers=0,
            answer_model=LUNA,
        )
        named = {endpoint.name: endpoint for endpoint in running.rt.settings.endpoints}
        assert set(named) == {"openai", "gemini"}
        assert named["openai"].max_output_field == "max_completion_tokens"
