"""Erasures at the gateway: asked for, answered, shown. Who may not ask is in test_access.py."""

from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

import nats
import pytest
import pytest_asyncio
from fleetdesk_local.nats_server import NatsServer
from gateway.auth.principal import Role
from gateway.erasures import ANSWERING
from harness.desk import PASSWORD, Company, Desk
from harness.services import TestBus
from harness.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _no_limits(door: Desk) -> None:
    door.forget_limits()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services_bus(nats_server: NatsServer) -> AsyncIterator[TestBus]:
    """Speaks for the other services."""
    seed = nats_server.seed_file("admin").read_text().strip()
    client = await nats.connect(nats_server.url, nkeys_seed_str=seed)
    yield TestBus(client)
    await client.close()


async def answer(bus: TestBus, service: str, tenant_id: UUID, erasure_id: str) -> None:
    """A service says that it has erased three rows."""
    events: Any = import_module(f"fleetdesk.{service}.v1.events_pb2")
    event = events.ErasureCompleted(erasure_id=erasure_id, revision=1, counts={"turn": 3})
    await bus.emit(event, tenant_id)


async def erase_company(door: Desk, acme: Company, confirm: str = "Acme") -> Any:
    session = await door.sign_in(acme)
    return await door.client.delete("/v1/tenant", params={"confirm": confirm}, headers=session)


class TestTenant:
    async def test_only_its_owner_who_types_its_name_may_erase_it(self, door):
        acme = await door.sign_up()
        refused = await erase_company(door, acme, "Acne")
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["field"] == "confirm"
        admin = await door.sign_in_new(acme, Role.ADMIN)
        by_admin = await door.client.delete("/v1/tenant", params={"confirm": "Acme"}, headers=admin)
        assert by_admin.status_code == 403
        by_key = await door.client.delete(
            "/v1/tenant", params={"confirm": "Acme"}, headers=acme.bearer
        )
        assert by_key.status_code == 403
        assert (await door.client.get("/v1/erasures", headers=acme.bearer)).json()["items"] == []

    async def test_its_receipt_names_who_has_not_answered_until_all_have(self, door, services_bus):
        acme, other = await door.sign_up(), await door.sign_up()
        asked = await erase_company(door, acme)
        assert asked.status_code == 202, asked.text
        erasure, path = asked.json()["erasure"], asked.json()["receipt_url"]
        path = path.partition("/erasures/")[2]
        assert set(erasure["waiting_for"]) == set(ANSWERING)
        tenant_id = UUID(str(acme.tenant_id))
        for service in ANSWERING:
            if service not in ("gateway", "memory"):
                await answer(services_bus, service, tenant_id, erasure["erasure_id"])

        async def only_memory_is_missing() -> bool:
            page = (await door.client.get(f"/erasures/{path}")).text
            return page.count("has not answered yet") == 1 and f"{len(ANSWERING) - 1} of" in page

        await eventually(only_memory_is_missing)
        # Twice the same changes nothing, nor does another tenant's answer about it.
        await answer(services_bus, "billing", tenant_id, erasure["erasure_id"])
        await answer(services_bus, "memory", UUID(str(other.tenant_id)), erasure["erasure_id"])
        assert await only_memory_is_missing()
        await answer(services_bus, "memory", tenant_id, erasure["erasure_id"])

        async def all_have() -> bool:
            return f"All {len(ANSWERING)}" in (await door.client.get(f"/erasures/{path}")).text

        await eventually(all_have)

        async def is_shut_out() -> bool:
            return (await door.client.get("/v1/me", headers=acme.bearer)).status_code == 401

        await eventually(is_shut_out, timeout_s=10)
        login = {"email": acme.email, "password": PASSWORD}
        assert (await door.client.post("/v1/login", json=login)).status_code == 401
        assert (await door.client.get("/v1/me", headers=other.bearer)).status_code == 200

    async def test_a_receipt_opens_for_its_token_only(self, door):
        for token in ("x", "x" * 500, str(uuid4())):
            assert (await door.client.get(f"/erasures/{token}")).status_code == 404


class TestOthers:
    async def test_another_tenants_erasure_can_not_be_read(self, door):
        acme, other = await door.sign_up(), await door.sign_up()
        asked = await erase_company(door, acme)
        path = f"/v1/erasures/{asked.json()['erasure']['erasure_id']}"
        assert (await door.client.get(path, headers=other.bearer)).status_code == 404
