"""GetExperimentFigures: what became of the turns of both arms."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from analytics.experiments import estimate
from analytics.store.experiments import SumsRow
from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.retrieval.v1.events_pb2 import SearchAssigned
from fleetkit.errors import InvalidArgument
from harness.access import assert_refuses_strangers
from harness.services import Running
from harness.telling import Story

As = Callable[..., Any]
Tell = Callable[..., Awaitable[None]]
METHOD = "fleetdesk.analytics.v1.AnalyticsService.GetExperimentFigures"
CANCELED = conversation_pb2.MESSAGE_STATUS_CANCELED


def told(experiment_id: str, challenger: bool, *outcomes: str) -> list[Any]:
    """A conversation whose turns end so; the first of an answer cites twice and costs 100."""
    story = Story().asks()
    events: list[Any] = []
    for outcome in outcomes:
        status = {"status": CANCELED} if outcome == "canceled" else {}
        name = "unspecified" if outcome == "canceled" else outcome
        cites = 2 if outcome == "answered" else 0
        story.ends(name, citation_count=cites, relevance_millis=500, **status)
        message_id = story.events[-1].message_id
        story.costs(100 if outcome == "answered" else 20, message_id=message_id)
        event = SearchAssigned(
            event_id=str(uuid4()),
            experiment_id=experiment_id,
            challenger=challenger,
            message_id=message_id,
            conversation_id=story.conversation_id,
            revision=1,
        )
        event.occur_time.CopyFrom(story.events[0].occur_time)
        events.append(event)
    return [*events[:1], *story.events, *events[1:]]


class TestGetExperimentFigures:
    async def test_compares_both_arms_for_their_tenant_alone(
        self, analytics: Running, stub: Any, tell: Tell, as_identity: As, tenant_id, other_tenant_id
    ) -> None:
        await assert_refuses_strangers(analytics, METHOD, pb.GetExperimentFiguresRequest())
        experiment_id = str(uuid4())
        await tell(
            *told(experiment_id, False, "answered", "handoff", "canceled"),
            *told(experiment_id, False, "handoff"),
            *told(experiment_id, True, "answered", "answered"),
            *told(experiment_id, True, "answered"),
            *told(str(uuid4()), True, "handoff"),
        )
        request = pb.GetExperimentFiguresRequest(experiment_id=experiment_id)
        with as_identity(tenant_id, role="viewer"):
            found = await stub.GetExperimentFigures(request)
        control, challenger = found.control, found.challenger
        assert (control.conversations, control.turns) == (2, 3)
        assert (challenger.conversations, challenger.turns) == (2, 3)
        assert control.answered.mean == pytest.approx(1 / 3)
        assert control.handed_over.mean == pytest.approx(2 / 3)
        assert 0.0 <= control.answered.low < 1 / 3 < control.answered.high <= 1.0
        assert (challenger.answered.low, challenger.answered.high) == (1.0, 1.0)
        assert challenger.citations.mean == pytest.approx(2.0)
        assert challenger.relevance.mean == pytest.approx(0.5)
        assert challenger.duration_ms.mean == pytest.approx(900)
        assert (control.cost.mean_nanos, challenger.cost.mean_nanos) == (47, 100)
        assert found.difference.answered.mean == pytest.approx(2 / 3)
        assert found.difference.cost.mean_nanos == 53
        assert found.difference.turns == 0
        with as_identity(other_tenant_id):
            elsewhere = await stub.GetExperimentFigures(request)
        assert elsewhere.control.turns == elsewhere.challenger.turns == 0
        assert not elsewhere.difference.HasField("answered")
        with as_identity(tenant_id), pytest.raises(InvalidArgument):
            await stub.GetExperimentFigures(pb.GetExperimentFiguresRequest(experiment_id="x"))


class TestEstimate:
    def test_counts_conversations_and_not_turns(self) -> None:
        # Two conversations of ten turns, all alike: as sure as two turns, not as twenty.
        row = SumsRow(
            challenger=False, measure="answered", conversations=2, turns=20,
            sum_y=10, sum_yy=100, sum_yn=100, sum_nn=200,
        )  # fmt: skip
        found = estimate(row)
        assert (found.mean, found.error) == (0.5, pytest.approx(0.5))
        assert estimate(SumsRow(
            challenger=False, measure="answered", conversations=1, turns=1,
            sum_y=1, sum_yy=1, sum_yn=1, sum_nn=1,
        )).interval is None  # fmt: skip
