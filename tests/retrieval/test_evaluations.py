"""Evaluations over a real channel: strangers first, then what is measured and what is refused."""

from uuid import uuid4

import pytest
from fakes.embeddings import FakeEmbeddings
from fleetdesk.retrieval.v1 import evaluation_pb2
from fleetdesk.retrieval.v1 import evaluation_service_pb2 as pb
from fleetkit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from harness.access import assert_refuses_strangers
from harness.waiting import eventually
from retrieval.evaluation import evaluations as capability
from retrieval.evaluation.measures import interval, ndcg
from retrieval.index.weights import load_weights

from .conftest import Evaluations

SERVICE = "fleetdesk.retrieval.v1.EvaluationService"
ENDED = evaluation_pb2.EVALUATION_STATE_ENDED
CANCELLED = evaluation_pb2.EVALUATION_STATE_CANCELLED
FAILED = evaluation_pb2.EVALUATION_STATE_FAILED
RERANKED = evaluation_pb2.EVALUATION_ARM_RERANKED
QUESTIONS = "question,document\nHow do I descale a kettle?,k\nWhere is the tea?,Tea\n"


@pytest.fixture
async def taught(evaluations: Evaluations) -> Evaluations:
    """A tenant with two documents."""
    await evaluations.knowledge.add("Descale the kettle monthly.", title="Kettles", external_id="k")
    await evaluations.knowledge.add("The tea is in the cupboard.", title="Tea")
    return evaluations


class TestStrangers:
    async def test_are_refused_by_every_rpc(self, retrieval):
        for rpc, request in {
            "CreateEvaluation": pb.CreateEvaluationRequest(),
            "GetEvaluation": pb.GetEvaluationRequest(),
            "ListEvaluations": pb.ListEvaluationsRequest(),
            "ListEvaluationQuestions": pb.ListEvaluationQuestionsRequest(),
            "CancelEvaluation": pb.CancelEvaluationRequest(),
            "DeleteEvaluation": pb.DeleteEvaluationRequest(),
        }.items():
            await assert_refuses_strangers(retrieval, f"{SERVICE}.{rpc}", request)


class TestAnotherTenant:
    async def test_sees_and_changes_nothing(self, taught, other_evaluations):
        mine = await taught.create(QUESTIONS)
        await taught.ended(mine.evaluation_id)
        stub = other_evaluations.stub
        with other_evaluations.knowledge.acting("owner"):
            for call, request in (
                (stub.GetEvaluation, pb.GetEvaluationRequest),
                (stub.ListEvaluationQuestions, pb.ListEvaluationQuestionsRequest),
                (stub.CancelEvaluation, pb.CancelEvaluationRequest),
                (stub.DeleteEvaluation, pb.DeleteEvaluationRequest),
            ):
                with pytest.raises(NotFound):
                    await call(request(evaluation_id=mine.evaluation_id))
            listed = await stub.ListEvaluations(pb.ListEvaluationsRequest())
            assert not listed.evaluations
        with pytest.raises(NotFound):
            await other_evaluations.create(from_evaluation_id=mine.evaluation_id)
        tea = await taught.knowledge.add("More tea.")
        for name in (tea.document_id, "Tea", "k"):
            with pytest.raises(InvalidArgument, match="you have no document") as refused:
                await other_evaluations.create(f"question,document\nWhere?,{name}\n")
            assert refused.value.field == "row 2, column document"


class TestCreateEvaluation:
    async def test_measures_every_arm_with_intervals(self, taught, retrieval, embeddings):
        queued = await taught.create(QUESTIONS, name=" First  run ", request_id="r")
        again = await taught.create(QUESTIONS, name=" First  run ", request_id="r")
        assert again.evaluation_id == queued.evaluation_id
        with pytest.raises(AlreadyExists):
            await taught.create(QUESTIONS + "More?,k\n", request_id="r")
        assert (queued.name, queued.question_count) == ("First run", 2)
        found = await taught.ended(queued.evaluation_id)
        assert (found.state, found.done_count, found.not_reranked_count) == (ENDED, 2, 0)
        assert [entry.arm for entry in found.figures] == [1, 2, 3, 4]
        assert found.figures[2].ndcg_at_10.mean == 1.0
        assert found.figures[2].precision_at_5.mean == pytest.approx(0.2)
        for entry in found.figures:
            for name in ("ndcg_at_10", "recall_at_10", "mrr_at_10", "precision_at_5"):
                measured = getattr(entry, name)
                assert 0 <= measured.low <= measured.mean <= measured.high <= 1
        assert (found.knowledge_version, found.last_knowledge_version) == (2, 2)
        assert (found.fusion_version, found.rerank_version) == (load_weights().version, "1")
        assert found.rerank_model == "local/late-interaction"
        assert found.embedding_model == "local/all-minilm-l6-v2@1"
        assert {a.purpose for a in embeddings.attributions} == {"ingest", "eval"}
        assert await retrieval.rows("select from job where kind = 'evaluate'") == []

    async def test_says_which_question_misses_and_what_was_found_instead(self, taught):
        await taught.knowledge.add("Nothing of that. " * 20, title="Warranty", external_id="w")
        given = f"{QUESTIONS}Where is the kettle?,w\n"
        for n in range(6):
            await taught.knowledge.add(f"Where is the kettle of kind {n}?", title=f"Kettle {n}")
        made = await taught.create(given)
        await taught.ended(made.evaluation_id)
        whole = await taught.questions(made.evaluation_id)
        assert [each.question for each in whole.questions][1] == "Where is the tea?"
        (missed,) = (await taught.questions(made.evaluation_id, only_missed=True)).questions
        assert (missed.ordinal, missed.done) == (3, True)
        assert not missed.HasField("reranked_rank") or missed.reranked_rank > 5
        assert [document.title for document in missed.expected] == ["Warranty"]
        assert len(missed.found) == 5
        assert not any(document.expected for document in missed.found)
        first = await taught.questions(made.evaluation_id, page_size=1)
        second = await taught.questions(
            made.evaluation_id, page_size=2, page_token=first.next_page_token
        )
        assert [q.ordinal for q in (*first.questions, *second.questions)] == [1, 2, 3]
        assert not second.next_page_token

    async def test_refuses_what_is_wrong_or_too_much(self, taught, embeddings, monkeypatch):
        for body in ("One.", "Two."):
            await taught.knowledge.add(body, title="Twin")
        for content, said in {
            "question,document\nHow?,nope\n": "“nope”",
            "question,document\nHow?,Twin\n": "2 documents have the title “Twin”",
            "": "send questions",
        }.items():
            with pytest.raises(InvalidArgument, match=said):
                await taught.create(content)
        embeddings.delay_s = 30.0
        made = await taught.create(QUESTIONS)
        with pytest.raises(FailedPrecondition) as refused:
            await taught.create(QUESTIONS)
        assert refused.value.reason == "EVALUATION_UNDER_WAY"
        with taught.knowledge.acting("agent"):
            request = pb.CancelEvaluationRequest(evaluation_id=made.evaluation_id)
            stopped = (await taught.stub.CancelEvaluation(request)).evaluation
        assert (stopped.state, stopped.done_count) == (CANCELLED, 0)
        monkeypatch.setattr(capability, "MAX_KEPT", 1)
        with pytest.raises(ResourceExhausted):
            await taught.create(QUESTIONS)
        with taught.knowledge.acting("agent"):
            gone = pb.DeleteEvaluationRequest(evaluation_id=made.evaluation_id)
            await taught.stub.DeleteEvaluation(gone)
            with pytest.raises(NotFound):
                await taught.stub.DeleteEvaluation(gone)


class TestRunning:
    async def test_goes_on_when_the_models_are_back(self, taught, embeddings: FakeEmbeddings):
        embeddings.down = True
        made = await taught.create(QUESTIONS)

        async def tried() -> bool:
            return any(a.purpose == "eval" for a in embeddings.attributions)

        await eventually(tried, timeout_s=30)
        embeddings.down = False
        assert (await taught.ended(made.evaluation_id)).state == ENDED

    async def test_says_how_many_could_not_be_reranked(self, evaluations, embeddings):
        embeddings.token_vectors = b""
        await evaluations.knowledge.add("The tea is in the cupboard.", title="Tea")
        made = await evaluations.create("question,document\nWhere is the tea?,Tea\n")
        found = await evaluations.ended(made.evaluation_id)
        assert (found.state, found.not_reranked_count) == (ENDED, 1)
        assert found.figures[3].ndcg_at_10 == found.figures[2].ndcg_at_10


class TestCompared:
    async def test_two_runs_differ_by_what_was_written_between(self, taught, other_evaluations):
        knowledge = taught.knowledge
        answer = await knowledge.add("Nothing yet. " * 20, title="Returns", external_id="r")
        for n in range(6):
            await knowledge.add(
                f"Boards go back never, whatever number {n} is.", title=f"Boards {n}"
            )
        first = await taught.create("question,document\nHow do boards go back?,r\nTea?,Tea\n")
        await taught.ended(first.evaluation_id)
        await knowledge.add("How do boards go back? By post.", title="Returns", external_id="r")
        again = await taught.create(from_evaluation_id=first.evaluation_id)
        await taught.ended(again.evaluation_id)
        assert again.set_id == first.evaluation_id
        found = await taught.get(again.evaluation_id, first.evaluation_id)
        compared = found.comparison
        assert (compared.question_count, compared.gained_count, compared.lost_count) == (2, 1, 0)
        fused = compared.differences[2]
        assert fused.missed_count == -1
        assert fused.recall_at_10.high >= fused.recall_at_10.mean >= fused.recall_at_10.low >= 0
        assert found.evaluation.knowledge_version > 8
        await knowledge.delete(answer.source_id)
        (question, _) = (await taught.questions(again.evaluation_id)).questions
        assert [document.title for document in question.expected] == [""]
        with pytest.raises(NotFound) as refused:
            await taught.get(again.evaluation_id, str(uuid4()))
        assert refused.value.field == "baseline_evaluation_id"


class TestMeasures:
    def test_the_interval_holds_the_mean_and_shrinks_with_more(self):
        few, many = interval([0.0, 1.0] * 5), interval([0.0, 1.0] * 1_000)
        assert few[0] < many[0] < 0.5 < many[1] < few[1]

    def test_a_perfect_order_is_one(self):
        assert ndcg(["a", "b"], {"a": 2.0, "b": 1.0}) == 1.0
        assert ndcg(["b", "a"], {"a": 2.0, "b": 1.0}) < 1.0
