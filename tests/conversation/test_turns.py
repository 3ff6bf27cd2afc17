"""A turn, from the question to what it came to."""

import asyncio
from uuid import uuid4

import pytest
from fakes.neighbours import ANSWER_NANOS, EMBED_NANOS, completed, passage, quote
from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as service
from fleetdesk.conversation.v1 import events_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetkit.errors import (
    AlreadyExists,
    FailedPrecondition,
    FleetError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from harness.conversing import kinds, said

QUESTION = "How do I reset the router?"
ANSWER = "Hold the reset button for ten seconds."


def handoff_of(events: list[pb.TurnEvent]) -> "pb.HandoffReason.ValueType":
    """Why a person was asked for; 0 when none was."""
    return next((each.handoff.reason for each in events if each.HasField("handoff")), 0)  # type: ignore[return-value]


class TestAnswer:
    async def test_streams_text_then_citations_then_the_whole_message(self, visitor, neighbours):
        events = await visitor.ask(QUESTION)
        assert kinds(events) == ["started", "delta", "citations", "finished"]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert said(events) == ANSWER
        message = events[-1].finished.message
        assert message.text == ANSWER
        assert (message.status, message.outcome) == (
            pb.MESSAGE_STATUS_COMPLETED,
            pb.OUTCOME_ANSWERED,
        )
        assert (message.model, message.tier) == ("fake/writer", 1)
        assert message.confidence == pytest.approx(0.81)
        assert message.relevance == pytest.approx(0.9)
        assert message.first_token_ms > 0
        [citation] = message.citations
        found = neighbours.retrieval.results[0]
        assert (citation.title, citation.url) == (found.title, found.url)
        assert found.text[citation.start : citation.end] == citation.quote == ANSWER
        [used] = message.passages
        assert (used.chunk_id, used.cited) == (found.chunk_id, True)

    async def test_costs_what_the_ledger_says_of_this_message(self, visitor, neighbours):
        message = (await visitor.ask(QUESTION))[-1].finished.message
        assert message.receipt.total_nanos == EMBED_NANOS + ANSWER_NANOS
        assert [item.service for item in message.receipt.items] == ["retrieval", "conversation"]
        [call] = neighbours.llm.calls
        work = call.attribution
        assert (work.purpose, str(work.message_id)) == ("turn", message.message_id)
        assert str(work.conversation_id) == visitor.conversation_id
        assert (str(work.agent_id), str(work.visitor_id)) == (
            visitor.agent_id,
            visitor.visitor_id,
        )
        assert call.identity is None
        assert neighbours.retrieval.calls[0].attribution == work

    @pytest.mark.parametrize("rerank", [False, True])
    async def test_has_passages_reranked_where_that_is_set(self, start, arrive, neighbours, rerank):
        visitor = await arrive(await start(rerank_turns=rerank))
        await visitor.ask(QUESTION)
        assert neighbours.retrieval.reranks == [rerank]

    async def test_tells_the_bus_without_any_text(self, running, visitor):
        message = (await visitor.ask(QUESTION))[-1].finished.message
        [event] = await running.events(events_pb2.MessageCompleted)
        assert event["messageId"] == message.message_id
        assert (event["status"], event["outcome"]) == (
            "MESSAGE_STATUS_COMPLETED",
            "OUTCOME_ANSWERED",
        )
        assert (event["confidenceMillis"], event["relevanceMillis"]) == (810, 900)
        [stored] = await running.events(events_pb2.MessageStored)
        assert stored["role"] == "MESSAGE_ROLE_VISITOR"
        bodies = await running.rows("select body from outbox")
        assert not [row for row in bodies if "reset" in row["body"].lower()]

    async def test_hands_the_model_everything_it_needs(self, arrive, running, neighbours):
        visitor = await arrive(
            running, instructions="Never mention prices.", max_tokens=200, prompt_caching=True
        )
        await visitor.ask("My light is red.")
        await visitor.ask(QUESTION)
        request = neighbours.llm.requests[-1]
        assert request.question == QUESTION
        assert request.instructions.endswith("Never mention prices.")
        assert (request.max_tokens, request.prompt_caching) == (200, True)
        assert [passage.text for passage in request.passages] == [
            neighbours.retrieval.results[0].text
        ]
        assert [(turn.from_visitor, turn.text) for turn in request.history] == [
            (True, "My light is red."),
            (False, ANSWER),
        ]

    async def test_says_which_model_of_the_ladder_answered(self, arrive, running, neighbours):
        neighbours.llm.models += ["fake/dear"]
        visitor = await arrive(running, model="fake/writer", next_models=["fake/dear"])
        found = neighbours.retrieval.results[0]
        neighbours.llm.script = (ANSWER, quote(found, ANSWER, ANSWER), completed(tier=2))
        message = (await visitor.ask(QUESTION))[-1].finished.message
        assert message.tier == 2
        request = neighbours.llm.requests[-1]
        assert (request.model, list(request.next_models)) == ("fake/writer", ["fake/dear"])
        [event] = await running.events(events_pb2.MessageCompleted)
        assert event["tier"] == 2

    async def test_an_answer_that_nobody_finished_is_kept_and_handed_over(
        self, visitor, neighbours
    ):
        found = neighbours.retrieval.results[0]
        partial = completed(reason=llm_pb.FINISH_REASON_PARTIAL)
        neighbours.llm.script = (ANSWER, quote(found, ANSWER, ANSWER), partial)
        events = await visitor.ask(QUESTION)
        assert handoff_of(events) == pb.HANDOFF_REASON_LOW_CONFIDENCE
        assert said(events).startswith(f"{ANSWER}\n\nThis is as far as I could get.")
        message = events[-1].finished.message
        assert [citation.quote for citation in message.citations] == [ANSWER]

    async def test_drops_citations_that_are_not_true(self, visitor, neighbours):
        found = neighbours.retrieval.results[0]
        made_up = quote(found, "ten seconds", ANSWER)
        made_up.quote = "five seconds"
        neighbours.llm.script = (ANSWER, made_up, quote(found, ANSWER, ANSWER), completed(0.8))
        message = (await visitor.ask(QUESTION))[-1].finished.message
        assert [citation.quote for citation in message.citations] == [ANSWER]
        assert message.confidence == pytest.approx(0.9 * 0.8 / 2)

    async def test_without_a_true_citation_is_marked_and_handed_over(self, visitor, neighbours):
        neighbours.llm.script = ("Just throw it away.", completed())
        events = await visitor.ask(QUESTION)
        assert kinds(events) == ["started", "delta", "handoff", "finished"]
        assert handoff_of(events) == pb.HANDOFF_REASON_LOW_CONFIDENCE
        assert said(events).startswith("Just throw it away.\n\nPlease take this with care")
        message = events[-1].finished.message
        assert message.text == said(events)
        assert (message.outcome, message.confidence) == (pb.OUTCOME_HANDOFF, 0.0)

    @pytest.mark.parametrize(("relevance", "noted"), [(0.5, False), (0.49, True)])
    async def test_says_so_when_it_is_more_likely_wrong_than_right(
        self, arrive, running, neighbours, relevance, noted
    ):
        visitor = await arrive(running, answer_threshold_millis=100)
        found = neighbours.retrieval.results[0]
        neighbours.retrieval.relevance = relevance
        neighbours.llm.script = (ANSWER, quote(found, ANSWER, ANSWER), completed(0.6))
        events = await visitor.ask(QUESTION)
        assert events[-1].finished.message.outcome == pb.OUTCOME_ANSWERED
        assert said(events).startswith(ANSWER)
        assert said(events).endswith("ask me for a person.") == noted

    async def test_writes_many_small_pieces_in_few_batches(self, running, visitor, neighbours):
        words = [f"word{number} " for number in range(300)]
        found = neighbours.retrieval.results[0]
        neighbours.llm.script = (*words, quote(found, ANSWER, "x"), completed())
        events = await visitor.ask(QUESTION)
        assert said(events) == "".join(words)
        deltas = [event for event in events if event.HasField("delta")]
        assert len(deltas) < 60

    async def test_bears_every_kind_of_character(self, visitor, neighbours):
        text = "Ünï 🟠🧑‍🚒 \u202e rtl \u0000 <script>alert(1)</script> 漢字 " * 3
        text = text.replace("\0", "")
        neighbours.llm.script = (text, completed())
        events = await visitor.ask(f"{text}?")
        assert said(events).startswith(text)
        assert (await visitor.read()).messages[0].text == f"{text}?"


class TestHandOver:
    async def test_missing_knowledge(self, running, visitor, neighbours):
        neighbours.retrieval.relevance = 0.05
        events = await visitor.ask("What is the capital of France?")
        assert kinds(events) == ["started", "delta", "handoff", "finished"]
        assert handoff_of(events) == pb.HANDOFF_REASON_MISSING_KNOWLEDGE
        message = events[-1].finished.message
        assert message.outcome == pb.OUTCOME_HANDOFF
        assert message.receipt.total_nanos == EMBED_NANOS
        assert (message.model, message.tier, message.confidence) == ("", 0, 0.0)
        assert neighbours.llm.requests == []
        conversation = (await visitor.read()).conversation
        assert conversation.status == pb.CONVERSATION_STATUS_WAITING
        assert conversation.handoff_reason == pb.HANDOFF_REASON_MISSING_KNOWLEDGE
        [event] = await running.events(events_pb2.HandoffRequested)
        assert event["reason"] == "HANDOFF_REASON_MISSING_KNOWLEDGE"

    async def test_asks_for_a_person_once_while_one_is_awaited(self, running, visitor, neighbours):
        neighbours.retrieval.relevance = 0.05
        await visitor.ask("What is the capital of France?")
        again = await visitor.ask("And of Spain?")
        assert handoff_of(again) == pb.HANDOFF_REASON_MISSING_KNOWLEDGE
        assert len(await running.events(events_pb2.HandoffRequested)) == 1

    async def test_still_answers_while_a_person_is_awaited(self, visitor, neighbours):
        neighbours.retrieval.relevance = 0.05
        await visitor.ask("What is the capital of France?")
        neighbours.retrieval.relevance = 0.9
        assert said(await visitor.ask(QUESTION)) == ANSWER
        conversation = (await visitor.read()).conversation
        assert conversation.status == pb.CONVERSATION_STATUS_WAITING
        assert conversation.last_outcome == pb.OUTCOME_ANSWERED

    async def test_low_confidence_when_no_sentence_is_supported(self, visitor, neighbours):
        neighbours.llm.script = (completed(0.0, llm_pb.FINISH_REASON_UNSUPPORTED),)
        events = await visitor.ask(QUESTION)
        assert handoff_of(events) == pb.HANDOFF_REASON_LOW_CONFIDENCE
        message = events[-1].finished.message
        assert message.receipt.total_nanos == EMBED_NANOS + ANSWER_NANOS
        assert message.model == "fake/writer"
        assert message.text == said(events)
        assert message.text.endswith("Nearest in our help pages:\n- Reset the router")

    async def test_visitor_request_needs_no_neighbour(self, visitor, neighbours):
        events = await visitor.ask("Kann ich bitte mit einem Menschen sprechen?")
        assert handoff_of(events) == pb.HANDOFF_REASON_VISITOR_REQUEST
        assert "Kollegen" in said(events)
        assert neighbours.retrieval.queries == []
        assert events[-1].finished.message.receipt == type(events[-1].finished.message.receipt)()

    async def test_policy_of_the_tenant(self, arrive, running, neighbours):
        visitor = await arrive(running, handoff_phrases=["refund"])
        events = await visitor.ask("Where is my refund?")
        assert handoff_of(events) == pb.HANDOFF_REASON_POLICY
        assert neighbours.llm.requests == []

    async def test_usage_limit_of_the_plan(self, visitor, neighbours):
        neighbours.billing.allowed = False
        assert handoff_of(await visitor.ask(QUESTION)) == pb.HANDOFF_REASON_USAGE_LIMIT
        assert neighbours.llm.requests == []

    async def test_holds_a_place_of_the_plan_for_the_answer(self, running, visitor, neighbours):
        message = (await visitor.ask(QUESTION))[-1].finished.message
        [asked] = neighbours.billing.asked
        assert asked.conversation_id == visitor.conversation_id
        assert asked.message_id == message.message_id
        [event] = await running.events(events_pb2.MessageCompleted)
        assert event["messageId"] == message.message_id
        assert "smallTalk" not in event

    async def test_small_talk_is_told_as_such_and_takes_no_place(
        self, running, visitor, neighbours
    ):
        await visitor.ask("Hello there!")
        assert neighbours.billing.asked == []
        [event] = await running.events(events_pb2.MessageCompleted)
        assert event["outcome"] == "OUTCOME_ANSWERED"
        assert event["smallTalk"] is True

    async def test_usage_limit_of_a_budget(self, visitor, neighbours):
        neighbours.llm.script = (ResourceExhausted("spent", reason="BUDGET_EXCEEDED"),)
        assert handoff_of(await visitor.ask(QUESTION)) == pb.HANDOFF_REASON_USAGE_LIMIT

    async def test_usage_limit_where_a_budget_has_no_room_for_the_search(self, visitor, neighbours):
        neighbours.retrieval.vector_reason = "BUDGET_EXHAUSTED"
        neighbours.retrieval.relevance = 0.0
        assert handoff_of(await visitor.ask(QUESTION)) == pb.HANDOFF_REASON_USAGE_LIMIT

    async def test_thresholds_are_the_agents_own(self, arrive, running, neighbours):
        visitor = await arrive(running, answer_threshold_millis=950)
        assert handoff_of(await visitor.ask(QUESTION)) == pb.HANDOFF_REASON_MISSING_KNOWLEDGE


class TestAskBack:
    async def test_names_the_two_topics_and_joins_what_is_added(self, visitor, neighbours):
        camera = passage("Reset the camera", "Press and hold it.", score=0.8)
        router = neighbours.retrieval.results[0]
        neighbours.retrieval.results = [router, camera]
        neighbours.retrieval.relevance = 0.4
        events = await visitor.ask("How do I reset mine?")
        assert kinds(events) == ["started", "delta", "finished"]
        assert events[-1].finished.message.outcome == pb.OUTCOME_CLARIFY
        assert "“Reset the router”" in said(events)
        assert "“Reset the camera”" in said(events)
        neighbours.retrieval.relevance = 0.9
        await visitor.ask("the router one")
        assert neighbours.retrieval.queries[-1] == "How do I reset mine?\nthe router one"
        assert neighbours.llm.requests[-1].question == neighbours.retrieval.queries[-1]

    async def test_a_question_that_leans_on_the_last_is_looked_up_with_it(
        self, visitor, neighbours
    ):
        await visitor.ask("How do I reset the router?")
        await visitor.ask("thanks!")
        await visitor.ask("and on the camera?")
        joined = "How do I reset the router?\nand on the camera?"
        assert neighbours.retrieval.queries[-1] == joined
        assert neighbours.llm.requests[-1].question == joined
        await visitor.ask("How do I sell the camera?")
        assert neighbours.retrieval.queries[-1] == "How do I sell the camera?"

    async def test_does_not_ask_back_twice(self, visitor, neighbours):
        camera = passage("Reset the camera", "Press and hold it.", score=0.8)
        neighbours.retrieval.results.append(camera)
        neighbours.retrieval.relevance = 0.4
        await visitor.ask("How do I reset mine?")
        events = await visitor.ask("the thing")
        assert handoff_of(events) == pb.HANDOFF_REASON_MISSING_KNOWLEDGE

    async def test_asks_what_a_vague_question_is_about_and_hands_over_the_second(
        self, visitor, neighbours
    ):
        neighbours.retrieval.results.append(passage("Reset the camera", "Hold it.", score=0.8))
        neighbours.retrieval.relevance = 0.6
        events = await visitor.ask("It does not work")
        assert events[-1].finished.message.outcome == pb.OUTCOME_CLARIFY
        assert said(events).startswith("What is this about?")
        assert said(events).endswith(":\n- Reset the router\n- Reset the camera")
        events = await visitor.ask("it still doesn't work")
        assert handoff_of(events) == pb.HANDOFF_REASON_MISSING_KNOWLEDGE
        assert neighbours.llm.requests == []

    @pytest.mark.parametrize(
        ("vague", "joined"), [("Can I reset it?", True), ("It does not work", False)]
    )
    async def test_joins_what_is_added_to_a_vague_question_that_names_something(
        self, visitor, neighbours, vague, joined
    ):
        neighbours.retrieval.relevance = 0.4
        await visitor.ask(vague)
        await visitor.ask("the router")
        expected = f"{vague}\nthe router" if joined else "the router"
        assert neighbours.retrieval.queries[-1] == expected


class TestSmallTalk:
    async def test_is_answered_without_cost_or_hand_over(self, running, visitor, neighbours):
        events = await visitor.ask("Hello!")
        message = events[-1].finished.message
        assert kinds(events) == ["started", "delta", "finished"]
        assert message.outcome == pb.OUTCOME_ANSWERED
        assert (message.model, message.receipt.total_nanos) == ("", 0)
        assert neighbours.retrieval.queries == []
        conversation = (await visitor.read()).conversation
        assert conversation.last_outcome == pb.OUTCOME_UNSPECIFIED

    async def test_says_who_it_is(self, visitor):
        assert "I'm Ada, an AI assistant" in said(await visitor.ask("Are you a robot?"))


class TestRequestId:
    async def test_known_joins_the_turn_from_its_beginning(self, running, visitor, neighbours):
        request_id = str(uuid4())
        first = await visitor.ask(QUESTION, request_id)
        assert await visitor.ask(QUESTION, request_id) == first
        assert len(neighbours.llm.requests) == 1
        assert len(await running.rows("select 1 from message")) == 2

    async def test_joins_a_turn_in_the_middle(self, visitor, neighbours):
        gate = asyncio.Event()
        neighbours.llm.script = ("Hold ", gate, "the button.", completed())
        listeners = [asyncio.create_task(visitor.ask(QUESTION, "r1")) for _ in range(5)]
        async for event in visitor.asking(QUESTION, "r1"):
            if event.HasField("delta"):
                break
        late = asyncio.create_task(visitor.ask(QUESTION, "r1"))
        gate.set()
        heard = await asyncio.gather(*listeners, late)
        assert all(events == heard[0] for events in heard)
        assert len(neighbours.llm.requests) == 1

    async def test_of_another_text_is_refused(self, visitor):
        await visitor.ask(QUESTION, "r1")
        with pytest.raises(AlreadyExists) as caught:
            await visitor.ask("Something else?", "r1")
        assert caught.value.reason == "REQUEST_ID_REUSED"

    async def test_is_of_one_conversation(self, visitor, arrive, running):
        other = await arrive(running)
        first = await visitor.ask(QUESTION, "r1")
        second = await other.ask("Hello!", "r1")
        assert first[0].message_id != second[0].message_id

    async def test_empty_is_a_new_question_each_time(self, visitor):
        first, second = await visitor.ask(QUESTION), await visitor.ask(QUESTION)
        assert first[0].message_id != second[0].message_id

    async def test_still_tells_the_end_when_events_have_expired(self, running, visitor, tenant_id):
        first = await visitor.ask(QUESTION, "r1")
        async with running.db.tenant(tenant_id) as conn:
            await conn.execute("delete from turn_events where tenant_id = %s", [tenant_id])
        [event] = await visitor.ask(QUESTION, "r1")
        expected = first[-1].finished.message
        expected.ClearField("receipt")
        assert event.finished.message == expected


class TestOneAtATime:
    async def test_a_second_question_waits_for_the_end_of_the_first(
        self, running, visitor, neighbours
    ):
        gate = asyncio.Event()
        neighbours.llm.script = ("Hold ", gate, completed())
        first = asyncio.create_task(visitor.ask(QUESTION))
        async for event in visitor.watching():
            if event.HasField("delta"):
                break
        with pytest.raises(FailedPrecondition) as caught:
            await visitor.ask("And the camera?")
        assert caught.value.reason == "TURN_IN_PROGRESS"
        assert "cancel" in caught.value.message
        assert caught.value.retry_after_s
        gate.set()
        events = await first
        assert caught.value.details == {"message_id": events[0].message_id}
        assert kinds(events)[-1] == "finished"
        assert kinds(await visitor.ask("And the camera?"))[-1] == "finished"
        texts = [row["text"] for row in await running.rows("select text from message")]
        assert texts.count("And the camera?") == 1

    async def test_of_many_at_once_exactly_one_begins(self, visitor, neighbours):
        gate = asyncio.Event()
        neighbours.llm.script = (gate, ANSWER, completed())
        asked = [asyncio.create_task(visitor.ask(QUESTION)) for _ in range(8)]
        done, pending = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        while len(done) < 7:
            more, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            done |= more
        gate.set()
        [winner] = pending
        assert kinds(await winner)[-1] == "finished"
        reasons = {getattr(task.exception(), "reason", None) for task in done}
        assert reasons == {"TURN_IN_PROGRESS"}


class TestBadText:
    @pytest.mark.parametrize("text", ["", "  \n", "x" * 16_001, "a\0b"])
    async def test_is_refused_and_nothing_is_stored(self, running, visitor, text):
        with pytest.raises(InvalidArgument) as caught:
            await visitor.ask(text)
        assert caught.value.field == "text"
        assert await running.rows("select * from message") == []

    async def test_a_text_at_the_limit_is_answered(self, visitor, neighbours):
        events = await visitor.ask("x" * 16_000)
        assert kinds(events)[-1] == "finished"


class TestWithoutNeighbours:
    async def test_billing_away_does_not_leave_the_visitor_alone(self, visitor, neighbours):
        neighbours.billing.error = Unavailable("away")
        assert said(await visitor.ask(QUESTION)) == ANSWER

    async def test_memory_away_leaves_what_is_known_here(self, visitor, neighbours):
        neighbours.memory.error = Unavailable("away")
        await visitor.ask("My light is red.")
        assert said(await visitor.ask(QUESTION)) == ANSWER
        history = neighbours.llm.requests[-1].history
        assert [turn.text for turn in history] == ["My light is red.", ANSWER]

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (Unavailable("crashed", reason="MODEL_CRASHED"), "MODEL_CRASHED"),
            (InvalidArgument("no"), "INVALID_ARGUMENT"),
        ],
    )
    async def test_retrieval_away_fails_the_turn(self, running, visitor, neighbours, error, reason):
        neighbours.retrieval.error = error
        events = await visitor.ask("Wie setze ich das Gerät zurück?")
        assert kinds(events) == ["started", "failed"]
        failed = events[-1].failed
        assert failed.reason == failed.message.error_reason == reason
        assert failed.detail.startswith("Beim Antworten")
        assert failed.message.status == pb.MESSAGE_STATUS_FAILED
        [event] = await running.events(events_pb2.MessageCompleted)
        assert event["status"] == "MESSAGE_STATUS_FAILED"
        neighbours.retrieval.error = None
        assert said(await visitor.ask(QUESTION)) == ANSWER

    async def test_an_answer_cut_short_fails_with_its_cost(self, visitor, neighbours):
        neighbours.llm.script = ("Hold the ", Unavailable("cut", reason="PROVIDER_DOWN"))
        events = await visitor.ask(QUESTION)
        assert kinds(events) == ["started", "delta", "failed"]
        failed = events[-1].failed
        assert failed.reason == "PROVIDER_DOWN"
        assert failed.message.text == said(events) == "Hold the "
        assert failed.message.receipt.total_nanos == EMBED_NANOS + ANSWER_NANOS

    async def test_an_answer_without_an_end_fails(self, visitor, neighbours):
        neighbours.llm.script = ("Hold the ",)
        events = await visitor.ask(QUESTION)
        assert events[-1].failed.reason == "ANSWER_TRUNCATED"

    async def test_an_unforeseen_error_fails_the_turn(self, visitor, neighbours):
        neighbours.llm.script = (FleetError("boom"),)
        assert (await visitor.ask(QUESTION))[-1].failed.reason == "INTERNAL"

    async def test_the_ledger_away_leaves_the_receipt_out(self, visitor, neighbours):
        neighbours.llm.usage_error = Unavailable("away")
        message = (await visitor.ask(QUESTION))[-1].finished.message
        assert message.text == ANSWER
        assert not message.HasField("receipt")
        neighbours.llm.usage_error = None
        found = await visitor.read(with_receipts=True)
        assert found.messages[1].receipt.total_nanos == EMBED_NANOS + ANSWER_NANOS


class TestResolved:
    async def test_a_further_message_opens_it_again(self, running, visitor, conversations):
        named = {"conversation_id": visitor.conversation_id}
        with visitor.person():
            await conversations.ResolveConversation(service.ResolveConversationRequest(**named))
        assert said(await visitor.ask(QUESTION)) == ANSWER
        conversation = (await visitor.read()).conversation
        assert conversation.status == pb.CONVERSATION_STATUS_OPEN
        changes = await running.events(events_pb2.ConversationStatusChanged)
        assert [change["status"] for change in changes] == [
            "CONVERSATION_STATUS_RESOLVED",
            "CONVERSATION_STATUS_OPEN",
        ]
