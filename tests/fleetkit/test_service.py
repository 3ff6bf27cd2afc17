"""The life of a service process: in this process, and as one of its own."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fleetkit import context
from fleetkit.config import FleetSettings
from fleetkit.context import background
from fleetkit.service import Runtime, serving
from harness.bad_link import bad_link
from harness.echo import Echo, EchoProtos
from harness.probe.main import build
from pydantic import SecretStr

TESTS = Path(__file__).parents[1]
WAIT_S = 30.0


def nothing(rt: Runtime) -> None:
    """Builds a service that does nothing of its own."""


async def until(condition: Callable[[], Any]) -> None:
    """Waits, within bounds, until `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.02)


async def checks(port: int) -> tuple[int, dict[str, bool]]:
    """Status and checks of /readyz."""
    async with httpx.AsyncClient(timeout=WAIT_S) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/readyz")
    return answer.status_code, answer.json()["checks"]


async def until_checks(port: int, status: int, **states: bool) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                got_status, got = await checks(port)
            except httpx.TransportError:
                got_status, got = 0, {}
            if got_status == status and states.items() <= got.items():
                return
            await asyncio.sleep(0.05)


def on_port(url: str, port: int) -> str:
    """The same URL with another port."""
    old = urlsplit(url)
    return old._replace(netloc=old.netloc.rpartition(":")[0] + f":{port}").geturl()


class TestServing:
    async def test_serves_rpcs_and_writes_its_ports_once_ready(
        self, settings: Any, echo_protos: EchoProtos, tmp_path: Path
    ) -> None:
        made = await settings(port_file=tmp_path / "run" / "probe.json")
        add = echo_protos.echo.add_EchoServiceServicer_to_server
        async with serving(made, lambda rt: rt.server.add(add, Echo(echo_protos))) as rt:
            ports = json.loads(made.port_file.read_text())
            assert ports == {"grpc": rt.ports["grpc"], "metrics": rt.ports["metrics"]}
            assert list(made.port_file.parent.iterdir()) == [made.port_file]
            await until_checks(rt.ports["metrics"], 200, ready=True, postgres=True, nats=True)
            with socket.create_connection(("127.0.0.1", ports["grpc"])):
                pass
        with (
            pytest.raises(ConnectionError),
            socket.create_connection(("127.0.0.1", rt.ports["grpc"])),
        ):
            pass

    async def test_a_process_without_servicers_has_no_rpc_port(self, settings: Any) -> None:
        async with serving(await settings(), build) as rt:
            assert set(rt.ports) == {"http", "metrics"}
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{rt.ports['http']}/")
            assert answer.text == "began ended"

    async def test_build_may_use_the_database_and_be_async(self, settings: Any) -> None:
        seen: list[str] = []

        async def build_async(rt: Runtime) -> None:
            await rt.db.ping()
            rt.on_close(lambda: note("closed"))
            rt.background(note("background"), "note")
            seen.append("built")

        async def note(what: str) -> None:
            seen.append(what)

        async with serving(await settings(), build_async) as rt:
            await until(lambda: "background" in seen)
            assert rt.blobs is rt.blobs
        assert seen == ["built", "background", "closed"]

    async def test_what_ends_long_work_is_called_first_and_its_failure_stops_nothing(
        self, settings: Any
    ) -> None:
        seen: list[str] = []
        told = asyncio.Event()

        async def work() -> None:
            await told.wait()
            seen.append("worked")

        async def tell() -> None:
            told.set()
            raise RuntimeError

        async def close() -> None:
            seen.append("closed")

        async with serving(await settings(shutdown_grace_s=WAIT_S), nothing) as rt:
            rt.spawn(work(), "work")
            rt.on_drain(tell)
            rt.on_close(close)
        assert seen == ["worked", "closed"]

    async def test_a_failed_build_closes_everything_and_starts_nothing(self, settings: Any) -> None:
        async def never() -> None:
            raise AssertionError

        def build_badly(rt: Runtime) -> None:
            rt.background(never(), "never")
            raise ValueError("no price book")

        with pytest.raises(ValueError, match="no price book"):
            async with serving(await settings(), build_badly):
                pass

    async def test_a_taken_port_is_said_and_everything_closed(
        self, settings: Any, echo_protos: EchoProtos
    ) -> None:
        add = echo_protos.echo.add_EchoServiceServicer_to_server
        with socket.create_server(("127.0.0.1", 0)) as taken:
            made = await settings(grpc_bind=f"127.0.0.1:{taken.getsockname()[1]}")
            with pytest.raises(OSError, match="is the port taken"):
                async with serving(made, lambda rt: rt.server.add(add, Echo(echo_protos))):
                    pass

    async def test_a_failed_background_task_is_reported(self, settings: Any) -> None:
        failed = asyncio.Event()

        async def fail() -> None:
            raise RuntimeError

        def build_failing(rt: Runtime) -> None:
            rt.background(fail(), "failing")

        async with serving(await settings(), build_failing, on_failure=failed.set) as rt:
            async with asyncio.timeout(WAIT_S):
                await failed.wait()
            assert rt.tasks.failed

    async def test_spawned_work_keeps_the_context_it_was_born_in(
        self, settings: Any, tenant_id: Any
    ) -> None:
        seen: list[Any] = []

        async def work() -> None:
            seen.append(context.tenant_id())

        async with serving(await settings(), nothing) as rt:
            with background(tenant_id):
                rt.spawn(work(), "work")
        assert seen == [tenant_id]


class TestAway:
    async def test_nats_may_come_later_and_go_and_come_again(
        self, settings: Any, unused_tcp_port: int
    ) -> None:
        reachable = await settings()
        url = on_port(reachable.nats_url, unused_tcp_port)
        made = reachable.model_copy(update={"nats_url": url})
        async with serving(made, nothing) as rt:
            port = rt.ports["metrics"]
            await until_checks(port, 200, ready=True, nats=False)
            for _ in range(2):
                async with bad_link(reachable.nats_url, unused_tcp_port):
                    await until_checks(port, 200, ready=True, nats=True)
                await until_checks(port, 200, ready=True, nats=False)

    async def test_postgres_is_waited_for(
        self, settings: Any, unused_tcp_port_factory: Callable[[], int]
    ) -> None:
        reachable = await settings()
        address = reachable.postgres_url.get_secret_value()
        postgres_port, metrics_port = unused_tcp_port_factory(), unused_tcp_port_factory()
        made = reachable.model_copy(
            update={
                "postgres_url": SecretStr(on_port(address, postgres_port)),
                "metrics_bind": f"127.0.0.1:{metrics_port}",
            },
        )
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(stack.enter_async_context(serving(made, nothing)))
            await until_checks(metrics_port, 503, ready=False)
            assert not starting.done()
            async with bad_link(address, postgres_port):
                async with asyncio.timeout(WAIT_S):
                    await starting
                await until_checks(metrics_port, 200, ready=True, postgres=True)
            await until_checks(metrics_port, 503, ready=False, postgres=False)

    async def test_told_to_stop_while_it_waits_it_stops(
        self, settings: Any, unused_tcp_port_factory: Callable[[], int]
    ) -> None:
        reachable = await settings()
        address = reachable.postgres_url.get_secret_value()
        made = reachable.model_copy(
            update={
                "postgres_url": SecretStr(on_port(address, unused_tcp_port_factory())),
                "metrics_bind": f"127.0.0.1:{(metrics_port := unused_tcp_port_factory())}",
            }
        )
        process = await Process.start(made)
        await until_checks(metrics_port, 503, ready=False)
        assert await process.stop() == 0


def _environment(settings: FleetSettings) -> Iterator[tuple[str, str]]:
    for name, value in settings:
        if value is not None:
            given = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            yield f"FLEETDESK_{name.upper()}", given


class Process:
    """The probe as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port_file: Path | None) -> None:
        self._process = process
        self._port_file = port_file

    @classmethod
    async def start(cls, settings: FleetSettings, *arguments: str) -> "Process":
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(TESTS),
            "PYTHONWARNINGS": "error::ResourceWarning",
            **dict(_environment(settings)),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "harness.probe",
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process, settings.port_file)

    async def ports(self) -> dict[str, int]:
        assert self._port_file is not None
        path = self._port_file
        await until(lambda: path.exists() or self._process.returncode is not None)
        return json.loads(path.read_text())

    async def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        code, _, _ = await self.ended()
        return code

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self) -> tuple[int, str, list[dict[str, Any]]]:
        """Exit code, stdout, and the log."""
        async with asyncio.timeout(WAIT_S):
            out, err = await self._process.communicate()
        code = self._process.returncode
        assert code is not None
        return code, out.decode(), [json.loads(line) for line in err.splitlines()]


class TestProcess:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_drains_what_is_in_flight_and_refuses_what_is_new(
        self, settings: Any, tmp_path: Path, number: int
    ) -> None:
        made = await settings(port_file=tmp_path / "ports.json", shutdown_grace_s=WAIT_S)
        process = await Process.start(made)
        base = f"http://127.0.0.1:{(await process.ports())['http']}"
        slow_file, spawn_file = tmp_path / "slow", tmp_path / "spawn"
        async with httpx.AsyncClient(timeout=WAIT_S) as client:
            assert (await client.get(f"{base}/spawn?{spawn_file}")).text == "began ended"
            async with client.stream("GET", f"{base}/slow?{slow_file}") as answer:
                parts = answer.aiter_text()
                assert await anext(parts) == "began "
                process.signal(number)
                await until(lambda: not listens(base))
                slow_file.touch()
                assert await anext(parts) == "ended"
        spawn_file.touch()
        code, _, log = await process.ended()
        assert code == 0
        assert not spawn_file.exists()
        assert [line["event"] for line in log if line["level"] == "critical"] == []
        assert [line["event"] for line in log if line["event"] in ("serving", "stopping")] == [
            "serving",
            "stopping",
        ]

    async def test_a_failed_background_task_ends_it_with_1_and_without_its_message(
        self, settings: Any, tmp_path: Path
    ) -> None:
        process = await Process.start(await settings(port_file=tmp_path / "ports.json"))
        base = f"http://127.0.0.1:{(await process.ports())['http']}"
        async with httpx.AsyncClient(timeout=WAIT_S) as client:
            await client.get(f"{base}/fail")
        code, _, log = await process.ended()
        assert code == 1
        (line,) = [line for line in log if line["event"] == "background_task_ended"]
        assert line["task"] == "failing"
        assert line["exception"][0] == "builtins.RuntimeError"
        assert "visitor" not in json.dumps(log)


def listens(base: str) -> bool:
    address = urlsplit(base)
    try:
        with socket.create_connection((address.hostname, address.port)):
            return True
    except ConnectionError:
        return False


class TestCli:
    async def run(self, settings: FleetSettings, *arguments: str) -> tuple[int, str, Any]:
        return await (await Process.start(settings, *arguments)).ended()

    async def test_check_config_reads_the_settings(self, settings: Any) -> None:
        code, out, _ = await self.run(await settings(), "check-config")
        assert (code, out) == (0, "the settings are well-formed\n")

    async def test_wrong_settings_are_named_one_a_line_without_their_values(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "harness.probe",
            "check-config",
            env={"PYTHONPATH": str(TESTS), "FLEETDESK_LOG_LEVEL": "l0ud"},
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
        lines = err.decode().splitlines()
        assert process.returncode == 2
        assert [line.partition(":")[0] for line in lines] == [
            "FLEETDESK_POSTGRES_URL",
            "FLEETDESK_KEYS_DIR",
            "FLEETDESK_LOG_LEVEL",
        ]
        assert "l0ud" not in err.decode()

    async def test_migrate_says_what_it_applied(self, settings: Any, databases: Any) -> None:
        empty = await databases.empty("probe")
        made = (await settings()).model_copy(
            update={"postgres_owner_url": SecretStr(empty.owner_url)}
        )
        code, out, _ = await self.run(made, "migrate")
        assert code == 0
        assert "applied 0001_note" in out
        code, out, _ = await self.run(made, "migrate")
        assert (code, out) == (0, "nothing to apply\n")

    async def test_migrate_without_the_owners_url_is_refused(self, settings: Any) -> None:
        made = (await settings()).model_copy(update={"postgres_owner_url": None})
        code, _, log = await self.run(made, "migrate")
        assert code == 1
        assert "FLEETDESK_POSTGRES_OWNER_URL" in log[-1]["problem"]

    async def test_replay_counts(self, settings: Any) -> None:
        code, out, _ = await self.run(await settings(), "replay", "--since", "2020-01-01")
        assert (code, out) == (0, "0 events will be published again\n")

    async def test_run_runs_a_job_by_name(self, settings: Any) -> None:
        assert (await self.run(await settings(), "run", "hello"))[:2] == (0, "hello\n")

    async def test_run_of_an_unknown_job_lists_the_known(self, settings: Any) -> None:
        code, _, log = await self.run(await settings(), "run", "nothing")
        assert code == 1
        assert log[-1]["problem"] == "there is no job 'nothing'; known: hello"

    async def test_missing_keys_are_one_clear_line(self, settings: Any, tmp_path: Path) -> None:
        made = (await settings()).model_copy(update={"keys_dir": tmp_path})
        code, _, log = await self.run(made)
        assert code == 1
        assert log[-1]["problem"].endswith("probe.key is missing: generate the fleet's keys first")
