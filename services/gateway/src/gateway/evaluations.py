"""Asking retrieval for evaluations."""

from uuid import UUID

import msgspec
from fleetdesk.retrieval.v1 import evaluation_pb2
from fleetdesk.retrieval.v1 import evaluation_service_pb2 as pb
from fleetkit.errors import InvalidArgument

from gateway.clients import Clients, call
from gateway.shapes.evaluations import EvaluationRequest


async def create_evaluation(
    clients: Clients, request_id: UUID, wanted: EvaluationRequest
) -> evaluation_pb2.Evaluation:
    """Queues it; InvalidArgument unless exactly one of the three ways to give questions is used."""
    given = [bool(wanted.questions), bool(wanted.csv), wanted.from_evaluation_id is not None]
    if given.count(True) != 1:
        raise InvalidArgument(
            "send one of questions, csv and from_evaluation_id", field="questions"
        )
    content = wanted.csv.encode()
    if wanted.questions:
        content = msgspec.json.encode(wanted.questions)
    elif content.lstrip()[:1] in (b"[", b"{"):
        raise InvalidArgument("csv holds JSON: send it as questions", field="csv")
    return await create_from(clients, request_id, wanted.name, content, wanted.from_evaluation_id)


async def create_from(
    clients: Clients, request_id: UUID, name: str, content: bytes, from_id: UUID | None = None
) -> evaluation_pb2.Evaluation:
    """Queues an evaluation of questions as a file holds them, CSV or JSON, or of a run's again."""
    made = await call(
        clients.evaluations.CreateEvaluation,
        pb.CreateEvaluationRequest(
            request_id=str(request_id),
            name=name,
            content=content,
            from_evaluation_id=str(from_id or ""),
        ),
    )
    return made.evaluation
