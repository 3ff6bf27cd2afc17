"""Evaluations of a tenant's knowledge by its own questions."""

from typing import Annotated
from uuid import UUID

from fleetdesk.retrieval.v1 import evaluation_pb2
from fleetdesk.retrieval.v1 import evaluation_service_pb2 as pb
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.evaluations import create_evaluation
from gateway.parts import GatewayRequest, parts_of
from gateway.routes.reading import request_id
from gateway.shapes.common import (
    IdempotencyKey,
    IdPageToken,
    NumberPageToken,
    PageSize,
    value_of,
)
from gateway.shapes.evaluations import (
    ArmName,
    Evaluation,
    EvaluationDetail,
    EvaluationList,
    EvaluationQuestion,
    EvaluationQuestionList,
    EvaluationRequest,
)

_TAGS = ["Knowledge"]
_READ = Access(role=Role.VIEWER, scope="knowledge:read")
_WRITE = Access(role=Role.AGENT, scope="knowledge:write", timeout_s=30)
_ACT = Access(role=Role.AGENT, scope="knowledge:write", body="none")
# 1 MiB of questions, escaped.
_MAX_BODY_BYTES = 3 * 1024 * 1024


@endpoint(
    "POST",
    "/v1/knowledge/evaluations",
    _WRITE,
    status_code=201,
    max_body_bytes=_MAX_BODY_BYTES,
    tags=_TAGS,
    summary="Evaluate your knowledge by your own questions",
)
async def post_evaluation(
    request: GatewayRequest,
    data: JSONBody[EvaluationRequest],
    idempotency_key: IdempotencyKey = "",
) -> Evaluation:
    """Queues a run in the background; follow its `state` and `done_count`.

    What is wrong is named by row and column, or item. One run is under way at a time (409).
    """
    async with request_id(request, idempotency_key, data) as key:
        return Evaluation.of(await create_evaluation(parts_of(request).clients, key, data))


@endpoint("GET", "/v1/knowledge/evaluations", _READ, tags=_TAGS, summary="List evaluations")
async def get_evaluations(
    request: GatewayRequest, page_size: PageSize = 50, page_token: IdPageToken = ""
) -> EvaluationList:
    """Evaluations, newest first."""
    found = await call(
        parts_of(request).clients.evaluations.ListEvaluations,
        pb.ListEvaluationsRequest(page_size=page_size, page_token=page_token),
    )
    return EvaluationList([Evaluation.of(one) for one in found.evaluations], found.next_page_token)


@endpoint(
    "GET",
    "/v1/knowledge/evaluations/{evaluation_id:uuid}",
    _READ,
    tags=_TAGS,
    summary="Get an evaluation",
)
async def get_evaluation(
    request: GatewayRequest,
    evaluation_id: FromPath[UUID],
    baseline: Annotated[
        UUID | None, QueryParameter(name="baseline", description="An earlier run to compare with.")
    ] = None,
) -> EvaluationDetail:
    """The figures of every arm with intervals, and what changed since an earlier run."""
    found = await call(
        parts_of(request).clients.evaluations.GetEvaluation,
        pb.GetEvaluationRequest(
            evaluation_id=str(evaluation_id), baseline_evaluation_id=str(baseline or "")
        ),
    )
    return EvaluationDetail.of(found)


@endpoint(
    "GET",
    "/v1/knowledge/evaluations/{evaluation_id:uuid}/questions",
    _READ,
    tags=_TAGS,
    summary="List an evaluation's questions",
)
async def get_evaluation_questions(
    request: GatewayRequest,
    evaluation_id: FromPath[UUID],
    arm: Annotated[
        ArmName, QueryParameter(name="arm", description="Whose finds are listed.")
    ] = "reranked",
    missed: Annotated[
        bool,
        QueryParameter(name="missed", description="Only those that find none of their documents."),
    ] = False,
    page_size: PageSize = 50,
    page_token: NumberPageToken = "",
) -> EvaluationQuestionList:
    """Each question with where its documents stand, and what was found for it."""
    found = await call(
        parts_of(request).clients.evaluations.ListEvaluationQuestions,
        pb.ListEvaluationQuestionsRequest(
            evaluation_id=str(evaluation_id),
            arm=value_of(evaluation_pb2.EvaluationArm, arm, "EVALUATION_ARM_", "arm"),
            only_missed=missed,
            page_size=page_size,
            page_token=page_token,
        ),
    )
    items = [EvaluationQuestion.of(question) for question in found.questions]
    return EvaluationQuestionList(items, found.next_page_token)


@endpoint(
    "POST",
    "/v1/knowledge/evaluations/{evaluation_id:uuid}/cancel",
    _ACT,
    tags=_TAGS,
    summary="Stop an evaluation",
)
async def post_evaluation_cancel(
    request: GatewayRequest, evaluation_id: FromPath[UUID]
) -> Evaluation:
    """Stops it before its next question; what was found until then is kept."""
    stopped = await call(
        parts_of(request).clients.evaluations.CancelEvaluation,
        pb.CancelEvaluationRequest(evaluation_id=str(evaluation_id)),
    )
    return Evaluation.of(stopped.evaluation)


@endpoint(
    "DELETE",
    "/v1/knowledge/evaluations/{evaluation_id:uuid}",
    _ACT,
    status_code=204,
    tags=_TAGS,
    summary="Delete an evaluation",
)
async def delete_evaluation(request: GatewayRequest, evaluation_id: FromPath[UUID]) -> None:
    """Removes it with its questions."""
    # Not repeated: the second call would not find what the first has deleted.
    await parts_of(request).clients.evaluations.DeleteEvaluation(
        pb.DeleteEvaluationRequest(evaluation_id=str(evaluation_id))
    )


HANDLERS: list[HTTPRouteHandler] = [
    post_evaluation,
    get_evaluations,
    get_evaluation,
    get_evaluation_questions,
    post_evaluation_cancel,
    delete_evaluation,
]
