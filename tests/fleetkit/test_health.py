"""The internal HTTP port."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fleetkit.errors import Unavailable
from fleetkit.health import Health, HealthServer
from fleetkit.telemetry import counter


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def hangs() -> bool:
    await asyncio.Event().wait()
    return True


async def broken() -> bool:
    raise Unavailable("away")


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def http(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    server = HealthServer(health, "127.0.0.1:0", check_timeout_s=0.3)
    port = await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    await server.stop()


class TestReadyz:
    async def test_says_no_until_the_process_serves(
        self, health: Health, http: httpx.AsyncClient
    ) -> None:
        assert (await http.get("/readyz")).status_code == 503
        health.set_serving(True)
        assert (await http.get("/readyz")).status_code == 200
        health.set_serving(False)
        assert (await http.get("/readyz")).status_code == 503

    @pytest.mark.parametrize("check", [no, hangs, broken])
    async def test_says_no_while_something_needed_is_away(
        self, health: Health, http: httpx.AsyncClient, check
    ) -> None:
        health.set_serving(True)
        health.add_check("postgres", check)
        health.add_check("nats", yes, required=False)
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {
            "ok": False,
            "checks": {"ready": False, "postgres": False, "nats": True},
        }

    async def test_shows_what_is_away_but_not_needed(
        self, health: Health, http: httpx.AsyncClient
    ) -> None:
        health.set_serving(True)
        health.add_check("nats", no, required=False)
        answer = await http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {"ok": True, "checks": {"ready": True, "nats": False}}


class TestHealthz:
    async def test_is_well_while_the_loop_turns_whatever_the_checks_say(
        self, health: Health, http: httpx.AsyncClient
    ) -> None:
        health.add_check("postgres", hangs)
        assert (await http.get("/healthz")).status_code == 200

    async def test_sees_a_blocked_loop(self, health: Health) -> None:
        server = HealthServer(health, "127.0.0.1:0", check_timeout_s=0.1)
        port = await server.start()
        url = f"http://127.0.0.1:{port}/healthz"
        asked = asyncio.get_running_loop().run_in_executor(None, httpx.get, url)
        await asyncio.sleep(0)
        # The loop is blocked on purpose, for longer than the probe waits.
        time.sleep(1)  # noqa: ASYNC251
        assert (await asked).status_code == 503
        await server.stop()


class TestMetrics:
    async def test_are_in_prometheus_format(self, http: httpx.AsyncClient) -> None:
        counter("fleetdesk_test_health_total", "A test's.").inc()
        answer = await http.get("/metrics")
        assert answer.status_code == 200
        assert "fleetdesk_test_health_total 1.0" in answer.text


class TestOther:
    async def test_paths_are_not_found(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/")).status_code == 404

    async def test_a_taken_port_is_refused(self, health: Health, http: httpx.AsyncClient) -> None:
        with pytest.raises(OSError, match="in use"):
            await HealthServer(health, f"127.0.0.1:{http.base_url.port}").start()
