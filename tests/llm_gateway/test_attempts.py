"""The ladder of models: who takes over when, what the visitor sees of it, what it costs."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from fakes.anthropic_server import Answer, Block, Failure, FakeAnthropic, overloaded, rate_limited
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as settings_pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.llm_gateway.v1.model_settings_service_pb2_grpc import ModelSettingsServiceStub
from fleetkit.errors import InvalidArgument, ResourceExhausted, Unavailable
from harness.answers import ROUTER, Said, ask, asking, passage
from harness.services import Running
from pydantic import SecretStr

As = Callable[..., Any]
HAIKU = "anthropic/claude-haiku-5-5"
SONNET = "anthropic/claude-sonnet-5-5"
OPUS = "anthropic/claude-opus-5-5"
EXTRACTIVE = "local/extractive"
PORTS = "The router has four LAN ports. "
WEIGHS = "It weighs 300 grams."
# Blocks 0 and 1 of the fake's first document.
PORTS_BLOCK = Block(PORTS, ((0, 1, 2),))
WEIGHS_BLOCK = Block(WEIGHS, ((0, 2, 3),))


@pytest.fixture
def begin(start: Callable[..., Any], claude: FakeAnthropic) -> Callable[..., Any]:
    """llm-gateway with the fake Claude, and without local models unless it is told to."""

    async def begin(**settings: Any) -> Running:
        defaults = {"embed_workers": 0, "answer_model": HAIKU, "anthropic_base_url": claude.url}
        return await start(anthropic_api_key=SecretStr("sk-test"), **{**defaults, **settings})

    return begin


@pytest.fixture
async def running(begin: Callable[..., Any]) -> Running:
    return await begin()


def laddered(*models: str, **fields: Any) -> pb.AnswerRequest:
    question = fields.pop("question", "How many ports does it have, and what does it weigh?")
    return asking(question, passage(ROUTER), model=models[0], next_models=models[1:], **fields)


async def tiers(running: Running) -> list[tuple[int, str, str]]:
    """Tier, reason and model of every call of the ledger, in the order they were made."""
    rows = await running.rows(
        "select tier, tier_reason, provider || '/' || model as model from usage_call"
        " where operation = 'answer' order by create_time, call_id"
    )
    return [(row["tier"], row["tier_reason"], row["model"]) for row in rows]


class TestNextModel:
    async def test_answers_where_the_first_fails_and_nothing_of_that_is_seen(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        failures: list[tuple[Any, str]] = [
            (Answer(hand_over="missing_knowledge"), "not_answered"),
            (Answer([Block("Nobody knows that.")]), "not_answered"),
            (Answer([Block("It weighs 480 grams.", ((0, 2, 3),))]), "not_supported"),
            (Answer([Block("Many words. " * 80), WEIGHS_BLOCK]), "not_supported"),
            (Failure(403, "permission_error"), "provider_refused"),
            (Answer(error_after_events=2), "provider_failed"),
            (rate_limited(30), "rate_limited"),
        ]
        for step, reason in failures:
            claude.script(step, Answer([PORTS_BLOCK, WEIGHS_BLOCK]))
            with tenant():
                said = await ask(stub, laddered(HAIKU, SONNET))
            assert said.text == PORTS + WEIGHS, reason
            assert said.completed is not None
            assert (said.completed.tier, said.completed.tier_reason) == (2, reason)
            assert said.completed.model == SONNET
        models = [body["model"] for body in claude.requests]
        assert models == ["claude-haiku-5-5", "claude-sonnet-5-5"] * len(failures)
        expected = [[(1, "", HAIKU), (2, reason, SONNET)] for _, reason in failures]
        assert await tiers(running) == [call for pair in expected for call in pair]

    async def test_answers_when_the_first_is_too_slow_to_begin(
        self, begin: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        running = await begin(attempt_first_text_s=2.0)
        claude.script(Answer(first_token_after_s=30))
        with tenant():
            stub = running.stub(LlmGatewayServiceStub, caller="conversation")
            said = await ask(stub, laddered(HAIKU, SONNET))
        assert said.text
        assert await tiers(running) == [(1, "", HAIKU), (2, "too_slow", SONNET)]

    async def test_is_not_asked_when_the_first_answers(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        with tenant():
            said = await ask(stub, laddered(HAIKU, SONNET, OPUS))
        assert said.completed is not None
        assert (said.completed.tier, said.completed.tier_reason) == (1, "")
        assert await tiers(running) == [(1, "", HAIKU)]

    async def test_each_attempt_has_rows_of_its_own(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(Answer(hand_over="missing_knowledge"))
        with tenant():
            await ask(stub, laddered(HAIKU, SONNET))
        rows = await running.rows(
            "select tier, kind, units from usage_entry where provider = 'anthropic'"
            " order by tier, kind"
        )
        first, second = claude.usages
        assert [(row["tier"], row["kind"], row["units"]) for row in rows] == [
            (1, "input_token", first["input_tokens"]),
            (1, "output_token", first["output_tokens"]),
            (2, "input_token", second["input_tokens"]),
            (2, "output_token", second["output_tokens"]),
        ]

    async def test_nobody_answers_is_unsupported_and_an_error_after_it_does_not_change_that(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(Answer(hand_over="missing_knowledge"), Failure(403, "permission_error"))
        with tenant():
            said = await ask(stub, laddered(HAIKU, SONNET))
        assert (said.text, said.reason) == ("", pb.FINISH_REASON_UNSUPPORTED)
        assert said.completed is not None
        assert said.completed.tier == 1

    async def test_when_every_provider_fails_the_last_error_passes(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(*[overloaded()] * 3, rate_limited(7))
        with tenant(), pytest.raises(ResourceExhausted) as failed:
            await ask(stub, laddered(HAIKU, SONNET))
        assert failed.value.reason == "PROVIDER_RATE_LIMITED"

    async def test_the_local_model_is_a_last_resort(
        self, begin: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        running = await begin(embed_workers=1)
        stub = running.stub(LlmGatewayServiceStub, caller="conversation")
        claude.script(*[overloaded()] * 3)
        request = laddered(HAIKU, EXTRACTIVE, question="How many LAN ports?")
        with tenant():
            said = await ask(stub, request)
        assert said.text == "The router has four LAN ports."
        said.check_citations(*request.passages)
        assert await tiers(running) == [(1, "", HAIKU), (2, "provider_failed", EXTRACTIVE)]
        claude.script(Answer([PORTS_BLOCK, WEIGHS_BLOCK], cut_after_events=12))
        request = laddered(HAIKU, EXTRACTIVE, question="How many LAN ports, what does it weigh?")
        with tenant():
            said = await ask(stub, request)
        assert said.text.startswith(PORTS)
        assert said.text.count("four LAN ports") == 1, "it goes on without repeating"
        said.check_citations(*request.passages)

    async def test_a_visitor_who_asks_again_begins_further_up(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        for first_tier in (2, 3):
            with tenant():
                await ask(stub, laddered(HAIKU, SONNET, first_tier=first_tier))
        assert await tiers(running) == [(2, "rephrased", SONNET)] * 2

    async def test_a_model_further_down_answers_where_the_better_ones_are_away(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(Failure(403, "permission_error"))
        with tenant():
            said = await ask(stub, laddered(HAIKU, SONNET, first_tier=2))
        assert said.reason == pb.FINISH_REASON_COMPLETE
        claude.script(Answer(hand_over="missing_knowledge"))
        with tenant():
            said = await ask(stub, laddered(HAIKU, SONNET, first_tier=2))
        assert said.reason == pb.FINISH_REASON_UNSUPPORTED, "the better one has judged it"
        assert await tiers(running) == [
            (2, "rephrased", SONNET),
            (1, "provider_refused", HAIKU),
            (2, "rephrased", SONNET),
        ]

    async def test_a_difficult_question_begins_with_the_second_model(
        self, running: Running, stub: Any, tenant: Any
    ) -> None:
        with tenant():
            await ask(stub, laddered(HAIKU, SONNET, difficult_share_millis=1000))
            await ask(stub, laddered(HAIKU, difficult_share_millis=1000))
        assert await tiers(running) == [(2, "difficult", SONNET), (1, "", HAIKU)]

    async def test_a_model_that_went_away_is_left_out(self, stub: Any, tenant: Any) -> None:
        with tenant():
            said = await ask(stub, laddered("openai/gpt-6-luna", SONNET))
        assert said.completed is not None
        assert (said.completed.tier, said.completed.model) == (2, SONNET)

    async def test_bad_ladders_name_the_field(self, stub: Any, tenant: Any) -> None:
        for request, field in (
            (laddered(HAIKU, SONNET, OPUS, EXTRACTIVE), "next_models"),
            (laddered(HAIKU, SONNET, HAIKU), "next_models"),
            (laddered("", HAIKU), "next_models"),
            (laddered(HAIKU, first_tier=4), "first_tier"),
            (laddered(HAIKU, difficult_share_millis=1001), "difficult_share_millis"),
        ):
            with tenant(), pytest.raises(InvalidArgument) as refused:
                await ask(stub, request)
            assert refused.value.field == field


class TestGoingOn:
    """What was shown stays, and the next model goes on after it."""

    async def gone_on(
        self, stub: Any, tenant: Any, claude: FakeAnthropic, *blocks: Block, cut: int = 12
    ) -> Said:
        """Cut within the second sentence; `blocks` are the next model's."""
        claude.script(
            Answer([PORTS_BLOCK, WEIGHS_BLOCK], cut_after_events=cut), Answer(list(blocks))
        )
        request = laddered(HAIKU, SONNET)
        with tenant():
            said = await ask(stub, request)
        said.check_citations(*request.passages)
        return said

    async def test_goes_on_right_after_what_was_shown(
        self, running: Running, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        said = await self.gone_on(stub, tenant, claude, WEIGHS_BLOCK)
        assert said.text == PORTS + WEIGHS
        assert [said.text[c.answer_start : c.answer_end] for c in said.citations] == [
            PORTS,
            WEIGHS,
        ]
        assert said.completed is not None
        assert said.reason == pb.FINISH_REASON_COMPLETE
        assert (said.completed.tier, said.completed.tier_reason) == (2, "provider_failed")
        assert said.completed.support == 1
        told = claude.requests[1]["messages"][-1]["content"][-1]["text"]
        assert told.endswith('"The router has four LAN ports. "')
        entries = await running.rows(
            "select tier, status from usage_entry where kind = 'output_token'"
        )
        assert {(row["tier"], row["status"]) for row in entries} == {
            (1, "unconfirmed"),
            (2, "settled"),
        }

    @pytest.mark.parametrize(
        "again",
        [
            # Word for word, in other words from the same sentence, and without saying what from.
            (PORTS_BLOCK, WEIGHS_BLOCK),
            (Block("There are 4 LAN ports on it. ", ((0, 1, 2),)), WEIGHS_BLOCK),
            (Block(f"{PORTS}{WEIGHS}", ((0, 2, 3),)),),
        ],
    )
    async def test_never_repeats_what_was_shown(
        self, stub: Any, tenant: Any, claude: FakeAnthropic, again: tuple[Block, ...]
    ) -> None:
        said = await self.gone_on(stub, tenant, claude, *again)
        assert said.text == PORTS + WEIGHS
        assert len(said.citations) == 2

    async def test_a_remark_is_not_added_to_anothers_answer(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        said = await self.gone_on(stub, tenant, claude, WEIGHS_BLOCK, Block(" Anything else?"))
        assert said.text == PORTS + WEIGHS

    async def test_a_sentence_is_shown_whole_or_not_at_all(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        half = Block("The router has four ports, ", ((0, 1, 2),))
        claude.script(Answer([half, WEIGHS_BLOCK], cut_after_events=11), Answer([PORTS_BLOCK]))
        with tenant():
            said = await ask(stub, laddered(HAIKU, SONNET))
        assert said.text == PORTS

    async def test_without_anyone_to_go_on_the_error_passes_after_what_was_shown(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(
            Answer([PORTS_BLOCK, WEIGHS_BLOCK], cut_after_events=12), Answer(cut_after_events=3)
        )
        with tenant(), pytest.raises(Unavailable):
            await ask(stub, laddered(HAIKU, SONNET))

    async def test_is_partial_when_the_next_model_has_nothing_to_add(
        self, stub: Any, tenant: Any, claude: FakeAnthropic
    ) -> None:
        claude.script(
            Answer([PORTS_BLOCK, WEIGHS_BLOCK], cut_after_events=12),
            Answer(hand_over="missing_knowledge"),
        )
        with tenant():
            said = await ask(stub, laddered(HAIKU, SONNET))
        assert (said.text, said.reason) == (PORTS, pb.FINISH_REASON_PARTIAL)


class TestCircuits:
    async def test_a_model_that_said_when_to_come_back_is_not_asked_before(
        self,
        running: Running,
        stub: Any,
        tenant: Any,
        claude: FakeAnthropic,
        as_identity: As,
        tenant_id: UUID,
    ) -> None:
        claude.script(rate_limited(30))
        with tenant():
            await ask(stub, laddered(HAIKU, SONNET))
            again = await ask(stub, laddered(HAIKU, SONNET))
            with pytest.raises(Unavailable) as refused:
                await ask(stub, laddered(HAIKU))
        assert again.completed is not None
        assert (again.completed.tier, again.completed.tier_reason) == (2, "cooling_down")
        assert refused.value.reason == "MODELS_COOLING_DOWN"
        assert 0 < (refused.value.retry_after_s or 0) <= 30
        assert len(claude.requests) == 3
        settings = running.stub(ModelSettingsServiceStub, caller="gateway")
        with as_identity(tenant_id, role="viewer"):
            listed = (await settings.ListModelHealth(settings_pb.ListModelHealthRequest())).models
        models = {model.model: model for model in listed}
        assert models[HAIKU].circuit == pb.CIRCUIT_STATE_OPEN
        assert models[HAIKU].last_reason == "PROVIDER_RATE_LIMITED"
        assert 0 < models[HAIKU].retry_after_ms <= 30_000
        assert models[SONNET].circuit == pb.CIRCUIT_STATE_CLOSED
        assert models[SONNET].HasField("last_success_time")
