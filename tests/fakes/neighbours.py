"""The services that conversation calls, scripted: for faults that the real ones can't be asked for.

Real gRPC servers with the fleet's own rules (tokens, deadlines, errors). What is not about a fault
is tested with the real services (tests/conversation/test_with_neighbours.py).
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from fleetdesk.billing.v1 import billing_service_pb2 as billing_pb
from fleetdesk.billing.v1 import billing_service_pb2_grpc as billing_grpc
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2_grpc as llm_grpc
from fleetdesk.llm_gateway.v1.usage_pb2 import UsageEntry
from fleetdesk.memory.v1 import memory_service_pb2 as memory_pb
from fleetdesk.memory.v1 import memory_service_pb2_grpc as memory_grpc
from fleetdesk.retrieval.v1 import document_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from fleetdesk.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from fleetkit.clock import Clock
from fleetkit.config import FleetSettings
from fleetkit.context import CallContext, current
from fleetkit.rpc.keys import KeyRing
from fleetkit.rpc.server import RpcServer
from pydantic import SecretStr

# One piece of a scripted answer: text, a gate to wait at, seconds to think, an error to raise, or
# a whole message.
Piece = str | asyncio.Event | float | Exception | llm_pb.Citation | llm_pb.AnswerCompleted
EMBED_NANOS = 50
ANSWER_NANOS = 4_000


def passage(title: str, text: str, *, score: float = 0.9) -> document_pb2.SearchResult:
    """A chunk as retrieval would find it, of a document of its own."""
    return document_pb2.SearchResult(
        chunk_id=str(uuid4()),
        document_id=str(uuid4()),
        title=title,
        url=f"https://help.example/{title.replace(' ', '-').lower()}",
        text=text,
        score=score,
    )


def quote(found: document_pb2.SearchResult, words: str, answer: str) -> llm_pb.Citation:
    """A true citation of `words` for the whole of `answer`."""
    start = found.text.index(words)
    return llm_pb.Citation(
        chunk_id=found.chunk_id,
        document_id=found.document_id,
        start=start,
        end=start + len(words),
        quote=words,
        answer_start=0,
        answer_end=len(answer),
    )


def completed(
    support: float = 0.9,
    reason: "llm_pb.FinishReason.ValueType" = llm_pb.FINISH_REASON_COMPLETE,
    tier: int = 1,
) -> llm_pb.AnswerCompleted:
    """The end of an answer, by the model at `tier`."""
    return llm_pb.AnswerCompleted(
        finish_reason=reason,
        support=support,
        model="fake/writer",
        call_id=str(uuid4()),
        tier=tier,
    )


class FakeBilling(billing_grpc.BillingServiceServicer):
    """Allows, refuses or fails."""

    def __init__(self) -> None:
        self.allowed = True
        self.error: Exception | None = None
        self.calls: list[CallContext] = []
        self.asked: list[billing_pb.CheckEntitlementRequest] = []

    async def CheckEntitlement(
        self, request: billing_pb.CheckEntitlementRequest, context: Any
    ) -> billing_pb.CheckEntitlementResponse:
        self.calls.append(current())
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return billing_pb.CheckEntitlementResponse(allowed=self.allowed, plan_id="development")


class FakeMemory(memory_grpc.MemoryServiceServicer):
    """Takes turns, and gives back those handed to it; or fails."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        # One for each message. Off as in a memory of before `more_turns`.
        self.recorded: list[memory_pb.RecordTurnRequest] = []
        self.takes_more = True
        self.asked: list[memory_pb.GetContextRequest] = []

    async def RecordTurn(
        self, request: memory_pb.RecordTurnRequest, context: Any
    ) -> memory_pb.RecordTurnResponse:
        if self.error is not None:
            raise self.error
        turns = [request.turn, *(request.more_turns if self.takes_more else ())]
        self.recorded += [
            memory_pb.RecordTurnRequest(
                conversation_id=request.conversation_id, visitor_id=request.visitor_id, turn=turn
            )
            for turn in turns
        ]
        count = len(turns) if self.takes_more else 0
        return memory_pb.RecordTurnResponse(recorded=True, turn_count=count)

    async def GetContext(
        self, request: memory_pb.GetContextRequest, context: Any
    ) -> memory_pb.GetContextResponse:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        known = [
            each.turn for each in self.recorded if each.conversation_id == request.conversation_id
        ]
        taken = {turn.message_id for turn in known}
        late = [turn for turn in request.pending_turns if turn.message_id not in taken]
        return memory_pb.GetContextResponse(turns=in_order([*known, *late]))


def in_order(turns: Sequence[memory_pb.Turn]) -> list[memory_pb.Turn]:
    """Oldest first, as memory returns them, whatever order they were recorded in."""
    return sorted(turns, key=lambda turn: (turn.create_time.ToNanoseconds(), turn.message_id))


class FakeRetrieval(retrieval_grpc.RetrievalServiceServicer):
    """Finds what it is told to find; each search costs an embedding."""

    def __init__(self, llm: "FakeLlm") -> None:
        self._llm = llm
        self.results: list[document_pb2.SearchResult] = []
        self.relevance = 0.9
        self.vector_reason = ""
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.queries: list[str] = []
        self.reranks: list[bool] = []
        self.calls: list[CallContext] = []

    async def Search(
        self, request: retrieval_pb.SearchRequest, context: Any
    ) -> retrieval_pb.SearchResponse:
        self.queries.append(request.query)
        self.reranks.append(request.rerank)
        self.calls.append(current())
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self._llm.spend("retrieval", EMBED_NANOS)
        return retrieval_pb.SearchResponse(
            results=self.results, relevance=self.relevance, vector_reason=self.vector_reason
        )


class FakeLlm(llm_grpc.LlmGatewayServiceServicer):
    """Writes what the script says, and keeps a ledger."""

    def __init__(self) -> None:
        self.script: Sequence[Piece] = ("Hello.", completed())
        self.requests: list[llm_pb.AnswerRequest] = []
        self.calls: list[CallContext] = []
        self.ledger: list[UsageEntry] = []
        self.models = ["fake/writer"]
        self.cut = 0
        self.usage_error: Exception | None = None
        self.pictures: list[llm_pb.SeeRequest] = []
        self.see_error: Exception | None = None
        self.see_gate: asyncio.Event | None = None
        self.angles: dict[str, float] = {}
        self.embed_error: Exception | None = None

    async def See(self, request: llm_pb.SeeRequest, context: Any) -> llm_pb.SeeResponse:
        """A short line in each region; after the gate, or the error."""
        self.pictures.append(request)
        if self.see_gate is not None:
            await self.see_gate.wait()
        if self.see_error is not None:
            raise self.see_error
        response = llm_pb.SeeResponse(model="fake/eyes")
        for box in request.regions:
            place = llm_pb.PixelBox(x=box.x, y=box.y, width=40, height=16)
            response.lines.add(text="read", box=place, confidence_millis=990)
        return response

    async def Embed(self, request: llm_pb.EmbedRequest, context: Any) -> llm_pb.EmbedResponse:
        """Unit vectors of two components, by `angles` in degrees; other texts point along 0°."""
        angles = [math.radians(self.angles.get(text, 0)) for text in request.texts]
        vectors = [llm_pb.Embedding(values=[math.cos(angle), math.sin(angle)]) for angle in angles]
        if self.embed_error is not None:
            raise self.embed_error
        return llm_pb.EmbedResponse(embeddings=vectors, model="fake/embedder@1")

    async def Answer(
        self, request: llm_pb.AnswerRequest, context: Any
    ) -> AsyncIterator[llm_pb.AnswerResponse]:
        self.requests.append(request)
        self.calls.append(current())
        whole = False
        try:
            for piece in self.script:
                if isinstance(piece, llm_pb.AnswerCompleted):
                    whole = True
                    self.spend("conversation", ANSWER_NANOS)
                if (response := await _played(piece)) is not None:
                    yield response
        finally:
            if not whole:
                self.cut += 1
                self.spend("conversation", ANSWER_NANOS)

    async def ListUsage(
        self, request: llm_pb.ListUsageRequest, context: Any
    ) -> llm_pb.ListUsageResponse:
        if self.usage_error is not None:
            raise self.usage_error
        items = [
            item
            for item in self.ledger
            if request.message_id in ("", item.message_id)
            and request.conversation_id in ("", item.conversation_id)
        ]
        total_nanos = sum(item.amount_nanos for item in items)
        return llm_pb.ListUsageResponse(items=items, total_nanos=total_nanos)

    async def ListModels(
        self, request: llm_pb.ListModelsRequest, context: Any
    ) -> llm_pb.ListModelsResponse:
        models = [
            llm_pb.Model(model=name, is_default=at == 0) for at, name in enumerate(self.models)
        ]
        return llm_pb.ListModelsResponse(models=models)

    def spend(self, service: str, amount_nanos: int) -> None:
        """Writes a row for the work at hand."""
        work = current().attribution
        self.ledger.append(
            UsageEntry(
                usage_id=str(uuid4()),
                service=service,
                purpose=work.purpose,
                amount_nanos=amount_nanos,
                message_id=str(work.message_id or ""),
                conversation_id=str(work.conversation_id or ""),
                agent_id=str(work.agent_id or ""),
                visitor_id=str(work.visitor_id or ""),
            )
        )


async def _played(piece: Piece) -> llm_pb.AnswerResponse | None:
    if isinstance(piece, asyncio.Event):
        await piece.wait()
        return None
    if isinstance(piece, float | int):
        await asyncio.sleep(piece)
        return None
    if isinstance(piece, Exception):
        raise piece
    if isinstance(piece, str):
        return llm_pb.AnswerResponse(delta=llm_pb.AnswerDelta(text=piece))
    if isinstance(piece, llm_pb.Citation):
        return llm_pb.AnswerResponse(citation=piece)
    return llm_pb.AnswerResponse(completed=piece)


@dataclass(slots=True)
class FakeNeighbours:
    """All four, serving; `settings` point conversation to them."""

    keys_dir: Path
    billing: FakeBilling = field(default_factory=FakeBilling)
    memory: FakeMemory = field(default_factory=FakeMemory)
    llm: FakeLlm = field(default_factory=FakeLlm)
    retrieval: FakeRetrieval = field(init=False)
    settings: dict[str, Any] = field(default_factory=dict)
    _servers: list[RpcServer] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Search is all that conversation calls.
        self.retrieval = FakeRetrieval(self.llm)  # pyright: ignore[reportAbstractUsage]

    async def start(self) -> None:
        """Serves each on a port of its own."""
        for name, add, servicer in (
            ("billing", billing_grpc.add_BillingServiceServicer_to_server, self.billing),
            ("memory", memory_grpc.add_MemoryServiceServicer_to_server, self.memory),
            ("retrieval", retrieval_grpc.add_RetrievalServiceServicer_to_server, self.retrieval),
            ("llm-gateway", llm_grpc.add_LlmGatewayServiceServicer_to_server, self.llm),
        ):
            server = RpcServer(
                _settings(name, self.keys_dir), KeyRing.load(self.keys_dir, name), Clock()
            )
            server.add(add, servicer)
            port = await server.start()
            self._servers.append(server)
            self.settings[f"{name.replace('-', '_')}_address"] = f"127.0.0.1:{port}"

    async def stop(self) -> None:
        """Stops all at once."""
        for server in self._servers:
            await server.stop(0)


def _settings(name: str, keys_dir: Path) -> FleetSettings:
    class Settings(FleetSettings):
        service: ClassVar[str] = name

    return Settings(postgres_url=SecretStr(""), keys_dir=keys_dir)
