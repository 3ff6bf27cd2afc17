"""A tenant's own program on the bus: what it hears, and each way to more, shut."""

import asyncio
import base64
import json
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import nats
import nkeys
import pytest
from fleetdesk.gateway.v1.events_pb2 import TenantCreated
from fleetdesk_local import cli, integrators
from fleetdesk_local.errors import LocalError
from fleetdesk_local.nats_server import NatsServer
from fleetkit.events import streams
from harness.services import TestBus
from harness.waiting import eventually
from nats.errors import TimeoutError as NothingCame
from nats.js.errors import ServiceUnavailableError

ROOT = Path(__file__).parents[2]
SAMPLE = re.compile(r"^```python\n(import asyncio\n.*?)^```", re.MULTILINE | re.DOTALL)
BILLING, GATEWAY = "FLEETDESK_BILLING", "FLEETDESK_GATEWAY"


def subject(tenant_id, event="fleetdesk.gateway.v1.tenant_created"):
    return f"{event}.{tenant_id}"


class Listener:
    """An integrator's client; `refusals` is what the server refused it."""

    def __init__(self, tenant_id, client, refusals):
        self.tenant_id = tenant_id
        self.client = client
        self.refusals = refusals

    async def take(self, stream=GATEWAY, durable=None):
        """The next message of a durable, its own unless another is named."""
        durable = durable or f"t_{self.tenant_id}"
        reader = await self.client.jetstream().pull_subscribe_bind(durable, stream)
        [message] = await reader.fetch(1, timeout=1)
        return message

    async def refused(self):
        async def told():
            return bool(self.refusals)

        await eventually(told)
        return self.refusals.pop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = NatsServer(tmp_path_factory.mktemp("bus"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
async def connect(server):
    clients = []

    async def open_client(seed_file, inbox="_INBOX", url=None):
        refusals = []

        async def collect(error):
            refusals.append(str(error))

        client = await nats.connect(
            url or server.url, nkeys_seed=str(seed_file), inbox_prefix=inbox, error_cb=collect
        )
        clients.append(client)
        return client, refusals

    yield open_client
    for client in clients:
        await client.close()


@pytest.fixture
async def admin(server, connect):
    client, _ = await connect(server.seed_file("admin"))
    js = client.jetstream()
    await streams.declare_stream(js, "gateway")
    await streams.declare_stream(js, "billing")
    return client


@pytest.fixture
def listener(server, connect, admin):
    """`await listener(tenant_id)` lets a tenant's program in and connects it."""

    async def let_in(tenant_id):
        seed_file = await integrators.let_in(server, tenant_id)
        client, refusals = await connect(seed_file, f"_INBOX.t_{tenant_id}")
        return Listener(tenant_id, client, refusals)

    return let_in


@pytest.fixture
async def one(listener, tenant_id):
    return await listener(tenant_id)


@pytest.fixture
async def other(listener, admin, other_tenant_id):
    """Another tenant's, with an event that must stay its own."""
    made = await listener(other_tenant_id)
    await admin.jetstream().publish(subject(other_tenant_id), b'{"of": "the other"}')
    return made


async def greeting(port, seed):
    """What the server answers to a client with that key."""
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        nonce = json.loads((await reader.readline()).removeprefix(b"INFO "))["nonce"]
        keys = nkeys.from_seed(seed.strip().encode())
        signature = base64.urlsafe_b64encode(keys.sign(nonce.encode())).rstrip(b"=").decode()
        public: object = keys.public_key
        assert isinstance(public, bytes)
        login = {"nkey": public.decode(), "sig": signature, "verbose": False}
        writer.write(b"CONNECT " + json.dumps(login).encode() + b"\r\nPING\r\n")
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer.decode().strip()


async def last_sequences(admin):
    return {
        info.config.name: info.state.last_seq for info in await admin.jetstream().streams_info()
    }


class TestWhatItHears:
    async def test_its_tenant_s_events_of_every_stream_from_the_oldest(
        self, admin, listener, tenant_id
    ):
        await admin.jetstream().publish(subject(tenant_id), b"1")
        created = "fleetdesk.billing.v1.subscription_created"
        await admin.jetstream().publish(subject(tenant_id, created), b"2")
        mine = await listener(tenant_id)
        for stream, body in ((GATEWAY, b"1"), (BILLING, b"2")):
            message = await mine.take(stream)
            assert message.data == body
            await message.ack_sync(timeout=5)
        assert mine.refusals == []

    async def test_what_it_acknowledged_does_not_come_again(self, admin, one):
        await admin.jetstream().publish(subject(one.tenant_id), b"1")
        await (await one.take()).ack_sync(timeout=5)
        with pytest.raises(NothingCame):
            await one.take()

    async def test_nothing_of_another_tenant(self, one, other):
        with pytest.raises(NothingCame):
            await one.take()
        assert (await other.take()).data == b'{"of": "the other"}'


class TestLeaks:
    """Each was seen to leak, or would, with permissions a little wider."""

    @pytest.mark.parametrize(
        "heard",
        [">", "fleetdesk.>", "fleetdesk.*.v1.*.*", "fleetdesk.*.v1.*.{other}", "_INBOX.>",
         "_INBOX.*.>", "_INBOX.t_{other}.>", "$JS.>", "$JS.ACK.>", "clock.>", "_R_.>"],
    )  # fmt: skip
    async def test_it_can_not_listen_to_more_than_its_inboxes(self, one, other, heard):
        await one.client.subscribe(heard.format(other=other.tenant_id))
        await one.client.flush()
        assert "subscription" in await one.refused()

    @pytest.mark.parametrize(
        "request_subject",
        [
            "$JS.API.CONSUMER.MSG.NEXT.FLEETDESK_GATEWAY.t_{other}",
            "$JS.API.CONSUMER.MSG.NEXT.FLEETDESK_GATEWAY.billing",
            "$JS.API.CONSUMER.CREATE.FLEETDESK_GATEWAY",
            "$JS.API.CONSUMER.CREATE.FLEETDESK_GATEWAY.t_{me}",
            "$JS.API.CONSUMER.CREATE.FLEETDESK_GATEWAY.t_{me}.fleetdesk.*.v1.*.{me}",
            "$JS.API.CONSUMER.CREATE.FLEETDESK_GATEWAY.t_{me}.fleetdesk.*.v1.*.{other}",
            "$JS.API.CONSUMER.DURABLE.CREATE.FLEETDESK_GATEWAY.t_{me}",
            "$JS.API.CONSUMER.DELETE.FLEETDESK_GATEWAY.t_{other}",
            "$JS.API.CONSUMER.INFO.FLEETDESK_GATEWAY.t_{other}",
            "$JS.API.CONSUMER.NAMES.FLEETDESK_GATEWAY",
            "$JS.API.STREAM.MSG.GET.FLEETDESK_GATEWAY",
            "$JS.API.DIRECT.GET.FLEETDESK_GATEWAY",
            "$JS.API.DIRECT.GET.FLEETDESK_GATEWAY.fleetdesk.gateway.v1.tenant_created.{other}",
            "$JS.API.STREAM.INFO.FLEETDESK_GATEWAY",
            "$JS.API.STREAM.LIST",
            "$JS.API.STREAM.PURGE.FLEETDESK_GATEWAY",
            "$JS.API.INFO",
            "$JS.ACK.FLEETDESK_GATEWAY.t_{other}.1.1.1.1.0",
            "fleetdesk.gateway.v1.tenant_created.{me}",
            "clock.tick.gateway.tidy",
            "_INBOX.t_{other}.x",
        ],
    )
    async def test_it_can_not_ask_for_more_than_its_own_deliveries(
        self, one, other, request_subject
    ):
        asked = request_subject.format(me=one.tenant_id, other=other.tenant_id)
        await one.client.publish(asked, b"{}")
        await one.client.flush()
        assert "publish" in await one.refused()

    async def test_it_can_not_take_or_acknowledge_another_s_delivery(self, admin, one, other):
        message = await other.take()
        await one.client.publish(message.reply, b"+ACK")
        await one.client.flush()
        assert "publish" in await one.refused()
        info = await admin.jetstream().consumer_info(GATEWAY, f"t_{other.tenant_id}")
        assert info.num_ack_pending == 1
        with pytest.raises((NothingCame, ServiceUnavailableError)):
            await one.take(durable=f"t_{other.tenant_id}")

    @pytest.mark.parametrize(
        "reply",
        [
            "fleetdesk.billing.v1.invoice_finalized.{other}",
            "clock.tick.billing.anything",
            "$JS.API.STREAM.PURGE.FLEETDESK_GATEWAY",
            "$JS.API.CONSUMER.MSG.NEXT.FLEETDESK_GATEWAY.t_{other}",
            "_INBOX.t_{other}.x",
            "_INBOX.billing.x",
        ],
    )
    async def test_it_can_not_have_a_delivery_sent_elsewhere(
        self, admin, server, connect, one, other, reply
    ):
        """The server holds a reply subject to no permission: an account of its own does."""
        await streams.declare_clock(admin.jetstream())
        heard = []

        async def hear(message):
            heard.append(message)

        to = reply.format(other=other.tenant_id)
        if to.startswith("_INBOX"):
            await (other.client if "t_" in to else admin).subscribe(to, cb=hear)
        await admin.jetstream().publish(subject(one.tenant_id), b"{}")
        before = await last_sequences(admin)
        asked = f"$JS.API.CONSUMER.MSG.NEXT.{GATEWAY}.t_{one.tenant_id}"
        await one.client.publish(asked, b"1", reply=to)
        await one.client.flush()

        # The server takes requests in their order: it is through with the one above.
        with suppress(NothingCame):
            await one.take()
        await admin.flush()
        assert await last_sequences(admin) == before
        info = await admin.jetstream().consumer_info(GATEWAY, f"t_{other.tenant_id}")
        assert (info.num_pending, info.num_ack_pending) == (1, 0)
        if to.startswith("_INBOX.billing"):
            assert heard == []

    async def test_in_the_fleet_s_account_it_could(self, server, admin, connect, tenant_id):
        """The check of the check: a service's user can, and is trusted not to."""
        client, _ = await connect(server.seed_file("memory"), "_INBOX.memory")
        js = admin.jetstream()
        await js.add_consumer(GATEWAY, durable_name="memory", ack_policy="explicit")
        await js.publish(subject(tenant_id), b"{}")
        before = await last_sequences(admin)
        asked = f"$JS.API.CONSUMER.MSG.NEXT.{GATEWAY}.memory"
        await client.publish(asked, b"1", reply="fleetdesk.billing.v1.anything.t")

        async def arrived():
            return (await last_sequences(admin))[BILLING] == before[BILLING] + 1

        await eventually(arrived)
        await js.delete_consumer(GATEWAY, "memory")


class TestSample:
    async def test_the_subscriber_of_the_readme_prints_an_event(
        self, server, admin, tenant_id, tmp_path
    ):
        readme = (ROOT / "services" / "README.md").read_text()
        [sample] = SAMPLE.findall(readme)
        (tmp_path / "listen.py").write_text(sample)
        seed_file = await integrators.let_in(server, tenant_id)
        event_id = await TestBus(admin).emit(TenantCreated(plan_id="free"), tenant_id)
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            *(str(tmp_path / "listen.py"), server.url, str(seed_file), str(tenant_id)),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert program.stdout is not None
            async with asyncio.timeout(30):
                line = (await program.stdout.readline()).decode()

            async def acknowledged():
                info = await admin.jetstream().consumer_info(GATEWAY, f"t_{tenant_id}")
                return info.num_pending == info.num_ack_pending == 0

            await eventually(acknowledged)
        finally:
            program.terminate()
            await program.wait()
        assert line.split()[:2] == ["fleetdesk.gateway.v1.TenantCreated", str(event_id)]


class TestIssue:
    async def test_letting_one_in_drops_nobody(self, listener, one, admin):
        lost = []

        async def note():
            lost.append(True)

        one.client._disconnected_cb = note
        admin._disconnected_cb = note
        await listener(uuid4())
        await one.client.flush()
        await admin.flush()
        assert lost == []

    async def test_the_same_key_again(self, server, one):
        key = (server.integrators_folder / f"{one.tenant_id}.nk").read_text()
        again = await integrators.let_in(server, one.tenant_id)
        assert again.read_text() == key
        assert stat.S_IMODE(again.stat().st_mode) == 0o600
        assert stat.S_IMODE(again.parent.stat().st_mode) == 0o700

    async def test_who_is_shut_out_is_cut_off_and_can_t_come_back(self, server, admin, one, other):
        seed = (server.integrators_folder / f"{one.tenant_id}.nk").read_text()
        assert await greeting(server.port, seed) == "PONG"
        await integrators.shut_out(server, one.tenant_id)

        async def cut_off():
            return not one.client.is_connected

        await eventually(cut_off)
        await one.client.close()
        assert "Authorization Violation" in await greeting(server.port, seed)
        names = [info.name for info in await admin.jetstream().consumers_info(GATEWAY)]
        assert f"t_{one.tenant_id}" not in names
        assert (await other.take()).data == b'{"of": "the other"}'

    async def test_who_was_never_let_in_is_not_shut_out(self, server):
        with pytest.raises(LocalError, match="nothing to remove"):
            await integrators.shut_out(server, uuid4())

    async def test_durables_come_back_after_the_bus_lost_them(self, server, admin, one):
        await admin.jetstream().delete_consumer(GATEWAY, f"t_{one.tenant_id}")
        await integrators.declare_durables(server)
        await admin.jetstream().publish(subject(one.tenant_id), json.dumps({"n": 1}).encode())
        assert await one.take()

    def test_the_command_needs_a_fleet(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("FLEETDESK_DATA_DIR", str(tmp_path))
        assert cli.main(["integrator", "--tenant", str(uuid4())]) == 1
        assert "make up" in capsys.readouterr().err
