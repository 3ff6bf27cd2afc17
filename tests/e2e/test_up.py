"""What `make up` promises about its own life: data kept, orphans ended, two fleets beside."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from fleetdesk_local import children
from fleetdesk_local.roster import SERVICES
from harness.local_fleet import ROOT, LocalFleet, make

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]


def runner(fleet: LocalFleet) -> psutil.Process:
    """The process of `up`."""
    process = children.read_pid_file(fleet.data.runner_file)
    assert process is not None
    return process


def again(fleet: LocalFleet) -> subprocess.CompletedProcess[str]:
    """`make up DETACH=1` for the same data and port."""
    done = make("up DETACH=1", fleet.data.path, httpx.URL(fleet.url).port or 0)
    assert done.returncode == 0, done.stderr
    return done


class TestUp:
    def test_writes_the_demo_login_for_its_owner_alone(self, running_fleet: LocalFleet) -> None:
        demo = json.loads(running_fleet.data.demo_file.read_text())
        assert set(demo) == {"url", "email", "password", "api_key", "agent_id", "tenant_id"}
        assert stat.S_IMODE(running_fleet.data.demo_file.stat().st_mode) == 0o600

    def test_a_second_up_only_says_the_address(self, running_fleet: LocalFleet) -> None:
        before = runner(running_fleet)
        done = again(running_fleet)
        assert f"fleetdesk is up: {running_fleet.url}" in done.stdout
        assert runner(running_fleet) == before

    async def test_down_and_up_keep_the_data(self, running_fleet: LocalFleet) -> None:
        port = httpx.URL(running_fleet.url).port or 0
        assert make("down", running_fleet.data.path, port).returncode == 0
        with pytest.raises(AssertionError):
            running_fleet.process("gateway")
        again(running_fleet)
        async with running_fleet.client() as client:
            me = await client.get("/v1/me")
            sources = await client.get("/v1/knowledge/sources")
        assert me.status_code == 200
        names = {source["external_id"] for source in sources.json()["items"]}
        assert {"README.md", "services/README.md"} <= names
        assert not [name for name in names if name.startswith("tests/")]

    async def test_what_a_killed_up_left_is_ended_by_the_next(
        self, running_fleet: LocalFleet
    ) -> None:
        left = [running_fleet.process(name) for name in (*SERVICES, "nats", "postgres")]
        runner(running_fleet).kill()
        again(running_fleet)
        gone, alive = psutil.wait_procs(left, timeout=10)
        assert len(gone) == len(left)
        assert alive == []
        async with running_fleet.client() as client:
            assert (await client.get("/v1/me")).status_code == 200

    def test_a_port_that_is_taken_is_one_sentence(
        self, running_fleet: LocalFleet, tmp_path: Path
    ) -> None:
        port = httpx.URL(running_fleet.url).port or 0
        done = make("up DETACH=1", tmp_path / "other", port)
        assert done.returncode != 0
        sentence, _, _ = done.stderr.partition("\n")
        assert sentence == (
            f"Port {port} is taken: stop what listens there, or choose another with "
            "FLEETDESK_HTTP_PORT."
        )


class TestTools:
    def test_psql_opens_the_fleets_database(self, running_fleet: LocalFleet) -> None:
        asked = (
            "select string_agg(nspname, ',') from pg_namespace where nspname in ('billing', 'x')"
        )
        done = make("psql", running_fleet.data.path, 8080, given=f"{asked};")
        assert done.returncode == 0, done.stderr
        assert "billing" in done.stdout

    def test_migrate_brings_a_running_fleet_up_to_date(self, running_fleet: LocalFleet) -> None:
        done = make("migrate", running_fleet.data.path, 8080)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "the tables are up to date\n"

    @pytest.mark.parametrize("command", ["psql", "migrate"])
    def test_without_a_fleet_they_say_what_to_do(self, command: str, tmp_path: Path) -> None:
        done = make(command, tmp_path / "none", 8080)
        assert done.returncode != 0
        assert "`make up`" in done.stderr.splitlines()[0]


class TestCtrlC:
    def test_stops_everything_and_leaves_nobody(
        self, tmp_path: Path, little_knowledge: dict[str, str]
    ) -> None:
        data_dir = tmp_path / "data"
        environment = {
            **os.environ,
            "FLEETDESK_DATA_DIR": str(data_dir),
            "FLEETDESK_HTTP_PORT": "31999",
            **little_knowledge,
        }
        up = subprocess.Popen(
            [sys.executable, "-m", "fleetdesk_local", "up"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert up.stdout is not None
        try:
            said = [up.stdout.readline()]
            while said[-1] and "fleetdesk is up" not in said[-1]:
                said.append(up.stdout.readline())
            assert said[-1] == "fleetdesk is up: http://127.0.0.1:31999\n", said
            family = psutil.Process(up.pid).children(recursive=True)
            assert len(family) >= len(SERVICES) + 2
            # As a terminal does: to the whole foreground group.
            os.killpg(up.pid, signal.SIGINT)
            assert up.wait(60) == 0
            assert psutil.wait_procs(family, timeout=5)[1] == []
        finally:
            up.stdout.close()
            up.kill()
            up.wait()
            make("reset", data_dir, 31999)
