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
