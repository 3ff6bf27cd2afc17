"""NATS takes the rendered configuration, and holds services to their permissions."""

import asyncio
import subprocess
import sysconfig
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import nats
import pytest
import yaml
from fleetdesk_local import nats_auth, ports
from fleetdesk_local.cluster import secrets
from fleetdesk_local.cluster.listeners import admit
from fleetdesk_local.errors import LocalError
from fleetdesk_local.roster import SERVICES
from fleetkit.events import streams
from harness.manifests import name_of, of_kind
from harness.waiting import eventually
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig

SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"
TENANT = "0198c5a2-1111-7000-8000-000000000001"
KEY = "FLEETDESK_NATS_REPLICAS"
FOLDERS = ["overlays/local", "overlays/production"]


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """The folder of a cluster's secrets."""
    folder = tmp_path_factory.mktemp("cluster")
    nats_auth.ensure_seed(secrets.integrators_folder(folder), TENANT)
    secrets.write(folder, secrets.POSTGRES)
    return folder


@pytest.fixture(scope="module")
def keys(private):
    """The environment of the servers."""
    return config_map(private, "fleetdesk-nats-public-keys")


def config_map(private: Path, name: str) -> dict[str, str]:
    made = yaml.safe_load_all((private / "secrets.yaml").read_text())
    return next(each["data"] for each in made if each["metadata"]["name"] == name)


def configure(folder: str, home: Path, count: int, private: Path) -> list[int]:
    """Writes the rendered files for `count` servers with this machine's addresses.

    Returns the ports for clients.
    """
    files = next(
        each["data"] for each in of_kind(folder, "ConfigMap") if "nats.conf" in each["data"]
    )
    files = files | config_map(private, "fleetdesk-nats-integrators")
    clients, monitors, routes = (ports.free_ports(count * 3)[i::3] for i in range(3))
    for number in range(count):
        own = home / f"nats-{number}"
        own.mkdir()
        moves = {
            "0.0.0.0:4222": f"127.0.0.1:{clients[number]}",
            "0.0.0.0:8222": f"127.0.0.1:{monitors[number]}",
            "0.0.0.0:6222": f"127.0.0.1:{routes[number]}",
            "store_dir: /data": f"store_dir: {own}/data",
            "/tmp/nats.pid": f"{own}/nats.pid",
        }
        moves |= {f"nats-{i}.nats:6222": f"127.0.0.1:{route}" for i, route in enumerate(routes)}
        for name, text in files.items():
            moved = text
            for old, new in moves.items():
                moved = moved.replace(old, new)
            (own / name).write_text(moved)
    return clients


@asynccontextmanager
async def running(home: Path, number: int, keys: dict[str, str]):
    server = await asyncio.create_subprocess_exec(
        SERVER,
        "--config",
        home / f"nats-{number}/nats.conf",
        env={**keys, "POD_NAME": f"nats-{number}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield server
    finally:
        if server.returncode is None:
            server.terminate()
        await asyncio.wait_for(server.wait(), 20)


async def connected(
    port: int,
    private: Path,
    user: str,
    refused: list[str] | None = None,
    seed: Path | None = None,
):
    async def note(error: Exception) -> None:
        if refused is not None:
            refused.append(str(error))

    async def attempt():
        try:
            return await nats.connect(
                f"nats://127.0.0.1:{port}",
                nkeys_seed_str=(seed or private / "nats" / f"{user}.nk").read_text().strip(),
                inbox_prefix=f"_INBOX.{user}",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                error_cb=note,
            )
        except (OSError, NatsError):
            return None

    client = await eventually(attempt)
    assert client is not None
    return client


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_configuration_is_taken_with_all_keys_only(folder, tmp_path, keys, private):
    configure(folder, tmp_path, 1 if folder.endswith("local") else 3, private)
    command = [str(SERVER), "-t", "--config", str(tmp_path / "nats-0/nats.conf")]
    variables = {**keys, "POD_NAME": "nats-0"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    del variables["NKEY_BILLING"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "NKEY_BILLING" in done.stderr


async def test_a_service_publishes_under_its_own_name_only(tmp_path, private, keys):
    (port,) = configure("overlays/local", tmp_path, 1, private)
    async with running(tmp_path, 0, keys):
        refused: list[str] = []
        client = await connected(port, private, "billing", refused)
        refused.clear()  # attempts before the server listened
        await client.publish("fleetdesk.billing.v1.x.y", b"{}")
        await client.flush()
        assert refused == []
        await client.publish("fleetdesk.gateway.v1.x.y", b"{}")
        await client.flush()
        assert await eventually(lambda: violations(refused))
        await client.close()


async def test_three_servers_hold_a_stream_that_outlives_one(tmp_path, private, keys):
    clients = configure("overlays/production", tmp_path, 3, private)
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(running(tmp_path, number, keys)) for number in range(3)
        ]
        client = await connected(clients[0], private, "admin")
        js = client.jetstream(timeout=2)
        config = StreamConfig(name="PROBE", subjects=["probe.>"], num_replicas=3)

        async def made():
            try:
                return await js.add_stream(config)
            except (NatsError, TimeoutError):
                return None

        await eventually(made, timeout_s=30)

        async def published(subject):
            # The server that is asked hears of the stream a moment after it was made.
            try:
                return await js.publish(subject, b"kept", headers={"Nats-Msg-Id": subject})
            except (NatsError, TimeoutError):
                return None

        first = await eventually(lambda: published("probe.1"), timeout_s=30)
        assert first is not None
        assert first.seq == 1
        servers[2].kill()
        second = await eventually(lambda: published("probe.2"), timeout_s=30)
        assert second is not None
        assert second.seq == 2
        await client.close()


def test_streams_are_on_as_many_servers_as_there_are():
    for folder in ("base", *FOLDERS):
        servers = next(each for each in of_kind(folder, "StatefulSet") if name_of(each) == "nats")
        settings = next(
            each["data"] for each in of_kind(folder, "ConfigMap") if KEY in each["data"]
        )
        assert settings[KEY] == str(servers["spec"]["replicas"])


class TestATenantsProgram:
    async def test_takes_its_own_deliveries_and_hears_nothing_else(self, tmp_path, private, keys):
        (port,) = configure("overlays/local", tmp_path, 1, private)
        async with running(tmp_path, 0, keys):
            admin = await connected(port, private, "admin")
            for service in SERVICES:
                await streams.declare_stream(admin.jetstream(), service)
            seed = await admit(private, UUID(TENANT), f"nats://127.0.0.1:{port}")
            subject = f"fleetdesk.billing.v1.subscription_created.{TENANT}"
            await admin.jetstream().publish(subject, b"{}")
            refused: list[str] = []
            client = await connected(port, private, f"t_{TENANT}", refused, seed)
            refused.clear()
            pulled = await client.jetstream().pull_subscribe_bind(
                stream="FLEETDESK_BILLING", durable=f"t_{TENANT}"
            )
            (message,) = await pulled.fetch(1, timeout=5)
            assert message.subject == subject
            assert refused == []
            await client.subscribe("fleetdesk.>")
            await client.flush()
            assert await eventually(lambda: violations(refused))
            await client.close()
            await admin.close()

    async def test_needs_a_bus_that_answers(self, private):
        (port,) = ports.free_ports(1)
        with pytest.raises(LocalError, match="does not answer"):
            await admit(private, UUID(TENANT), f"nats://127.0.0.1:{port}")


async def violations(refused: list[str]) -> list[str]:
    return [line for line in refused if "permissions violation" in line.lower()]
