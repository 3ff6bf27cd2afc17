import asyncio
import stat

import nats
import pytest
from fleetdesk_local.errors import LocalError
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.roster import SERVICES, package_of
from harness.waiting import eventually
from nats.js.api import ConsumerConfig, StreamConfig


@pytest.fixture
def server(tmp_path):
    started = NatsServer(tmp_path)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def refused():
    return {}


@pytest.fixture
async def connect(server, refused):
    """Connects as a service, or `admin`; what is refused is collected in `refused[client]`."""
    clients = []

    async def as_user(user):
        refusals = []

        async def collect(error):
            refusals.append(str(error))

        client = await nats.connect(
            server.url,
            nkeys_seed_str=server.seed_file(user).read_text(),
            inbox_prefix=f"_INBOX.{user.replace('-', '_')}",
            error_cb=collect,
        )
        clients.append(client)
        refused[client] = refusals
        return client

    yield as_user
    for client in clients:
        await client.close()


async def first_refusal(refusals):
    """What the server refused first; it tells asynchronously."""

    async def is_told():
        return bool(refusals)

    await eventually(is_told)
    return refusals[0]


async def declare(client, stream, subject):
    await client.jetstream().add_stream(StreamConfig(name=stream, subjects=[subject]))


class TestPermissions:
    async def test_a_service_declares_its_stream_and_publishes_there(self, connect):
        client = await connect("llm-gateway")
        await declare(client, "FLEETDESK_LLM_GATEWAY", "fleetdesk.llm_gateway.v1.>")
        ack = await client.jetstream().publish("fleetdesk.llm_gateway.v1.usage_recorded.t", b"{}")
        assert ack.seq == 1

    async def test_a_service_reads_another_one_s_stream_through_its_own_durable(
        self, connect, refused
    ):
        billing, memory = await connect("billing"), await connect("memory")
        await declare(billing, "FLEETDESK_BILLING", "fleetdesk.billing.v1.>")
        await billing.jetstream().publish("fleetdesk.billing.v1.plan_changed.t", b"{}")
        await memory.jetstream().add_consumer(
            "FLEETDESK_BILLING",
            ConsumerConfig(durable_name="memory", filter_subject="fleetdesk.billing.v1.*.*"),
        )
        reader = await memory.jetstream().pull_subscribe_bind("memory", "FLEETDESK_BILLING")
        [message] = await reader.fetch(1, timeout=5)
        await message.ack_sync(timeout=5)
        assert refused[memory] == []

    async def test_no_service_publishes_under_another_one_s_package(self, connect, refused):
        billing, memory = await connect("billing"), await connect("memory")
        await declare(billing, "FLEETDESK_BILLING", "fleetdesk.billing.v1.>")
        await memory.publish("fleetdesk.billing.v1.plan_changed.t", b"{}")
        await memory.flush()
        assert "publish" in await first_refusal(refused[memory])
        info = await billing.jetstream().stream_info("FLEETDESK_BILLING")
        assert info.state.messages == 0

    @pytest.mark.parametrize("subject", ["_INBOX.>", "_INBOX.billing.>", "fleetdesk.>", "$JS.>"])
    async def test_no_service_listens_in(self, connect, refused, subject):
        memory = await connect("memory")
        await memory.subscribe(subject)
        await memory.flush()
        assert "subscription" in await first_refusal(refused[memory])

    @pytest.mark.parametrize(
        "request_subject",
        [
            "$JS.API.STREAM.PURGE.FLEETDESK_BILLING",
            "$JS.API.STREAM.DELETE.FLEETDESK_BILLING",
            "$JS.API.CONSUMER.LIST.FLEETDESK_BILLING",
            "$JS.API.STREAM.MSG.GET.FLEETDESK_BILLING",
            "$JS.API.CONSUMER.MSG.NEXT.FLEETDESK_BILLING.billing",
            "$JS.API.STREAM.CREATE.FLEETDESK_BILLING",
        ],
    )
    async def test_no_service_reaches_into_another_one_s_stream(
        self, connect, refused, request_subject
    ):
        memory = await connect("memory")
        await memory.publish(request_subject, b"{}")
        await memory.flush()
        assert "publish" in await first_refusal(refused[memory])

    @pytest.mark.parametrize("service", SERVICES)
    async def test_none_of_the_services_speaks_for_another_or_hears_it(
        self, connect, refused, service
    ):
        client = await connect(service)
        mine = package_of(service)
        forbidden = [
            subject
            for other in SERVICES
            if other != service
            for name in (package_of(other),)
            for subject in (
                f"fleetdesk.{name}.v1.anything.t",
                f"clock.schedule.{name}.anything",
                f"clock.tick.{name}.anything",
                f"$JS.API.STREAM.CREATE.FLEETDESK_{name.upper()}",
                f"$JS.API.STREAM.UPDATE.FLEETDESK_{name.upper()}",
                f"$JS.API.STREAM.DELETE.FLEETDESK_{name.upper()}",
                f"$JS.API.CONSUMER.CREATE.FLEETDESK_{mine.upper()}.{name}",
                f"$JS.API.CONSUMER.MSG.NEXT.FLEETDESK_{mine.upper()}.{name}",
                f"$JS.API.CONSUMER.DELETE.FLEETDESK_{mine.upper()}.{name}",
                f"$JS.API.CONSUMER.MSG.NEXT.CLOCK.{name}",
                f"$JS.ACK.CLOCK.{name}.1.1.1.1.0",
                f"$JS.ACK.FLEETDESK_{mine.upper()}.{name}.1.1.1.1.0",
                f"_INBOX.{name}.x",
            )
        ]
        for subject in forbidden:
            await client.publish(subject, b"{}")
        heard = [f"_INBOX.{package_of(other)}.>" for other in SERVICES if other != service]
        for subject in (*heard, "_INBOX.*", "_INBOX.>", ">", "clock.>", "$JS.API.>"):
            await client.subscribe(subject)
        await client.flush()

        async def all_are_told():
            return len(refused[client]) >= len(forbidden) + len(heard) + 5

        await eventually(all_are_told)
        assert len(refused[client]) == len(forbidden) + len(heard) + 5
        told = "\n".join(refused[client]).lower()
        assert all(f'"{subject.lower()}"' in told for subject in (*forbidden, *heard))

    async def test_the_admin_may_do_all(self, connect, refused):
        admin = await connect("admin")
        await declare(admin, "FLEETDESK_BILLING", "fleetdesk.billing.v1.>")
        await admin.jetstream().purge_stream("FLEETDESK_BILLING")
        assert refused[admin] == []


class TestNatsServer:
    async def test_refuses_who_has_no_key(self, server):
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await reader.readline()
            writer.write(b"CONNECT {}\r\nPING\r\n")
            assert b"Authorization Violation" in await reader.readline()
            writer.close()
            await writer.wait_closed()

    async def test_keeps_streams_keys_and_port(self, server, connect, tmp_path):
        billing = await connect("billing")
        await declare(billing, "FLEETDESK_BILLING", "fleetdesk.billing.v1.>")
        await billing.jetstream().publish("fleetdesk.billing.v1.plan_changed.t", b"{}")
        key = server.seed_file("billing").read_text()
        await billing.close()
        server.stop()
        again = NatsServer(tmp_path)
        again.start()
        try:
            assert again.port == server.port
            assert again.seed_file("billing").read_text() == key
            info = await (await connect("billing")).jetstream().stream_info("FLEETDESK_BILLING")
            assert info.state.messages == 1
        finally:
            again.stop()

    async def test_takes_over_the_streams_of_a_folder_without_accounts(
        self, server, connect, tmp_path
    ):
        billing = await connect("billing")
        await declare(billing, "FLEETDESK_BILLING", "fleetdesk.billing.v1.>")
        await billing.jetstream().publish("fleetdesk.billing.v1.plan_changed.t", b"{}")
        await billing.close()
        server.stop()
        accounts = tmp_path / "nats" / "store" / "jetstream"
        (accounts / "FLEET").rename(accounts / "$G")
        server.start()
        info = await (await connect("billing")).jetstream().stream_info("FLEETDESK_BILLING")
        assert info.state.messages == 1

    async def test_ends_the_server_of_a_killed_run(self, server, connect, tmp_path):
        again = NatsServer(tmp_path)
        again.start()
        try:
            assert not server.running
            await (await connect("admin")).flush()
        finally:
            again.stop()

    def test_keeps_its_keys_private(self, server):
        seed = server.seed_file("gateway")
        assert stat.S_IMODE(seed.stat().st_mode) == 0o600
        assert stat.S_IMODE(seed.parent.stat().st_mode) == 0o700

    def test_says_which_port_is_taken(self, server, tmp_path):
        second = NatsServer(tmp_path / "second", port=server.port)
        with pytest.raises(LocalError, match=f"Port {server.port} for NATS is taken"):
            second.start()
