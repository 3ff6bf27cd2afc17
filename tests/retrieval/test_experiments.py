"""Experiments over a real channel: strangers first, then who tries what."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.retrieval.v1 import events_pb2
from fleetdesk.retrieval.v1 import experiment_service_pb2 as pb
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as search_pb
from fleetdesk.retrieval.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from fleetkit.context import Attribution, attributed
from fleetkit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from harness.access import assert_refuses_strangers
from retrieval.experiments import is_challenger

SERVICE = "fleetdesk.retrieval.v1.ExperimentService"
LOCAL = "local/late-interaction"


@pytest.fixture
def stub(retrieval: Any) -> Any:
    return retrieval.stub(ExperimentServiceStub, caller="gateway")


def trial(**fields: Any) -> pb.StartExperimentRequest:
    given = {"request_id": str(uuid4()), "name": "Rerank", "share_percent": 100}
    return pb.StartExperimentRequest(**{**given, "rerank_model": LOCAL, **fields})


class TestStrangers:
    async def test_are_refused_by_every_rpc(self, retrieval):
        for rpc, request in {
            "StartExperiment": pb.StartExperimentRequest(),
            "SetExperimentShare": pb.SetExperimentShareRequest(),
            "StopExperiment": pb.StopExperimentRequest(),
            "ListExperiments": pb.ListExperimentsRequest(),
        }.items():
            await assert_refuses_strangers(retrieval, f"{SERVICE}.{rpc}", request)


class TestRunning:
    async def test_one_at_a_time_until_it_is_stopped_and_none_of_anothers(
        self, stub, as_identity, tenant_id, other_tenant_id
    ):
        with as_identity(tenant_id, role="admin"):
            for fields, field in (
                ({"name": " "}, "name"),
                ({"share_percent": 20}, "share_percent"),
                ({"rerank_model": "x/y"}, "rerank_model"),
                ({"fusion_version": "9"}, "fusion_version"),
                ({"rerank_model": ""}, "fusion_version"),
            ):
                with pytest.raises(InvalidArgument) as refused:
                    await stub.StartExperiment(trial(**fields))
                assert refused.value.field == field
            begun = (await stub.StartExperiment(trial(request_id="r"))).experiment
            again = (await stub.StartExperiment(trial(request_id="r"))).experiment
            assert again == begun
            with pytest.raises(AlreadyExists):
                await stub.StartExperiment(trial(request_id="r", name="Other"))
            with pytest.raises(FailedPrecondition):
                await stub.StartExperiment(trial())
            mine: dict[str, Any] = {"experiment_id": begun.experiment_id}
            share = pb.SetExperimentShareRequest(**mine, share_percent=50)
            changed = (await stub.SetExperimentShare(share)).experiment
            assert (changed.share_percent, changed.running) == (50, True)
        with as_identity(other_tenant_id, role="owner"):
            with pytest.raises(NotFound):
                await stub.SetExperimentShare(share)
            with pytest.raises(NotFound):
                await stub.StopExperiment(pb.StopExperimentRequest(**mine))
            assert not (await stub.ListExperiments(pb.ListExperimentsRequest())).experiments
        with as_identity(tenant_id, role="admin"):
            for _ in range(2):
                stopped = await stub.StopExperiment(pb.StopExperimentRequest(**mine))
                assert not stopped.experiment.running
            with pytest.raises(FailedPrecondition) as refused:
                await stub.SetExperimentShare(share)
            assert refused.value.reason == "EXPERIMENT_STOPPED"
            await stub.StartExperiment(trial(fusion_version="even", rerank_model="none"))
            listed = await stub.ListExperiments(pb.ListExperimentsRequest())
        assert [each.running for each in listed.experiments] == [True, False]
        assert list(listed.fusion_versions) == ["even"]
        assert list(listed.rerank_models) == [LOCAL, "none"]


class TestSearches:
    async def test_of_turns_take_part_and_say_so_and_others_do_not(
        self, stub, retrieval, knowledge, as_identity, as_background, tenant_id
    ):
        await knowledge.add("The tea is in the cupboard.", title="Tea")
        with as_identity(tenant_id, role="admin"):
            begun = (await stub.StartExperiment(trial())).experiment
        search = retrieval.stub(RetrievalServiceStub, caller="conversation")
        query = search_pb.SearchRequest(query="Where is the tea?")
        turn = Attribution(purpose="turn", message_id=uuid4(), conversation_id=uuid4())
        with as_background(tenant_id):
            assert not (await search.Search(query)).reranked
            with attributed(turn):
                assert (await search.Search(query)).reranked
        (event,) = await retrieval.events(events_pb2.SearchAssigned)
        assert event["experimentId"] == begun.experiment_id
        assert event["messageId"] == str(turn.message_id)
        assert event["conversationId"] == str(turn.conversation_id)
        assert event["challenger"] is True
        with as_identity(tenant_id, role="admin"):
            request = pb.StopExperimentRequest(experiment_id=begun.experiment_id)
            await stub.StopExperiment(request)
            await stub.StartExperiment(trial(fusion_version="even", rerank_model="none"))
        with as_background(tenant_id), attributed(turn):
            query.rerank = True
            assert not (await search.Search(query)).reranked


class TestIsChallenger:
    def test_a_larger_share_has_those_of_the_smaller(self):
        experiment = UUID(int=7)
        conversations = [uuid4() for _ in range(2_000)]
        shares = [
            {c for c in conversations if is_challenger(experiment, c, share)}
            for share in (10, 50, 100)
        ]
        assert shares[0] < shares[1] < shares[2] == set(conversations)
        assert 120 < len(shares[0]) < 290
        assert 880 < len(shares[1]) < 1_120
