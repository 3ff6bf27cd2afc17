"""API keys: what they may do, and when they end."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from harness.desk import Company, Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _no_limits(door: Desk) -> None:
    door.forget_limits()


async def make(desk: Desk, headers: dict[str, str], **body: Any) -> Any:
    return await desk.client.post("/v1/api-keys", json={"name": "CI", **body}, headers=headers)


async def listed(desk: Desk, company: Company) -> list[dict[str, Any]]:
    answer = await desk.client.get("/v1/api-keys", headers=company.bearer)
    return answer.json()["items"]


class TestOthers:
    async def test_another_tenants_key_can_not_be_seen_or_revoked(self, door):
        acme, other = await door.sign_up(), await door.sign_up()
        (theirs,) = await listed(door, other)
        (ours,) = await listed(door, acme)
        assert theirs["key_id"] != ours["key_id"]
        path = f"/v1/api-keys/{theirs['key_id']}"
        answer = await door.client.delete(path, headers=acme.bearer)
        assert answer.status_code == 404
        assert (await door.client.get("/v1/me", headers=other.bearer)).status_code == 200

    async def test_a_key_can_not_make_one_that_may_do_more(self, door):
        acme = await door.sign_up()
        weak = await door.key(acme, "admin", "keys:write")
        assert (await make(door, weak)).json()["reason"] == "SCOPE_MISSING"
        assert (await make(door, weak, scopes=["audit:read"])).json()["reason"] == "SCOPE_MISSING"
        assert (await make(door, weak, scopes=["keys:write"], role="admin")).status_code == 201


class TestMaking:
    async def test_it_is_shown_once_and_works(self, door):
        acme = await door.sign_up()
        made = (await make(door, acme.bearer, role="viewer", scopes=["agents:read"])).json()
        me = await door.client.get("/v1/me", headers={"Authorization": f"Bearer {made['api_key']}"})
        assert (me.json()["role"], me.json()["scopes"]) == ("viewer", ["agents:read"])
        shown = await listed(door, acme)
        assert made["api_key"] not in str(shown)
        assert shown[-1]["prefix"] == made["api_key"][:11]
        assert shown[-1]["last_used_time"] is not None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"scopes": ["fly"]}, "scopes"),
            ({"scopes": []}, "scopes"),
            ({"role": "owner"}, "role"),
            ({"name": " "}, "name"),
            ({"expire_time": "2020-01-01T00:00:00Z"}, "expire_time"),
            ({"expire_time": "soon"}, "expire_time"),
        ],
        ids=str,
    )
    async def test_what_is_wrong_is_named(self, door, body, field):
        acme = await door.sign_up()
        answer = await make(door, acme.bearer, **body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field

    async def test_there_is_a_limit(self, door, monkeypatch):
        monkeypatch.setattr("gateway.auth.keys.MAX_KEYS", 2)
        acme = await door.sign_up()
        assert (await make(door, acme.bearer)).status_code == 201
        assert (await make(door, acme.bearer)).json()["reason"] == "TOO_MANY_KEYS"

    async def test_they_are_listed_page_by_page(self, door):
        acme = await door.sign_up()
        for _ in range(4):
            await make(door, acme.bearer)
        seen, token = [], ""
        while True:
            path = f"/v1/api-keys?page_size=2&page_token={token}"
            page = (await door.client.get(path, headers=acme.bearer)).json()
            seen += [key["key_id"] for key in page["items"]]
            token = page["next_page_token"]
            if not token:
                break
        assert len(seen) == len(set(seen)) == 5


class TestEnding:
    async def test_a_revoked_key_ends_at_once(self, door):
        acme = await door.sign_up()
        made = (await make(door, acme.bearer)).json()
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        assert (await door.client.get("/v1/me", headers=headers)).status_code == 200
        path = f"/v1/api-keys/{made['key']['key_id']}"
        assert (await door.client.delete(path, headers=acme.bearer)).status_code == 204
        assert (await door.client.get("/v1/me", headers=headers)).status_code == 401
        assert (await door.client.delete(path, headers=acme.bearer)).status_code == 404
        assert len(await listed(door, acme)) == 1

    async def test_an_unknown_one_can_not_be_revoked(self, door):
        acme = await door.sign_up()
        answer = await door.client.delete(f"/v1/api-keys/{uuid4()}", headers=acme.bearer)
        assert answer.status_code == 404

    async def test_it_expires_by_the_fleet_clock(self, door):
        acme = await door.sign_up()
        soon = door.gateway.rt.clock.now() + timedelta(hours=1)
        made = (await make(door, acme.bearer, expire_time=soon.isoformat())).json()
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        assert (await door.client.get("/v1/me", headers=headers)).status_code == 200
        door.gateway.advance(3700)
        door.parts.authenticator._known.clear()  # five seconds later
        answer = await door.client.get("/v1/me", headers=headers)
        assert answer.json()["reason"] == "API_KEY_EXPIRED"

    async def test_making_and_revoking_stand_in_the_audit_log(self, door):
        acme = await door.sign_up()
        made = (await make(door, acme.bearer, scopes=["agents:read"])).json()["key"]
        await door.client.delete(f"/v1/api-keys/{made['key_id']}", headers=acme.bearer)
        log = (await door.client.get("/v1/audit-log", headers=acme.bearer)).json()["items"]
        assert [(line["action"], line["target"]) for line in log[:2]] == [
            ("api_key.revoked", made["key_id"]),
            ("api_key.created", made["key_id"]),
        ]
        assert log[1]["details"] == {"role": "agent", "scopes": "agents:read"}
        assert log[1]["actor_kind"] == "api_key"
