"""What llm-gateway adds to a model's answer, beside proxies that a user would pick.

Run: python tests/load/bench_llm_gateway.py [--quick] [--paced] [--cache FOLDER]

Every request is one answer, streamed: asked of the provider itself, of llm-gateway (gRPC, citations
checked, on the ledger, in hard budgets of tenant, agent and conversation, looked for in the
response cache and kept there), of Portkey's gateway (HTTP, passed on as it is) and of LiteLLM's
proxy (HTTP, its cost counted), in rounds of some seconds that take turns. The provider is a process
that plays a recorded answer: at once, or --paced, an event every few milliseconds as a model
writes; then the callers begin one after the other, spread over the time that an answer takes. The
rows of gateways say what they add: the difference of their percentiles to those of the provider
itself, until the first text whose citation is there, and until the end. CPU is that of a gateway's
process, PostgreSQL left out. The proxies are installed from npm and PyPI into --cache; what cannot
be had is left out.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
import psutil
import psycopg
from fakes.anthropic_server import Answer, Block, FakeAnthropic, recorded
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.roster import SERVICES
from fleetkit import logging
from fleetkit.clock import Clock
from fleetkit.context import Attribution, background
from fleetkit.rpc.client import RpcClients
from fleetkit.rpc.keys import KeyRing, generate_keys
from harness.answers import ROUTER, ask, asking, passage
from harness.databases import Databases
from harness.run import Run
from harness.services import FleetServices, Running
from llm_gateway.budgets import NewBudget, create_budget

from load.machine import describe
from load.peers import started_peers
from load.tables import percentile, table

MODEL = "claude-sonnet-4-6"
_PERCENTILES = (50, 95, 99)
HEAD = [
    "asked of",
    "in flight",
    "answers/s",
    *(f"first text p{p} ms" for p in _PERCENTILES),
    *(f"end p{p} ms" for p in _PERCENTILES),
    "CPU ms",
    "failed",
]
_START_S = 60.0
_PACE_MS = 10
_BUDGET_NANOS = 10**17

Once = Callable[[int], Awaitable[float]]
"""One answer, read to its end; the number makes its question one of its own.

Returns when (`time.perf_counter`) text and its citation were there.
"""


@dataclass
class Figures:
    """What came of the answers with some number of requests in flight."""

    first_s: list[float] = field(default_factory=list)
    end_s: list[float] = field(default_factory=list)
    spent_s: float = 0.0
    cpu_s: float = 0.0
    failed: int = 0

    def percentiles_ms(self) -> list[float]:
        """Until the first text, then until the end, as the head names them."""
        return [
            percentile(times, each) * 1e3
            for times in (self.first_s, self.end_s)
            for each in _PERCENTILES
        ]


@dataclass
class Target:
    """Who is asked, and what came of it by requests in flight."""

    name: str
    once: Once
    processes: Sequence[psutil.Process] = ()
    figures: dict[int, Figures] = field(default_factory=dict)

    def cpu_now_s(self) -> float:
        times = [process.cpu_times() for process in self.processes]
        return sum(one.user + one.system for one in times)


async def round_of(
    target: Target, in_flight: int, seconds: float, numbers: Iterator[int], spread_s: float
) -> None:
    """Asks for answers, so many at a time, until the seconds are over.

    The callers' first requests are spread over `spread_s`: by then they are answered one after the
    other, as visitors are, and do not all want the same core at the same moment.
    """
    figures = target.figures.setdefault(in_flight, Figures())
    began, cpu = time.perf_counter(), target.cpu_now_s()

    async def caller(place: int) -> None:
        await asyncio.sleep(spread_s * place / in_flight)
        while (started := time.perf_counter()) < began + seconds:
            try:
                first = await target.once(next(numbers))
            except Exception as error:  # noqa: BLE001 - counted, and told once
                if not figures.failed:
                    print(f"{target.name}: {type(error).__name__}: {error}", file=sys.stderr)
                figures.failed += 1
            else:
                figures.first_s.append(first - started)
                figures.end_s.append(time.perf_counter() - started)

    await asyncio.gather(*(caller(place) for place in range(in_flight)))
    figures.spent_s += time.perf_counter() - began
    figures.cpu_s += target.cpu_now_s() - cpu


def print_rows(targets: Sequence[Target], flights: Sequence[int]) -> None:
    """A row for each target at each number of requests in flight."""
    rows: list[list[str]] = []
    for in_flight in flights:
        alone = targets[0].figures[in_flight].percentiles_ms()
        for target in targets:
            figures = target.figures[in_flight]
            own = figures.percentiles_ms()
            added = [f"{mine - its:+.2f}" for mine, its in zip(own, alone, strict=True)]
            answers = len(figures.end_s)
            rows.append(
                [
                    target.name,
                    str(in_flight),
                    f"{answers / figures.spent_s:.0f}",
                    *(added if target is not targets[0] else (f"{each:.2f}" for each in own)),
                    f"{figures.cpu_s * 1e3 / max(1, answers):.2f}" if target.processes else "",
                    str(figures.failed),
                ]
            )
    print(table(HEAD, rows))


async def main(options: argparse.Namespace, folder: Path, run: Run) -> None:
    """Starts everything, measures in turns, prints a table, ends everything."""
    logging.configure("bench", "error")
    flights, rounds, seconds = ((1, 16), 2, 1.0) if options.quick else ((1, 16, 64), 5, 3.0)
    server = NatsServer(folder)
    server.start()
    generate_keys(folder / "keys", SERVICES)
    services = FleetServices(Databases(run), server, folder / "keys", folder)
    async with AsyncExitStack() as exit_stack:
        exit_stack.callback(server.stop)
        exit_stack.push_async_callback(services.stop_all)
        body, stream = await recording(services)
        (folder / "answer.sse").write_bytes(stream)
        pace_ms = _PACE_MS if options.paced else 0
        provider = exit_stack.enter_context(started_provider(folder / "answer.sse", pace_ms))
        session = await exit_stack.enter_async_context(aiohttp.ClientSession())
        url = f"http://127.0.0.1:{provider}"
        gateway = _Gateway(services, folder, url)
        ours = await exit_stack.enter_async_context(gateway)
        targets = [Target("the provider itself", posting(session, url, body, {})), ours]
        for peer in await started_peers(exit_stack, options.cache, folder, url):
            once = posting(session, peer.url, body, peer.headers)
            await answering(once)
            targets.append(Target(peer.name, once, peer.processes()))
        numbers = count()
        spread_s = stream.count(b"\n\n") * pace_ms / 1000
        for target in targets:
            await round_of(target, 4, 1.0, numbers, spread_s)
            target.figures.clear()
        await gateway.analyze()
        for _ in range(rounds):
            for in_flight in flights:
                for target in targets:
                    await round_of(target, in_flight, seconds, numbers, spread_s)
    played = f"an event every {pace_ms} ms" if pace_ms else "at once"
    events = stream.count(b"event: content_block_delta")
    print(
        f"{rounds} rounds of {seconds:.0f} s each, in turns; an answer of {events} deltas, played"
        f" {played}; {describe()}\n"
    )
    print_rows(targets, flights)


async def recording(services: FleetServices) -> tuple[bytes, bytes]:
    """A request as llm-gateway sends it, and the events of an answer to it."""
    claude = await FakeAnthropic().start()
    running = await services.start("llm-gateway", **_settings(claude.url))
    stub = running.stub(LlmGatewayServiceStub, caller="conversation")
    with background(uuid4()):
        await ask(stub, asking("Ports?", *_PASSAGES))
    await running.stop()
    await claude.stop()
    # Claude cites by the sentence or two, each a block of its own.
    words = "The router has four LAN ports. It weighs 300 grams. "
    return recorded(claude.requests[0], Answer([Block(words, ((0, 0, 1),))] * 6))


_PASSAGES = [passage(ROUTER * 3, chunk_id=f"c{number}") for number in range(5)]


def _settings(url: str) -> dict[str, object]:
    return {
        "anthropic_api_key": "sk-bench",
        "anthropic_base_url": url,
        "answer_model": f"anthropic/{MODEL}",
        "embed_workers": 0,
    }


@contextmanager
def started_provider(answer: Path, pace_ms: int) -> Iterator[int]:
    """The port of a process that plays the answer."""
    script = Path(__file__).with_name("played_provider.py")
    command = [sys.executable, script, answer, str(pace_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


class _Gateway:
    """llm-gateway as a process of its own, with a database, and a channel to it."""

    def __init__(self, services: FleetServices, folder: Path, provider_url: str) -> None:
        self._services = services
        self._folder = folder
        self._provider_url = provider_url
        self._database_url = ""
        self._process: asyncio.subprocess.Process | None = None
        self._clients: RpcClients | None = None

    async def __aenter__(self) -> Target:
        # Its database, keys and bus are those of one started here that nobody asks.
        beside = await self._services.start("llm-gateway", **_settings(self._provider_url))
        self._database_url = beside.database.admin_url
        address = await self._started(beside)
        settings = beside.rt.settings.model_copy(update={"llm_gateway_address": address})
        keyring = KeyRing.load(self._folder / "keys", "conversation")
        self._clients = RpcClients(settings, keyring, Clock())
        stub = LlmGatewayServiceStub(self._clients.channel("llm-gateway"))
        tenant_id, agent_id = uuid4(), uuid4()
        for level, target_id in (("tenant", None), ("agent", agent_id), ("conversation", None)):
            budget = NewBudget(level, target_id, "month", _BUDGET_NANOS, hard=True)
            await create_budget(beside.db, beside.rt.clock, tenant_id, budget)

        async def once(number: int) -> float:
            about = Attribution("turn", conversation_id=uuid4(), agent_id=agent_id)
            asked = asking(f"Ports, {number}?", *_PASSAGES, response_cache=True)
            first, piece = 0.0, ""
            with background(tenant_id, about):
                async for response in stub.Answer(asked, timeout=60):
                    piece = response.WhichOneof("piece")
                    # Text is held back until its citation is there.
                    first = first or time.perf_counter()
            assert piece == "completed"
            return first

        assert self._process is not None
        return Target("llm-gateway", once, [psutil.Process(self._process.pid)])

    async def analyze(self) -> None:
        """Has PostgreSQL look at its tables, as it does by itself once a minute."""
        async with await psycopg.AsyncConnection.connect(
            self._database_url, autocommit=True
        ) as conn:
            await conn.execute("analyze")

    async def _started(self, beside: Running) -> str:
        settings = beside.rt.settings
        ports = self._folder / "ports.json"
        environment = {
            "FLEETDESK_POSTGRES_URL": settings.postgres_url.get_secret_value(),
            "FLEETDESK_NATS_URL": settings.nats_url,
            "FLEETDESK_NATS_NKEY_FILE": str(settings.nats_nkey_file),
            "FLEETDESK_KEYS_DIR": str(self._folder / "keys"),
            "FLEETDESK_PORT_FILE": str(ports),
            "FLEETDESK_EMBED_WORKERS": "0",
            "FLEETDESK_ANTHROPIC_API_KEY": "sk-bench",
            "FLEETDESK_ANTHROPIC_BASE_URL": self._provider_url,
            "FLEETDESK_ANSWER_MODEL": f"anthropic/{MODEL}",
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "llm_gateway",
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(_START_S):
            while not ports.exists():
                await asyncio.sleep(0.1)
        return f"127.0.0.1:{json.loads(ports.read_text())['grpc']}"

    async def __aexit__(self, *_: object) -> None:
        if self._clients is not None:
            await self._clients.close()
        if self._process is not None:
            self._process.terminate()
            await self._process.wait()


def posting(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> Once:
    """Asks a server that speaks Anthropic's protocol."""
    headers = {
        "content-type": "application/json",
        "x-api-key": "sk-bench",
        "anthropic-version": "2026-10-21",
        **headers,
    }

    async def once(_: int) -> float:
        said, first = b"", 0.0
        async with session.post(f"{url}/v1/messages", data=body, headers=headers) as response:
            async for chunk in response.content.iter_any():
                said += chunk
                if not first and b"text_delta" in said and b"citations_delta" in said:
                    first = time.perf_counter()
        if response.status != 200 or b"message_stop" not in said or not first:
            raise ValueError(f"status {response.status}: {said[:200]!r}")
        return first

    return once


async def answering(once: Once) -> None:
    """Waits until a process that was started takes connections."""
    async with asyncio.timeout(_START_S):
        while True:
            try:
                await once(0)
                return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute")
    parser.add_argument("--paced", action="store_true", help="the provider takes its time")
    parser.add_argument("--cache", type=Path, default=Path(".data/peer-proxy"))
    given = parser.parse_args()
    given.cache = given.cache.resolve()
    shared = Run.begin()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            asyncio.run(main(given, Path(scratch), shared))
    finally:
        shared.end()
