"""What GetKpis and SummarizeCosts cost over a busy tenant's month.

Run: python tests/load/bench_analytics.py [--conversations 100000] [--calls 20]

The facts are written straight into the tables: a conversation has three turns and each turn four
entries of the ledger. Also prints how many conversations a second are derived anew by `rebuild`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from analytics.rebuild import check_rebuild, rebuild
from fleetdesk.analytics.v1 import analytics_service_pb2 as pb
from fleetdesk.analytics.v1 import cost_pb2, kpi_pb2
from fleetdesk.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.roster import SERVICES
from fleetkit import logging
from fleetkit.context import Identity
from fleetkit.rpc.fields import timestamp
from fleetkit.rpc.identity import acting_as
from fleetkit.rpc.keys import KeyRing, generate_keys
from harness.databases import Databases
from harness.run import Run
from harness.services import FleetServices, Running

from load import machine
from load.tables import percentile, table

END = datetime(2026, 11, 1, tzinfo=UTC)
_FILL: LiteralString = """
insert into known_tenants values (%(tenant)s);
create temporary table talk as
  select gen_random_uuid() as conversation_id, gen_random_uuid() as visitor_id,
    (array[%(agent)s, %(other)s])[1 + n %% 2]::uuid as agent_id,
    %(end)s::timestamptz - interval '30 days' * random() as at, n
  from generate_series(1, %(conversations)s) n;
insert into conversation_event (tenant_id, event_id, conversation_id, kind, detail, revision,
    occur_time, agent_id, visitor_id)
  select %(tenant)s, gen_random_uuid(), conversation_id, 'message', 'visitor', 1, at, agent_id,
    visitor_id from talk;
insert into turn
  select %(tenant)s, gen_random_uuid(), conversation_id, agent_id, 1, visitor_id, k,
    at + k * interval '1 minute', 'completed',
    (array['answered', 'answered', 'clarify', 'handoff'])[1 + (n + k) %% 4],
    'missing_knowledge', 700, 800, 1, (random() * 900)::int, (random() * 4000)::int
  from talk, generate_series(1, 3) k;
create temporary table call as
  select gen_random_uuid() as call_id, talk.*, k from talk, generate_series(1, 12) k;
insert into cost_call select %(tenant)s, call_id, 1 from call;
insert into cost_entry
  select %(tenant)s, gen_random_uuid(), call_id, at + k * interval '20 seconds', 'settled',
    (array['conversation', 'retrieval', 'memory'])[1 + k %% 3],
    (array['anthropic/a', 'anthropic/b', 'local/c'])[1 + k %% 3], 'input_token', 'turn', 1000,
    (random() * 100000)::bigint, 0, null, conversation_id, agent_id, visitor_id from call;
"""


async def main(conversations: int, calls: int, folder: Path, run: Run) -> None:
    logging.configure("bench", "error")
    server = NatsServer(folder)
    server.start()
    generate_keys(folder / "keys", SERVICES)
    services = FleetServices(Databases(run), server, folder / "keys", folder)
    tenant_id, agent_id = uuid4(), uuid4()
    try:
        analytics = await services.start("analytics", postgres_pool_max=4)
        await fill(analytics, tenant_id, agent_id, conversations)
        started = time.perf_counter()
        await rebuild(analytics.db)
        rate = conversations / (time.perf_counter() - started)
        await check_rebuild(analytics.db)
        async with await psycopg.AsyncConnection.connect(
            analytics.database.admin_url, autocommit=True
        ) as conn:
            await conn.execute("vacuum analyze")
        gateway = KeyRing.load(folder / "keys", "gateway")
        person = Identity(tenant_id, str(uuid4()), "user", frozenset({"viewer"}))
        with acting_as(gateway, person, 600):
            rows = [await measure(name, call, calls) for name, call in reads(analytics, agent_id)]
    finally:
        await services.stop_all()
        server.stop()
    print(table(["call", "p50 ms", "p95 ms"], rows))
    print(f"derived anew: {rate:,.0f} conversations/s")
    print(f"{conversations:,} conversations; {machine.describe()}")


async def fill(analytics: Running, tenant_id: UUID, agent_id: UUID, conversations: int) -> None:
    """Writes the facts of a month."""
    values = {
        "tenant": tenant_id,
        "agent": agent_id,
        "other": uuid4(),
        "end": END,
        "conversations": conversations,
    }
    async with await psycopg.AsyncConnection.connect(
        analytics.database.admin_url, options="-c search_path=analytics"
    ) as conn:
        await psycopg.AsyncClientCursor(conn).execute(_FILL, values)


def reads(analytics: Running, agent_id: UUID) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
    """What is measured, by name."""
    stub = analytics.stub(AnalyticsServiceStub, caller="gateway")

    def kpis(days: int, bucket: int, agent: str = "") -> Callable[[], Awaitable[Any]]:
        request = pb.GetKpisRequest(
            start_time=timestamp(END - timedelta(days=days)),
            end_time=timestamp(END),
            bucket=bucket,  # pyright: ignore[reportArgumentType]
            agent_id=agent,
        )
        return lambda: stub.GetKpis(request, timeout=60)

    def costs(days: int, key: str, split: str = "unspecified") -> Callable[[], Awaitable[Any]]:
        request = pb.SummarizeCostsRequest(
            group_by=cost_pb2.CostKey.Value(f"COST_KEY_{key.upper()}"),
            split_by=cost_pb2.CostKey.Value(f"COST_KEY_{split.upper()}"),
            start_time=timestamp(END - timedelta(days=days)),
            end_time=timestamp(END),
        )
        return lambda: stub.SummarizeCosts(request, timeout=60)

    day, hour = kpi_pb2.KPI_BUCKET_DAY, kpi_pb2.KPI_BUCKET_HOUR
    return [
        ("GetKpis, 7 days by day", kpis(7, day)),
        ("GetKpis, 7 days by hour, one agent", kpis(7, hour, str(agent_id))),
        ("GetKpis, 30 days by day", kpis(30, day)),
        ("SummarizeCosts, 1 day by service", costs(1, "service")),
        ("SummarizeCosts, 30 days by day and model", costs(30, "day", "model")),
        ("SummarizeCosts, 30 days by conversation", costs(30, "conversation")),
    ]


async def measure(name: str, call: Callable[[], Awaitable[Any]], calls: int) -> list[str]:
    await call()
    taken_ms: list[float] = []
    for _ in range(calls):
        started = time.perf_counter()
        await call()
        taken_ms.append((time.perf_counter() - started) * 1e3)
    return [name, f"{percentile(taken_ms, 50):.0f}", f"{percentile(taken_ms, 95):.0f}"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=20)
    arguments = parser.parse_args()
    shared = Run.begin()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            asyncio.run(main(arguments.conversations, arguments.calls, Path(scratch), shared))
    finally:
        shared.end()
