"""EvaluationService: translate, call, translate."""

from typing import Any
from uuid import UUID

from fleetdesk.retrieval.v1 import evaluation_pb2 as pb
from fleetdesk.retrieval.v1 import evaluation_service_pb2 as pb_service
from fleetdesk.retrieval.v1.evaluation_service_pb2_grpc import EvaluationServiceServicer
from fleetkit.context import tenant_id
from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database
from fleetkit.rpc.fields import to_optional_uuid, to_uuid

from retrieval.evaluation import evaluations
from retrieval.evaluation.arms import ARMS, SEEN
from retrieval.evaluation.evaluations import QuestionPage, Requested
from retrieval.evaluation.figures import Comparison
from retrieval.store.evaluations import EvaluationRow, QuestionRow

_STATES = {
    "queued": pb.EVALUATION_STATE_QUEUED,
    "running": pb.EVALUATION_STATE_RUNNING,
    "ended": pb.EVALUATION_STATE_ENDED,
    "failed": pb.EVALUATION_STATE_FAILED,
    "cancelled": pb.EVALUATION_STATE_CANCELLED,
}
_ARMS = {
    "bm25": pb.EVALUATION_ARM_BM25,
    "dense": pb.EVALUATION_ARM_DENSE,
    "fused": pb.EVALUATION_ARM_FUSED,
    "reranked": pb.EVALUATION_ARM_RERANKED,
}
_ARM_NAMES: dict[int, str] = {0: ARMS[-1], **{int(number): arm for arm, number in _ARMS.items()}}
_MAX_ORDINAL = 2**31 - 1


class EvaluationApi(EvaluationServiceServicer):
    """One method per RPC, same name; access is the proto option's, enforced before."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateEvaluation(
        self, request: pb_service.CreateEvaluationRequest, context: Any
    ) -> pb_service.CreateEvaluationResponse:
        wanted = Requested(
            request_id=request.request_id,
            name=request.name,
            content=request.content,
            from_id=to_optional_uuid(request.from_evaluation_id, "from_evaluation_id"),
        )
        row = await evaluations.create(self._db, tenant_id(), wanted)
        return pb_service.CreateEvaluationResponse(evaluation=to_evaluation(row))

    async def GetEvaluation(
        self, request: pb_service.GetEvaluationRequest, context: Any
    ) -> pb_service.GetEvaluationResponse:
        row, comparison = await evaluations.get(
            self._db,
            tenant_id(),
            to_uuid(request.evaluation_id, "evaluation_id"),
            to_optional_uuid(request.baseline_evaluation_id, "baseline_evaluation_id"),
        )
        return pb_service.GetEvaluationResponse(
            evaluation=to_evaluation(row),
            comparison=to_comparison(comparison) if comparison else None,
        )

    async def ListEvaluations(
        self, request: pb_service.ListEvaluationsRequest, context: Any
    ) -> pb_service.ListEvaluationsResponse:
        rows, before = await evaluations.list_evaluations(
            self._db,
            tenant_id(),
            before=to_optional_uuid(request.page_token, "page_token"),
            page_size=request.page_size,
        )
        return pb_service.ListEvaluationsResponse(
            evaluations=[to_evaluation(row) for row in rows], next_page_token=str(before or "")
        )

    async def ListEvaluationQuestions(
        self, request: pb_service.ListEvaluationQuestionsRequest, context: Any
    ) -> pb_service.ListEvaluationQuestionsResponse:
        page = await evaluations.list_questions(
            self._db,
            tenant_id(),
            to_uuid(request.evaluation_id, "evaluation_id"),
            arm=_arm(request.arm),
            only_missed=request.only_missed,
            after=_ordinal(request.page_token),
            page_size=request.page_size,
        )
        return pb_service.ListEvaluationQuestionsResponse(
            questions=[to_question(row, page) for row in page.rows],
            next_page_token=str(page.next_after or ""),
        )

    async def CancelEvaluation(
        self, request: pb_service.CancelEvaluationRequest, context: Any
    ) -> pb_service.CancelEvaluationResponse:
        evaluation_id = to_uuid(request.evaluation_id, "evaluation_id")
        row = await evaluations.cancel(self._db, tenant_id(), evaluation_id)
        return pb_service.CancelEvaluationResponse(evaluation=to_evaluation(row))

    async def DeleteEvaluation(
        self, request: pb_service.DeleteEvaluationRequest, context: Any
    ) -> pb_service.DeleteEvaluationResponse:
        evaluation_id = to_uuid(request.evaluation_id, "evaluation_id")
        await evaluations.delete(self._db, tenant_id(), evaluation_id)
        return pb_service.DeleteEvaluationResponse()


def to_evaluation(row: EvaluationRow) -> pb.Evaluation:
    """An evaluation."""
    message = pb.Evaluation(
        evaluation_id=str(row.evaluation_id),
        set_id=str(row.set_id),
        name=row.name,
        state=_STATES[row.state],
        question_count=row.question_count,
        done_count=row.done_count,
        error=row.error,
        error_reason=row.error_reason,
        knowledge_version=row.knowledge_version,
        last_knowledge_version=row.last_knowledge_version,
        fusion_version=row.fusion_version,
        rerank_model=row.rerank_model,
        rerank_version=row.rerank_version,
        embedding_model=row.embedding_model,
        not_reranked_count=row.not_reranked_count,
        figures=[_figures(entry) for entry in row.figures],
    )
    message.create_time.FromDatetime(row.create_time)
    for name in ("begin_time", "end_time"):
        if (time := getattr(row, name)) is not None:
            getattr(message, name).FromDatetime(time)
    return message


def to_comparison(found: Comparison) -> pb.EvaluationComparison:
    """Differences between two runs."""
    return pb.EvaluationComparison(
        baseline_evaluation_id=str(found.baseline_id),
        question_count=found.question_count,
        differences=[_figures(entry) for entry in found.figures],
        gained_count=found.gained_count,
        lost_count=found.lost_count,
    )


def to_question(row: QuestionRow, page: QuestionPage) -> pb.EvaluationQuestion:
    """A question with what the page's arm found."""

    def document(document_id: UUID) -> pb.EvaluationDocument:
        return pb.EvaluationDocument(
            document_id=str(document_id),
            title=page.titles.get(document_id, ""),
            expected=document_id in row.expected,
        )

    return pb.EvaluationQuestion(
        ordinal=row.ordinal,
        question=row.question,
        expected=[document(document_id) for document_id in row.expected],
        found=[document(document_id) for document_id in getattr(row, page.arm)[:SEEN]],
        done=row.done,
        bm25_rank=row.bm25_rank,
        dense_rank=row.dense_rank,
        fused_rank=row.fused_rank,
        reranked_rank=row.reranked_rank,
        relevance=row.relevance,
    )


def _figures(entry: dict[str, Any]) -> pb.ArmFigures:
    return pb.ArmFigures(
        arm=_ARMS[entry["arm"]],
        ndcg_at_10=_measured(entry["nDCG@10"]),
        recall_at_10=_measured(entry["R@10"]),
        mrr_at_10=_measured(entry["MRR@10"]),
        precision_at_5=_measured(entry["P@5"]),
        missed_count=entry["missed"],
    )


def _measured(found: list[float]) -> pb.Measured:
    mean, low, high = found
    return pb.Measured(mean=mean, low=low, high=high)


def _arm(number: int) -> str:
    if number not in _ARM_NAMES:
        raise InvalidArgument("arm is one of bm25, dense, fused and reranked", field="arm")
    return _ARM_NAMES[number]


def _ordinal(page_token: str) -> int:
    if not page_token:
        return 0
    if not (page_token.isascii() and page_token.isdigit() and int(page_token) <= _MAX_ORDINAL):
        raise InvalidArgument("page_token is not one that a page ended with", field="page_token")
    return int(page_token)
