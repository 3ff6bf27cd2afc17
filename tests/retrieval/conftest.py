"""Fixtures of retrieval: the service with a stand-in for the embedding model."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fakes.embeddings import FakeEmbeddings, serve_embeddings
from fleetdesk.retrieval.v1 import document_pb2, evaluation_pb2
from fleetdesk.retrieval.v1 import evaluation_service_pb2 as evaluation_pb
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetdesk.retrieval.v1.evaluation_service_pb2_grpc import EvaluationServiceStub
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from fleetkit.clock import Clock
from fleetkit.postgres import Database
from fleetkit.rpc.client import RpcClients
from fleetkit.rpc.keys import KeyRing
from harness.services import Running
from harness.waiting import eventually
from retrieval.config import Settings

_ENDED = (document_pb2.DOCUMENT_STATUS_READY, document_pb2.DOCUMENT_STATUS_FAILED)

_UNDER_WAY = (evaluation_pb2.EVALUATION_STATE_QUEUED, evaluation_pb2.EVALUATION_STATE_RUNNING)


@pytest.fixture
async def embeddings() -> AsyncIterator[FakeEmbeddings]:
    async with serve_embeddings() as fake:
        yield fake


@pytest.fixture
async def retrieval(fleet_service, embeddings) -> Running:
    return await fleet_service("retrieval", llm_gateway_address=embeddings.address)


@pytest.fixture
async def db(retrieval: Running) -> Database:
    return retrieval.db


class Knowledge:
    """What a tenant's admin does, through the gateway."""

    def __init__(self, stub: Any, act: Callable[..., Any], tenant_id: UUID) -> None:
        self.stub = stub
        self.tenant_id = tenant_id
        self._act = act

    def acting(self, role: str = "admin") -> Any:
        return self._act(self.tenant_id, role=role)

    async def create(self, *sources: pb.SourceInput, request_id: str = "") -> list[Any]:
        request = pb.CreateSourcesRequest(request_id=request_id or str(uuid4()), sources=sources)
        with self.acting():
            return list((await self.stub.CreateSources(request)).outcomes)

    async def add(self, content: str | bytes, **fields: Any) -> document_pb2.Source:
        """One source, once it is ready or has failed."""
        (outcome,) = await self.create(text(content, **fields))
        assert outcome.error == ""
        return await self.ended(outcome.source.source_id)

    async def source(self, source_id: str) -> document_pb2.Source:
        with self.acting():
            return (await self.stub.GetSource(pb.GetSourceRequest(source_id=source_id))).source

    async def ended(self, source_id: str, timeout_s: float = 30.0) -> document_pb2.Source:
        async def check() -> document_pb2.Source | None:
            source = await self.source(source_id)
            return source if source.status in _ENDED else None

        source = await eventually(check, timeout_s=timeout_s)
        assert source is not None
        return source

    async def upload(self, *pieces: bytes, request_id: str = "", **fields: Any) -> Any:
        source = pb.SourceInput(type=document_pb2.SOURCE_TYPE_FILE, **fields)
        header = pb.UploadHeader(request_id=request_id or str(uuid4()), source=source)

        async def requests() -> AsyncIterator[pb.UploadSourceRequest]:
            yield pb.UploadSourceRequest(header=header)
            for piece in pieces:
                yield pb.UploadSourceRequest(data=piece)

        with self.acting():
            return (await self.stub.UploadSource(requests())).source

    async def search(self, query: str, top_k: int = 5, explain: bool = False) -> Any:
        request = pb.SearchRequest(query=query, top_k=top_k, explain=explain)
        with self.acting():
            return await self.stub.Search(request)

    async def delete(self, source_id: str) -> int:
        with self.acting():
            request = pb.DeleteSourceRequest(source_id=source_id)
            return (await self.stub.DeleteSource(request)).chunk_count


class Evaluations:
    """What a tenant's people do with evaluations of its knowledge."""

    def __init__(self, stub: Any, knowledge: Knowledge) -> None:
        self.stub = stub
        self.knowledge = knowledge

    async def create(self, content: str | bytes = b"", **fields: Any) -> evaluation_pb2.Evaluation:
        fields.setdefault("request_id", str(uuid4()))
        encoded = content.encode() if isinstance(content, str) else content
        request = evaluation_pb.CreateEvaluationRequest(content=encoded, **fields)
        with self.knowledge.acting("agent"):
            return (await self.stub.CreateEvaluation(request)).evaluation

    async def get(self, evaluation_id: str, baseline: str = "") -> Any:
        request = evaluation_pb.GetEvaluationRequest(
            evaluation_id=evaluation_id, baseline_evaluation_id=baseline
        )
        with self.knowledge.acting("viewer"):
            return await self.stub.GetEvaluation(request)

    async def ended(self, evaluation_id: str) -> evaluation_pb2.Evaluation:
        async def check() -> evaluation_pb2.Evaluation | None:
            found = (await self.get(evaluation_id)).evaluation
            return None if found.state in _UNDER_WAY else found

        found = await eventually(check, timeout_s=30)
        assert found is not None
        return found

    async def questions(self, evaluation_id: str, **fields: Any) -> Any:
        request = evaluation_pb.ListEvaluationQuestionsRequest(
            evaluation_id=evaluation_id, **fields
        )
        with self.knowledge.acting("viewer"):
            return await self.stub.ListEvaluationQuestions(request)


def text(content: str | bytes, **fields: Any) -> pb.SourceInput:
    """A source given by API."""
    encoded = content.encode() if isinstance(content, str) else content
    fields.setdefault("type", document_pb2.SOURCE_TYPE_TEXT)
    return pb.SourceInput(content=encoded, **fields)


def stub_of(retrieval: Running) -> Any:
    """Calls as the gateway makes them."""
    return retrieval.stub(RetrievalServiceStub, caller="gateway")


@pytest.fixture
def knowledge(retrieval, as_identity, tenant_id) -> Knowledge:
    return Knowledge(stub_of(retrieval), as_identity, tenant_id)


@pytest.fixture
def other_knowledge(retrieval, as_identity, other_tenant_id) -> Knowledge:
    return Knowledge(stub_of(retrieval), as_identity, other_tenant_id)


@pytest.fixture
def evaluations(retrieval, knowledge) -> Evaluations:
    return Evaluations(retrieval.stub(EvaluationServiceStub, caller="gateway"), knowledge)


@pytest.fixture
def other_evaluations(retrieval, other_knowledge) -> Evaluations:
    return Evaluations(retrieval.stub(EvaluationServiceStub, caller="gateway"), other_knowledge)


@pytest.fixture
def make_knowledge(fleet_service, embeddings, as_identity, tenant_id) -> Callable[..., Any]:
    """`await make_knowledge(rerank_model=…)`: the tenant's knowledge in a retrieval set up so."""

    async def make(**settings: Any) -> Knowledge:
        running = await fleet_service(
            "retrieval", llm_gateway_address=embeddings.address, **settings
        )
        return Knowledge(stub_of(running), as_identity, tenant_id)

    return make


class Processes:
    """`python -m retrieval` as the supervisor runs it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._clients: list[RpcClients] = []
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> Any:
        """Calls to it, once it serves."""
        port_file = self._folder / "ports.json"
        port_file.unlink(missing_ok=True)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "retrieval", env=environment(self._settings, port_file)
        )

        async def served() -> bool:
            return port_file.exists()

        await eventually(served, timeout_s=30)
        address = f"127.0.0.1:{json.loads(port_file.read_text())['grpc']}"
        settings = self._settings.model_copy(update={"retrieval_address": address})
        clients = RpcClients(settings, KeyRing.load(settings.keys_dir, "gateway"), Clock())
        self._clients.append(clients)
        return RetrievalServiceStub(clients.channel("retrieval"))

    def evaluations(self) -> Any:
        """Calls to its evaluations."""
        return EvaluationServiceStub(self._clients[-1].channel("retrieval"))

    async def end(self) -> None:
        """Leaves nothing running."""
        for clients in self._clients:
            await clients.close()
        if self.process is not None and self.process.returncode is None:
            await self.kill()

    async def kill(self) -> None:
        """As the kernel would."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()


def environment(settings: Settings, port_file: Path) -> dict[str, str]:
    values = settings.model_dump(exclude_none=True)
    values["port_file"] = port_file
    for name in ("postgres_url", "postgres_owner_url"):
        values[name] = values[name].get_secret_value()
    given = {f"FLEETDESK_{name.upper()}": str(value) for name, value in values.items()}
    return {**given, "PATH": os.environ["PATH"]}


@pytest.fixture
async def processes(
    fleet, database: Callable[[str], Any], embeddings, tmp_path
) -> AsyncIterator[Processes]:
    settings = fleet.settings_of(
        Settings,
        await database("retrieval"),
        llm_gateway_address=embeddings.address,
        ingest_lease_s=1.0,
        embed_batch_size=1,
    )
    started = Processes(settings, tmp_path)
    yield started
    await started.end()
