"""Erasure through a whole fleet: afterwards no row of any service tells of the erased."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fleetdesk_local import ports
from fleetdesk_local.postgres import PostgresServer
from fleetkit.postgres.provision import DATABASE
from harness import talking
from harness.local_fleet import LocalFleet, make
from harness.waiting import eventually
from playwright.async_api import Page
from psycopg import sql

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]

SECRET = "My badge is ZX-4711-QQ: how do I stop the fleet?"
# Ids that age out: what was published and handled, and jobs that run once more.
AGEING = {"outbox", "inbox", "job", "known_tenants"}
# What is kept on purpose, see each service's erasure.py: money, receipts, tombstones.
KEPT_OF_TENANT = {
    "billing.subscription",
    "billing.usage_ledger",
    "billing.counted_conversation",
    "llm_gateway.usage_call",
    "llm_gateway.usage_entry",
    "gateway.erasure",
    "gateway.erasure_answer",
    "gateway.credential_index",
}


@pytest.fixture
async def rows(running_fleet: LocalFleet) -> AsyncIterator[psycopg.AsyncConnection]:
    """The fleet's database, above all policies."""
    path = running_fleet.data.path
    server = PostgresServer(path, port=ports.stored(path / "postgres.port.json")["postgres"])
    url = server.admin_url.rpartition("/")[0] + f"/{DATABASE}"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        yield conn


async def tables_with(conn: psycopg.AsyncConnection, words: str) -> set[str]:
    """Tables of any service in which some row has `words`, but those that age out."""
    listed = await conn.execute(
        "select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace"
        " where relkind = 'r' and not relispartition and nspname not like 'pg\\_%'"
        " and nspname <> 'information_schema'"
    )
    found: set[str] = set()
    for schema, table in await listed.fetchall():
        if table in AGEING:
            continue
        asked = sql.SQL("select exists (select from {} t where position(%s in t::text) > 0)")
        hit = await conn.execute(asked.format(sql.Identifier(schema, table)), [words])
        row = await hit.fetchone()
        if row and row[0]:
            found.add(f"{schema}.{table}")
    return found


async def talk(client: httpx.AsyncClient, agent_id: str) -> tuple[str, str]:
    """A conversation with one answer; its id and its visitor's."""
    conversation_id = await talking.begin(client, agent_id)
    await talking.answer(client, conversation_id, SECRET)
    found = await client.get(f"/v1/conversations/{conversation_id}")
    return conversation_id, found.json()["conversation"]["visitor_id"]


async def finished(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """The erasure once all services have answered."""
    latest: dict[str, Any] = {}

    async def all_answered() -> bool:
        latest.update((await client.get(path)).json())
        return latest["finish_time"] is not None

    await eventually(all_answered, timeout_s=60)
    return latest


class TestVisitor:
    async def test_goes_from_every_service_and_the_rest_stays(
        self, running_fleet: LocalFleet, rows: psycopg.AsyncConnection
    ) -> None:
        async with running_fleet.client() as client:
            conversation_id, visitor_id = await talk(client, running_fleet.demo.agent_id)
            other_id, other_visitor = await talk(client, running_fleet.demo.agent_id)

            async def is_known_everywhere() -> bool:
                known = await tables_with(rows, visitor_id)
                return {"memory.turn", "analytics.turn", "analytics.cost_entry"} <= known

            await eventually(is_known_everywhere, timeout_s=30)
            spent = await talking.cost_of(client, conversation_id)
            asked = await client.delete(f"/v1/visitors/{visitor_id}")
            assert asked.status_code == 202, asked.text
            path = f"/v1/erasures/{asked.json()['erasure']['erasure_id']}"
            erasure = await finished(client, path)
            counts = {one["service"]: one["counts"] for one in erasure["completed"]}
            assert counts["conversation"]["message"] == 2
            assert counts["memory"]["turn"] == 2
            assert await tables_with(rows, visitor_id) == set()
            # The other visitor said the same words.
            held = {"conversation.message", "memory.turn", "conversation.conversation"}
            gone = await client.get(f"/v1/conversations/{conversation_id}")
            assert gone.status_code == 404
            assert held <= await tables_with(rows, other_id) | await tables_with(rows, "ZX-4711")
            assert "conversation.visitor" in await tables_with(rows, other_visitor)
            assert await talking.cost_of(client, conversation_id) == spent > 0
            again = await client.delete(f"/v1/visitors/{visitor_id}")
            assert again.status_code == 404
            receipt = await client.get(httpx.URL(asked.json()["receipt_url"]).path)
            assert receipt.status_code == 200
            assert "All" in receipt.text
            assert visitor_id not in receipt.text


class TestTenant:
    async def test_is_gone_and_its_receipt_opens_without_signing_in(
        self, running_fleet: LocalFleet, rows: psycopg.AsyncConnection, page: Page
    ) -> None:
        company, password = f"Gone {uuid4().hex[:6]}", "correct horse battery staple"
        person = {"email": f"{uuid4().hex}@example.com", "password": password}
        async with running_fleet.client() as client:
            made = (await client.post("/v1/signup", json={**person, "company": company})).json()
            client.headers["Authorization"] = f"Bearer {made['api_key']}"
            text = {"type": "text", "title": "Badges", "text": f"{SECRET} Press the red button."}
            assert (await client.post("/v1/knowledge/sources", json=text)).status_code == 201
            await talk(client, made["agent_id"])
            data = running_fleet.data.path
            let_in = await asyncio.to_thread(
                make, f"integrator TENANT={made['tenant_id']}", data, running_fleet.port
            )
            assert let_in.returncode == 0, let_in.stdout + let_in.stderr
            [listens] = data.rglob(f"{made['tenant_id']}.nk")
            await page.goto("/login")
            await page.get_by_label("E-mail").fill(person["email"])
            await page.get_by_label("Password").fill(password)
            await page.get_by_role("button", name="Log in").click()
            await page.goto("/settings/erasure")
            await page.get_by_label(f"Type “{company}” to confirm").fill("wrong")
            await page.get_by_role("button", name="Erase everything").click()
            await page.get_by_text("nothing was deleted").wait_for()
            assert (await client.get("/v1/me")).status_code == 200
            await page.get_by_label(f"Type “{company}” to confirm").fill(company)
            await page.get_by_role("button", name="Erase everything").click()
            await page.get_by_role("heading", name="Receipt of an erasure").wait_for()

            async def all_answered() -> bool:
                await page.reload()
                return "All" in await page.locator(".lead").inner_text()

            await eventually(all_answered, timeout_s=60)

            async def key_is_refused() -> bool:
                return (await client.get("/v1/me")).status_code == 401

            await eventually(key_is_refused, timeout_s=10)

            async def integrator_is_dismissed() -> bool:
                return not listens.exists()

            await eventually(integrator_is_dismissed, timeout_s=15)
            for words in (company, person["email"], "ZX-4711-QQ: how do I stop the fleet? Press"):
                assert await tables_with(rows, words) == set()
            left = await tables_with(rows, str(UUID(made["tenant_id"])))
            assert {one for one in left if not one.endswith(".tombstone")} <= KEPT_OF_TENANT
