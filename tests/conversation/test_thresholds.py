"""What other thresholds would have made of the questions that were asked."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from conversation.decision import Rules
from conversation.store.decided import DecidedRow
from conversation.thresholds import compare
from fakes.neighbours import passage
from fleetdesk.conversation.v1 import agent_service_pb2 as pb
from fleetdesk.conversation.v1 import conversation_pb2
from fleetkit.errors import InvalidArgument, NotFound

NOW = Rules(answer_threshold=0.5, handoff_threshold=0.3)


def decided(
    relevance: float, *titles: str, asked_back: bool = False, text: str = "Tea or cake?"
) -> DecidedRow:
    passages = [{"document_id": title, "title": title, "score": 0.8} for title in titles]
    return DecidedRow(
        uuid4(),
        uuid4(),
        text,
        relevance,
        passages,
        asked_back,
        [],
        datetime(2026, 11, 1, tzinfo=UTC),
    )


class TestCompare:
    def test_decides_each_question_by_both_rules(self):
        rows = [
            decided(0.9, "Tea"),
            decided(0.45, "Tea"),
            decided(0.45, "Tea", "Cake"),
            decided(0.45, "Tea", "Cake", asked_back=True),
            decided(0.2, "Tea", "Cake"),
            decided(0.9),
            decided(0.45, "Tea", text="Can I change it?"),
            decided(0.45, "Tea", text="tea"),
        ]
        trial = compare(rows, NOW, Rules(answer_threshold=0.4, handoff_threshold=0.1))
        assert trial.now == {"answered": 1, "clarify": 3, "handoff": 4}
        assert trial.then == {"answered": 5, "clarify": 2, "handoff": 1}
        assert [(each.row, each.now, each.then) for each in trial.changed] == [
            (rows[1], "handoff", "answered"),
            (rows[2], "clarify", "answered"),
            (rows[3], "handoff", "answered"),
            (rows[4], "handoff", "clarify"),
            (rows[7], "clarify", "answered"),
        ]

    def test_shows_the_latest_and_counts_all(self):
        rows = [decided(0.45, "Tea") for _ in range(60)]
        trial = compare(rows, NOW, Rules(answer_threshold=0.4, handoff_threshold=0.3))
        assert (len(trial.changed), trial.changed_count) == (50, 60)
        assert trial.changed[0].row == rows[0]


class TestTryThresholds:
    async def test_takes_the_questions_that_the_knowledge_decided(
        self, agents, visitor, neighbours, as_identity, tenant_id
    ):
        await visitor.ask("Hello!")
        await visitor.ask("How do I reset the router?")
        neighbours.retrieval.relevance = 0.45
        await visitor.ask("How do I reset the camera?")
        neighbours.retrieval.results.append(passage("Reset the modem", "Pull the plug."))
        await visitor.ask("How do I reset the lamp?")
        await visitor.ask("I mean the one upstairs")
        await visitor.ask("I want to talk to a person")

        async def tried(answer: int, **fields: Any) -> Any:
            request = pb.TryThresholdsRequest(
                agent_id=visitor.agent_id, answer_threshold_millis=answer, **fields
            )
            return await agents.TryThresholds(request)

        with as_identity(tenant_id, role="viewer"):
            lower = await tried(400)
            assert lower.now == pb.DecisionCounts(answered=1, clarified=1, handed_over=2)
            assert lower.then == pb.DecisionCounts(answered=4)
            assert [each.question for each in lower.changed] == [
                "I mean the one upstairs",
                "How do I reset the lamp?",
                "How do I reset the camera?",
            ]
            clarified = lower.changed[1]
            assert UUID(clarified.message_id)
            assert clarified.conversation_id == visitor.conversation_id
            assert (clarified.now, clarified.then) == (
                conversation_pb2.OUTCOME_CLARIFY,
                conversation_pb2.OUTCOME_ANSWERED,
            )
            assert (await tried(1000)).then == pb.DecisionCounts(clarified=1, handed_over=3)
            assert (await tried(1000, handoff_threshold_millis=1000)).then.handed_over == 4
            assert (await tried(500)).changed_count == 0
            assert (await tried(400, latest=1)).then == pb.DecisionCounts(answered=1)
            for wrong in ({"answer": 0}, {"answer": 1001}, {"answer": 1, "latest": 1001}):
                with pytest.raises(InvalidArgument):
                    await tried(**wrong)

    async def test_of_another_tenant_or_one_never_published_finds_nothing(
        self, agents, visitor, as_identity, other_tenant_id
    ):
        request = pb.TryThresholdsRequest(agent_id=visitor.agent_id, answer_threshold_millis=500)
        with as_identity(other_tenant_id, role="owner"), pytest.raises(NotFound):
            await agents.TryThresholds(request)
