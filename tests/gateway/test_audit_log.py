"""The audit log is read by its tenant only, newest first, in pages."""

import pytest
from harness.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_another_tenants_lines_are_not_there(door: Desk):
    acme, other = await door.sign_up(), await door.sign_up()
    log = (await door.client.get("/v1/audit-log", headers=acme.bearer)).json()["items"]
    assert {line["target"] for line in log} == {str(acme.tenant_id)}
    assert str(other.tenant_id) not in str(log)


async def test_pages_go_back_in_time_without_gaps(door: Desk):
    acme = await door.sign_up()
    for _ in range(4):
        await door.sign_in(acme)
    seen: list[str] = []
    token = ""
    while True:
        path = f"/v1/audit-log?page_size=2&page_token={token}"
        page = (await door.client.get(path, headers=acme.bearer)).json()
        seen += [line["audit_id"] for line in page["items"]]
        token = page["next_page_token"]
        if not token:
            break
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)


async def test_it_is_filtered_by_actor_action_and_time(door: Desk):
    acme = await door.sign_up()
    await door.sign_in(acme)
    await door.key(acme, "viewer")
    keys = (await door.client.get("/v1/api-keys", headers=acme.bearer)).json()["items"]

    async def actions(**asked: str) -> list[str]:
        answer = await door.client.get("/v1/audit-log", params=asked, headers=acme.bearer)
        assert answer.status_code == 200, answer.text
        return [line["action"] for line in answer.json()["items"]]

    assert await actions() == ["api_key.created", "user.signed_in", "tenant.signed_up"]
    assert await actions(actor=keys[0]["key_id"]) == ["api_key.created"]
    assert await actions(action="user.signed_in", actor=str(acme.user_id)) == ["user.signed_in"]
    log = (await door.client.get("/v1/audit-log", headers=acme.bearer)).json()["items"]
    middle = log[1]["occur_time"]
    assert await actions(to=middle) == ["tenant.signed_up"]
    assert await actions(**{"from": middle}) == ["api_key.created", "user.signed_in"]
    answer = await door.client.get("/v1/audit-log?to=0.5", headers=acme.bearer)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "to")
    assert await actions(**{"from": "0001-01-01T00:00:00", "to": "0001-01-02T00:00:00"}) == []
