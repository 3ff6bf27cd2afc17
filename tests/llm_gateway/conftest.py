"""llm-gateway as its tests start it: one worker, and one converted model for the whole run."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fakes.anthropic_server import FakeAnthropic
from fakes.openai_server import FakeOpenAi
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from harness.services import Running

Start = Callable[..., Awaitable[Running]]
Stub = LlmGatewayServiceStub


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def start(fleet_service: Callable[..., Any], model_cache: Path) -> Start:
    """`await start(answer_model=…)` starts llm-gateway with one worker."""

    async def start(**settings: Any) -> Running:
        defaults = {"model_cache_dir": model_cache, "embed_workers": 1}
        return await fleet_service("llm-gateway", **{**defaults, **settings})

    return start


@pytest.fixture
async def running(start: Start) -> Running:
    """llm-gateway with its local providers."""
    return await start()


@pytest.fixture
def stub(running: Running) -> Any:
    """Calls to it as conversation."""
    return running.stub(LlmGatewayServiceStub, caller="conversation")


@pytest.fixture
def tenant(as_background: Callable[..., Any], tenant_id: UUID) -> Any:
    """`with tenant():` calls as background work of the tenant."""
    return lambda: as_background(tenant_id)


@pytest.fixture
async def claude() -> AsyncIterator[FakeAnthropic]:
    """A server that speaks Anthropic's format."""
    server = await FakeAnthropic().start()
    yield server
    await server.stop()


@pytest.fixture
async def openai() -> AsyncIterator[FakeOpenAi]:
    """A server that speaks OpenAI's format."""
    server = await FakeOpenAi().start()
    yield server
    await server.stop()


@pytest.fixture
def see_pids() -> Callable[[], list[int]]:
    """Process ids of this process's reading workers."""

    def find() -> list[int]:
        name = b"llm_gateway.rapidocr_worker.child"
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        return [
            int(pid)
            for pid in children
            if name in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        ]

    return find
