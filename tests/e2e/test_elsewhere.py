"""A fleet on a PostgreSQL and a NATS that run elsewhere: only the services are its own."""

import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleetdesk_local import ports
from fleetdesk_local.postgres import PostgresServer
from fleetdesk_local.postgres_cluster import remove_cluster
from harness import talking
from harness.local_fleet import local_fleet, make

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL that somebody else runs; yields its administrator's URL."""
    server = PostgresServer(folder)
    server.start()
    try:
        yield server.admin_url
    finally:
        server.stop()
        remove_cluster(folder)


@contextmanager
def nats(folder: Path) -> Iterator[str]:
    """A NATS with JetStream and no users; yields its URL."""
    [port] = ports.free_ports(1)
    executable = Path(sysconfig.get_path("scripts")) / "nats-server"
    listening = ["--addr", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        [executable, *listening, "--jetstream", "--store_dir", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


class TestElsewhere:
    async def test_questions_are_answered_and_down_leaves_those_servers_alone(
        self, tmp_path: Path, little_knowledge: dict[str, str]
    ) -> None:
        with postgres(tmp_path / "pg") as postgres_url, nats(tmp_path / "nats") as nats_url:
            servers = {"FLEETDESK_POSTGRES_URL": postgres_url, "FLEETDESK_NATS_URL": nats_url}
            data_dir = tmp_path / "data"
            with local_fleet(data_dir, keep=True, **servers, **little_knowledge) as fleet:
                for name in ("postgres", "nats"):
                    with pytest.raises(AssertionError):
                        fleet.process(name)
                async with fleet.client() as client:
                    conversation_id = await talking.begin(client, fleet.demo.agent_id)
                    answer = await talking.answer(
                        client, conversation_id, "How do I stop the fleet?"
                    )
                assert "make down" in answer["text"]
            asked = make("psql", data_dir, 8080, given="select 1 + 41;", **servers)
            assert "42" in asked.stdout, asked.stderr
