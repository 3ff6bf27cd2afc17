"""`kill -9` of the local fleet's supervisor: what it left is ended, and nothing it held is lost."""

import asyncio
import tempfile
import time
from pathlib import Path

import httpx
import psycopg
from fleetdesk_local import children, ports
from fleetdesk_local.postgres import PostgresServer
from fleetdesk_local.roster import PACKAGES
from fleetkit.postgres.provision import DATABASE
from harness import talking
from harness.local_fleet import LocalFleet, local_fleet, make
from harness.waiting import eventually
from psycopg import sql

from chaos.scenarios import Row

_QUESTION = "How do I stop the fleet?"


async def killed() -> Row:
    """A question is being answered when `up`, and circus in it, is killed; `make up` again."""
    with tempfile.TemporaryDirectory(prefix="fleetdesk-chaos-") as folder:
        # PostgreSQL runs as another user when we are root.
        Path(folder).chmod(0o711)  # noqa: ASYNC240 - a moment
        with local_fleet(Path(folder) / "data") as fleet:
            async with fleet.client() as client:
                await _ask_and_kill(fleet, client)
                began = time.monotonic()
                port = httpx.URL(fleet.url).port or 0
                up = await asyncio.to_thread(make, "up DETACH=1", fleet.data.path, port)
                assert up.returncode == 0, up.stdout + up.stderr
                conversation_id = await talking.begin(client, fleet.demo.agent_id)
                await talking.answer(client, conversation_id, _QUESTION)
                seconds = time.monotonic() - began

                async def all_published() -> bool:
                    return await asyncio.to_thread(_unpublished, fleet) == 0

                await eventually(all_published, timeout_s=30)
            events = await asyncio.to_thread(_written, fleet)
    return Row("circus killed in a turn, then make up", events, seconds, "until the next answer")


async def _ask_and_kill(fleet: LocalFleet, client: httpx.AsyncClient) -> None:
    conversation_id = await talking.begin(client, fleet.demo.agent_id)
    async for _ in talking.ask(client, conversation_id, _QUESTION):
        break
    runner = children.read_pid_file(fleet.data.runner_file)
    assert runner is not None
    runner.kill()


def _unpublished(fleet: LocalFleet) -> int:
    return _count(fleet, "publish_time is null")


def _written(fleet: LocalFleet) -> int:
    return _count(fleet, "true")


def _count(fleet: LocalFleet, condition: str) -> int:
    """Rows of all outboxes, read as the administrator."""
    port = ports.stored(fleet.data.path / "postgres.port.json")["postgres"]
    admin = PostgresServer(fleet.data.path, port=port).admin_url
    counts = sql.SQL(" + ").join(
        sql.SQL("(select count(*) from {}.outbox where {})").format(
            sql.Identifier(package),
            sql.SQL(condition),  # pyright: ignore[reportArgumentType]
        )
        for package in PACKAGES
    )
    with psycopg.connect(admin, dbname=DATABASE) as conn:
        row = conn.execute(sql.SQL("select {}").format(counts)).fetchone()
        return row[0] if row else -1
