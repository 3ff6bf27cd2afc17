"""Answer with the local extractive provider: who may call, what it says, what it cites."""

import math
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetkit.context import Attribution
from fleetkit.errors import FailedPrecondition, InvalidArgument
from harness.access import assert_refuses_strangers
from harness.answers import COOKING, ROUTER, SHIPPING, ask, asking, passage
from harness.services import Running

As = Callable[..., Any]


class TestExtractive:
    async def test_refuses_strangers(self, running: Running) -> None:
        request = asking("How?", passage(ROUTER))
        method = "fleetdesk.llm_gateway.v1.LlmGatewayService.Answer"
        await assert_refuses_strangers(running, method, request)

    async def test_answers_with_the_steps_together_and_cites_them(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        passages = passage(ROUTER), passage(SHIPPING), passage(COOKING)
        request = asking("How do I restore the factory settings?", *passages)
        with as_background(tenant_id):
            said = await ask(stub, request)
        assert said.text.startswith(
            "To restore the factory settings:\n"
            "1. Unplug the power adapter.\n"
            "2. Hold the reset button for ten seconds.\n"
            "3. Plug the adapter in again."
        )
        assert "eggs" not in said.text
        assert said.citations[0].chunk_id == passages[0].chunk_id
        assert said.citations[0].quote.startswith("To restore")
        assert said.citations[0].quote.endswith("again.")
        said.check_citations(*passages)
        assert said.completed is not None
        assert said.completed.finish_reason == pb.FINISH_REASON_COMPLETE
        assert said.completed.support > 0.5
        assert said.completed.model == "local/extractive"

    async def test_answers_a_fact_with_its_sentence_from_any_passage(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        passages = passage(ROUTER), passage(COOKING), passage(SHIPPING, "Delivery")
        with as_background(tenant_id):
            said = await ask(stub, asking("How long does delivery take?", *passages))
        assert said.text == "Delivery takes three to five working days."
        assert [c.chunk_id for c in said.citations] == [passages[2].chunk_id]

    async def test_says_nothing_when_the_passages_do_not_answer(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        passages = passage(ROUTER), passage(SHIPPING)
        with as_background(tenant_id):
            said = await ask(stub, asking("What is the capital of France?", *passages))
            empty = await ask(stub, asking("How do I reset it?", passage(" \n")))
            none = await ask(stub, asking("How do I reset it?"))
        for nothing in (said, empty, none):
            assert (nothing.text, nothing.citations) == ("", [])
            assert nothing.reason == pb.FINISH_REASON_UNSUPPORTED

    async def test_a_short_question_that_asks_on_is_answered(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        history = [
            pb.HistoryTurn(from_visitor=True, text="How heavy is the router?"),
            pb.HistoryTurn(from_visitor=False, text="It weighs 300 grams."),
        ]
        request = asking("And LAN ports?", passage(ROUTER), history=history)
        with as_background(tenant_id):
            said = await ask(stub, request)
        assert "four LAN ports" in said.text

    async def test_a_visitor_may_ask(self, stub: Any, as_identity: As, tenant_id: UUID) -> None:
        with as_identity(tenant_id, kind="visitor", conversation_id=uuid4()):
            said = await ask(stub, asking("How many LAN ports?", passage(ROUTER)))
        assert said.reason == pb.FINISH_REASON_COMPLETE

    async def test_the_cost_is_committed_before_the_end_is_told(
        self, running: Running, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        for_whom = Attribution(purpose="turn", message_id=uuid4(), conversation_id=uuid4())
        with as_background(tenant_id, for_whom):
            said = await ask(stub, asking("How many LAN ports?", passage(ROUTER)))
        assert said.completed is not None
        (row,) = await running.rows("select * from usage_entry")
        assert str(row["call_id"]) == said.completed.call_id
        assert row["message_id"] == for_whom.message_id
        assert (row["model"], row["kind"]) == ("extractive", "compute_us")
        assert row["amount_nanos"] > 0


class TestBadInput:
    async def test_names_the_field(
        self, running: Running, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        twice = passage("x", chunk_id="same")
        cases: list[tuple[pb.AnswerRequest, str]] = [
            (asking(""), "question"),
            (asking(" \n\t"), "question"),
            (asking("x" * 16_001), "question"),
            (asking("x", *[passage("x") for _ in range(21)]), "passages"),
            (asking("x", pb.Passage(text="x", chunk_id="a")), "passages[0]"),
            (asking("x", twice, twice), "passages[1].chunk_id"),
            (asking("x", passage("x" * 64_001)), "passages[0].text"),
            (asking("x", passage("x", score=math.nan)), "passages[0].score"),
            (asking("x", passage("x", score=-math.inf)), "passages[0].score"),
            (asking("x", max_tokens=99), "max_tokens"),
            (asking("x", max_tokens=4001), "max_tokens"),
            (asking("x", temperature_millis=2001), "temperature_millis"),
            (asking("x", temperature_millis=-1), "temperature_millis"),
            (asking("x", instructions="x" * 256_001), "history"),
            (asking("x", history=[pb.HistoryTurn(text="x")] * 101), "history"),
            (asking("x", model="extractive"), "model"),
            (asking("x", model="local/"), "model"),
            (asking("x", model="local/all-minilm-l6-v2"), "model"),
        ]
        for request, field in cases:
            with as_background(tenant_id), pytest.raises(InvalidArgument) as refused:
                await ask(stub, request)
            assert refused.value.field == field, request.model
        assert await running.rows("select * from usage_call") == []

    async def test_unpriced_and_unconfigured_models_are_refused(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        for model, reason in (
            ("local/gpt", "UNPRICED_MODEL"),
            ("anthropic/claude-haiku-5-5", "PROVIDER_NOT_CONFIGURED"),
        ):
            with as_background(tenant_id), pytest.raises(FailedPrecondition) as refused:
                await ask(stub, asking("x", model=model))
            assert refused.value.reason == reason

    async def test_hostile_passages_are_only_text(
        self, stub: Any, as_background: As, tenant_id: UUID
    ) -> None:
        hostile = [
            "```" * 5000,
            "|" * 60_000,
            "[" * 20_000 + "](" * 10_000,
            "<!--" * 10_000,
            "*" * 60_000,
            "1. " * 20_000,
            "\u0000\u202e\ud7ff" * 5000,
            "> " * 30_000,
            "a" * 64_000,
        ]
        passages = [passage(text) for text in hostile] + [passage(ROUTER)]
        with as_background(tenant_id):
            said = await ask(stub, asking("How many LAN ports does the router have?", *passages))
        assert "four LAN ports" in said.text
        said.check_citations(*passages)
