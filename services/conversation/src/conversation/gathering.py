"""What a turn asks its neighbours before it decides, all at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fleetdesk.billing.v1 import billing_service_pb2 as billing_pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2 import HistoryTurn
from fleetdesk.memory.v1 import memory_service_pb2 as memory_pb
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger
from fleetkit.rpc.fields import timestamp
from fleetkit.rpc.retry import retry_idempotent
from fleetkit.telemetry import counter

from conversation import rephrasing
from conversation.citations import Passage
from conversation.decision import Topic, places_of, topics_of
from conversation.deps import Neighbours
from conversation.store.messages import MessageRow
from conversation.store.untaken import UntakenRow
from conversation.turn import Turn

TOP_K = 5
_ENTITLEMENT_TIMEOUT_S = 2.0
_MEMORY_TIMEOUT_S = 2.0
_SEARCH_TIMEOUT_S = 15.0
# Some 4 s: as long as a restart of retrieval takes, which no visitor should notice.
_SEARCH_ATTEMPTS = 8
_HISTORY_WITHOUT_MEMORY = 10
_AUTHORS = {
    "visitor": memory_pb.AUTHOR_VISITOR,
    "agent": memory_pb.AUTHOR_AGENT,
    "person": memory_pb.AUTHOR_PERSON,
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """The neighbours' answers; `relevance` is the probability that the passages answer.

    `entitled`: whether plan and budgets allow an answer.
    `focus`: lines of the visitor's screen that helped to find them; "" when they didn't.
    `first_tier`: the model to begin with when the visitor asks again, else 0.
    """

    entitled: bool
    history: tuple[HistoryTurn, ...]
    passages: tuple[Passage, ...]
    relevance: float
    focus: str = ""
    first_tier: int = 0

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The documents found, best first, each with its best passage's score."""
        return topics_of((each.document_id, each.title, each.score) for each in self.passages)

    @property
    def places(self) -> tuple[str, ...]:
        """Where the best passages stand, by title and heading; three at most."""
        return places_of((each.title, each.heading_path) for each in self.passages)


async def gather(
    neighbours: Neighbours,
    turn: Turn,
    question: str,
    recent: Sequence[MessageRow],
    focus: str = "",
    *,
    rerank: bool = False,
) -> Gathered:
    """Asks billing, memory and retrieval at once.

    Only retrieval is needed: its errors pass. Without memory the history is what is stored here;
    without billing the visitor is answered, as an outage of ours is no reason to leave them.
    With a `focus` it is also searched for the question together with those lines, and the search
    that found the more relevant passages counts: a question may be about the screen or not.
    """
    async with asyncio.TaskGroup() as group:
        entitled = group.create_task(_entitled(neighbours, turn))
        history = group.create_task(_history(neighbours, turn, recent))
        found = group.create_task(_search(neighbours, question, rerank))
        on_screen = f"{question}\n{focus}"
        seen = group.create_task(_search(neighbours, on_screen, rerank)) if focus else None
        models = len(turn.config.models)
        tier = group.create_task(
            rephrasing.first_tier(neighbours.llm_gateway, turn.text, recent, models)
        )
    response = found.result()
    by_screen = seen.result() if seen else None
    if isinstance(response, FleetError):
        raise response
    if isinstance(by_screen, FleetError) or by_screen is None:
        focus = ""
    elif by_screen.relevance > response.relevance:
        response = by_screen
    else:
        focus = ""
    passages = tuple(
        Passage(
            chunk_id=result.chunk_id,
            document_id=result.document_id,
            title=result.title,
            url=result.url,
            heading_path=tuple(result.heading_path),
            text=result.text,
            score=result.score,
        )
        for result in response.results
    )
    # With the budget spent no model can answer, and words alone find too little to say so.
    affordable = not response.vector_reason.startswith("BUDGET")
    return Gathered(
        entitled.result() and affordable,
        history.result(),
        passages,
        response.relevance,
        focus,
        tier.result(),
    )


async def _search(
    neighbours: Neighbours, question: str, rerank: bool
) -> retrieval_pb.SearchResponse | FleetError:
    """The passages; an error is returned, so that it does not come out as a group of errors."""
    request = retrieval_pb.SearchRequest(query=question, top_k=TOP_K, explain=True, rerank=rerank)
    try:
        return await retry_idempotent(
            lambda: neighbours.retrieval.Search(request, timeout=_SEARCH_TIMEOUT_S),
            attempts=_SEARCH_ATTEMPTS,
        )
    except FleetError as error:
        return error


async def _entitled(neighbours: Neighbours, turn: Turn) -> bool:
    # A trial takes no place of the plan's, as nobody is told of its end.
    request = billing_pb.CheckEntitlementRequest(
        capability=billing_pb.CAPABILITY_TEXT,
        conversation_id=str(turn.conversation_id),
        message_id="" if turn.is_trial else str(turn.message_id),
    )
    try:
        response = await retry_idempotent(
            lambda: neighbours.billing.CheckEntitlement(request, timeout=_ENTITLEMENT_TIMEOUT_S)
        )
    except FleetError as error:
        _degraded("billing", error)
        return True
    return response.allowed


async def _history(
    neighbours: Neighbours, turn: Turn, recent: Sequence[MessageRow]
) -> tuple[HistoryTurn, ...]:
    said = [row for row in recent if row.text and row.status in ("completed", "canceled")]
    request = memory_pb.GetContextRequest(
        conversation_id=str(turn.conversation_id),
        visitor_id=str(turn.visitor_id),
        pending_turns=[memory_turn(row) for row in said if not row.in_memory],
    )
    try:
        response = await retry_idempotent(
            lambda: neighbours.memory.GetContext(request, timeout=_MEMORY_TIMEOUT_S)
        )
    except FleetError as error:
        _degraded("memory", error)
        return tuple(
            HistoryTurn(from_visitor=row.role == "visitor", text=row.text)
            for row in said[-_HISTORY_WITHOUT_MEMORY:]
        )
    return tuple(
        HistoryTurn(from_visitor=each.author == memory_pb.AUTHOR_VISITOR, text=each.text)
        for each in response.turns
        # The job that tells memory may overtake: the question itself is no history.
        if each.message_id != str(turn.question_id)
    )


def memory_turn(row: MessageRow | UntakenRow) -> memory_pb.Turn:
    """A message as memory takes it."""
    return memory_pb.Turn(
        message_id=str(row.message_id),
        author=_AUTHORS[row.role],
        text=row.text,
        create_time=timestamp(row.create_time),
    )


def _degraded(service: str, error: FleetError) -> None:
    get_logger().warning("turn_degraded", without=service, error=type(error).__name__)
    counter(
        "fleetdesk_conversation_degraded_total",
        "Turns answered without a neighbour that did not answer.",
        ("without",),
    ).labels(service).inc()
