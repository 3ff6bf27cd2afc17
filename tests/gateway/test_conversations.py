"""Conversations as the tenant's people lead them, and as visitors see them."""

from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from fakes.neighbours import FakeNeighbours
from fleetdesk.gateway.v1.events_pb2 import ErasureRequested
from gateway.auth.visitor_tokens import verify_visitor_token
from harness.asking import ANSWER, Event, answered, asked, listening, reset_script
from harness.desk import Company, Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(talk: Desk) -> Company:
    return await talk.sign_up()


@pytest.fixture(autouse=True)
def _script(talk: Desk, neighbours: FakeNeighbours) -> None:
    talk.forget_limits()
    reset_script(neighbours)


async def act(talk: Desk, conversation: str, what: str, headers: Any, **body: Any) -> Any:
    path = f"/v1/conversations/{conversation}/{what}"
    return await talk.client.post(path, json=body or None, headers=headers)


class TestLeading:
    async def test_a_person_takes_over_replies_hands_back_and_resolves(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        await answered(talk, conversation, visitor)
        path = f"/v1/conversations/{conversation}"
        position = (await talk.client.get(path, headers=visitor)).json()["position"]

        asked_for = await act(talk, conversation, "handoff", visitor)
        assert asked_for.json()["status"] == "waiting"
        assert asked_for.json()["handoff_reason"] == "visitor_request"
        taken = await act(talk, conversation, "takeover", acme.bearer)
        assert taken.json()["status"] == "taken_over"

        silent = await answered(talk, conversation, visitor, "Are you there?")
        assert (silent.json()["outcome"], silent.json()["text"]) == (None, "")
        assert silent.json()["receipt"] == {"total_nanos": 0, "items": []}

        replied = await act(talk, conversation, "reply", acme.bearer, text="Yes, I am.")
        assert replied.status_code == 201
        assert replied.json()["role"] == "person"
        back = await act(talk, conversation, "handback", acme.bearer)
        assert back.json()["status"] == "open"
        assert (await answered(talk, conversation, visitor)).json()["text"] == ANSWER
        ended = await act(talk, conversation, "resolve", acme.bearer)
        assert ended.json()["status"] == "resolved"

        heard: list[Event] = []
        async with listening(talk, "GET", f"{path}/events?after={position}", visitor) as listener:
            async for event in listener.events():
                heard.append(event)
                if event.data == {"status": "resolved"}:
                    break
        statuses = [event.data["status"] for event in heard if event.name == "status"]
        assert statuses == ["waiting", "taken_over", "open", "resolved"]
        posted = [event.data["message"] for event in heard if event.name == "message.posted"]
        assert "Yes, I am." in [message["text"] for message in posted]

    async def test_whoever_has_not_taken_over_can_not_reply(self, talk, acme):
        conversation, _ = await talk.begin(acme)
        answer = await act(talk, conversation, "reply", acme.bearer, text="Hi")
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_a_reply_is_posted_once(self, talk, acme):
        conversation, _ = await talk.begin(acme)
        await act(talk, conversation, "takeover", acme.bearer)
        headers = {**acme.bearer, "Idempotency-Key": str(uuid4())}
        first = await act(talk, conversation, "reply", headers, text="Hi")
        again = await act(talk, conversation, "reply", headers, text="Hi")
        assert first.json()["message_id"] == again.json()["message_id"]

    async def test_a_visitor_can_not_lead(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        for what in ("takeover", "handback", "resolve"):
            assert (await act(talk, conversation, what, visitor)).status_code == 403
        assert (await act(talk, conversation, "reply", visitor, text="Hi")).status_code == 403


class TestRating:
    async def test_the_last_one_counts(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        message_id = (await answered(talk, conversation, visitor)).json()["message_id"]
        for rating in (1, -1):
            body = {"message_id": message_id, "rating": rating}
            rated = await act(talk, conversation, "rating", visitor, **body)
            assert rated.json()["rating"] == rating
        path = f"/v1/conversations/{conversation}"
        found = (await talk.client.get(path, headers=acme.bearer)).json()
        assert found["messages"][-1]["rating"] == -1

    @pytest.mark.parametrize("rating", [2, -2, "up", None])
    async def test_anything_else_is_refused(self, talk, acme, rating):
        conversation, visitor = await talk.begin(acme)
        body = {"message_id": str(uuid4()), "rating": rating}
        answer = await act(talk, conversation, "rating", visitor, **body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "rating"

    async def test_a_message_that_is_not_there_can_not_be_rated(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        body = {"message_id": str(uuid4()), "rating": 1}
        assert (await act(talk, conversation, "rating", visitor, **body)).status_code == 404


class TestReading:
    async def test_people_see_what_an_answer_cost_and_visitors_do_not(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        receipt = (await answered(talk, conversation, visitor)).json()["receipt"]
        path = f"/v1/conversations/{conversation}"
        shown = (await talk.client.get(path, headers=acme.bearer)).json()["messages"][-1]
        assert shown["receipt"] == receipt
        assert shown["model"] == "fake/writer"
        assert shown["passages"][0]["cited"] is True
        seen = (await talk.client.get(path, headers=visitor)).json()["messages"][-1]
        assert seen["text"] == shown["text"] == ANSWER
        assert not {"receipt", "model", "passages", "relevance", "author"} & set(seen)

    async def test_they_are_listed_by_what_became_of_them(self, talk, neighbours):
        company = await talk.sign_up()
        good, visitor = await talk.begin(company)
        await answered(talk, good, visitor)
        neighbours.retrieval.relevance = 0.01
        bad, visitor = await talk.begin(company)
        await answered(talk, bad, visitor)

        async def listed(query: str) -> list[str]:
            path = f"/v1/conversations?{query}"
            found = await talk.client.get(path, headers=company.bearer)
            assert found.status_code == 200, found.text
            return [each["conversation_id"] for each in found.json()["items"]]

        assert await listed("") == [bad, good]
        assert await listed("outcome=answered") == [good]
        assert await listed("outcome=handoff") == [bad]
        assert await listed("status=waiting") == [bad]
        assert await listed(f"agent_id={company.agent_id}") == [bad, good]
        assert await listed(f"agent_id={uuid4()}") == []
        assert await listed("filter=ROUTER&outcome=answered") == [good]
        assert await listed("filter=lamp") == []
        assert await listed("from=2020-01-01T00:00:00Z") == [bad, good]
        assert await listed("from=9000-01-01T00:00:00Z") == []
        page = await talk.client.get("/v1/conversations?page_size=1", headers=company.bearer)
        token = page.json()["next_page_token"]
        assert await listed(f"page_size=1&page_token={token}") == [good]

    async def test_a_filter_that_is_none_is_refused(self, talk, acme):
        for query in ("status=asleep", "outcome=win", "agent_id=x", "page_size=0", "from=x"):
            answer = await talk.client.get(f"/v1/conversations?{query}", headers=acme.bearer)
            assert answer.status_code == 400
            assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


class TestAgents:
    async def test_a_conversation_stays_on_the_version_it_began_with(self, talk):
        company = await talk.sign_up()
        conversation, _ = await talk.begin(company)
        path = f"/v1/agents/{company.agent_id}"
        agent = (await talk.client.get(path, headers=company.bearer)).json()
        config = {**agent["draft"], "greeting": "Hello again"}
        body = {"config": config, "revision": agent["revision"]}
        changed = await talk.client.put(path, json=body, headers=company.bearer)
        assert changed.json()["draft_changed"] is True
        published = await talk.client.post(f"{path}/publish", headers=company.bearer)
        assert published.json()["published_version"] == 2
        found = await talk.client.get(f"/v1/conversations/{conversation}", headers=company.bearer)
        assert found.json()["conversation"]["agent_version"] == 1
        public = await talk.client.get(f"{path}/public")
        assert public.json()["greeting"] == "Hello again"
        back = await talk.client.post(
            f"{path}/rollback", json={"version": 1}, headers=company.bearer
        )
        assert back.json()["published_version"] == 3
        versions = await talk.client.get(f"{path}/versions", headers=company.bearer)
        assert [each["version"] for each in versions.json()["items"]] == [3, 2, 1]
        log = await talk.client.get("/v1/audit-log", headers=company.bearer)
        assert [line["action"] for line in log.json()["items"][:3]] == [
            "agent.rolled_back",
            "agent.published",
            "agent.changed",
        ]

    async def test_a_draft_that_somebody_else_changed_is_not_overwritten(self, talk):
        company = await talk.sign_up()
        path = f"/v1/agents/{company.agent_id}"
        agent = (await talk.client.get(path, headers=company.bearer)).json()
        body = {"config": {**agent["draft"], "name": "Ada"}, "revision": agent["revision"]}
        assert (await talk.client.put(path, json=body, headers=company.bearer)).status_code == 200
        late = {"config": {**agent["draft"], "name": "Eve"}, "revision": agent["revision"]}
        answer = await talk.client.put(path, json=late, headers=company.bearer)
        assert answer.status_code == 412

    async def test_another_tenants_agent_is_not_there(self, talk, acme):
        other = await talk.sign_up()
        path = f"/v1/agents/{acme.agent_id}"
        for method, tail, body in (
            ("GET", "", None),
            ("PUT", "", {"config": {"name": "Eve"}}),
            ("POST", "/publish", None),
            ("POST", "/rollback", {"version": 1}),
            ("GET", "/versions", None),
        ):
            answer = await talk.client.request(method, path + tail, json=body, headers=other.bearer)
            assert answer.status_code == 404, tail
        agents = (await talk.client.get("/v1/agents", headers=other.bearer)).json()["items"]
        assert [agent["agent_id"] for agent in agents] == [str(other.agent_id)]

    async def test_one_that_was_never_published_is_not_for_visitors(self, talk, acme):
        body = {"config": {"name": "Ada"}}
        made = await talk.client.post("/v1/agents", json=body, headers=acme.bearer)
        agent_id = made.json()["agent_id"]
        public = await talk.client.get(f"/v1/agents/{agent_id}/public")
        assert public.status_code in (404, 409)
        begun = await talk.client.post(
            "/v1/conversations", json={"agent_id": agent_id}, headers=acme.bearer
        )
        assert begun.status_code == 409


class TestVisitors:
    async def test_two_conversations_of_a_proven_visitor_are_of_the_same_person(self, talk):
        import time

        import jwt

        company = await talk.sign_up()
        path = f"/v1/agents/{company.agent_id}/widget/identity-secret"
        made = await talk.client.post(path, headers=company.bearer)
        claims = {"sub": "customer-7", "exp": int(time.time()) + 600}
        token = jwt.encode(claims, made.json()["identity_secret"], algorithm="HS256")
        body = {"agent_id": str(company.agent_id), "visitor": token}
        own_page = {"Origin": talk.gateway.http_url}
        begun = [
            (await talk.client.post("/v1/conversations", json=body, headers=own_page)).json()
            for _ in range(2)
        ]
        listed = await talk.client.get("/v1/conversations", headers=company.bearer)
        visitors = {each["visitor_id"] for each in listed.json()["items"]}
        assert len(begun) == 2
        assert len(visitors) == 1

    async def test_a_visitor_on_an_allowed_page_asks_and_is_answered(self, talk):
        company = await talk.sign_up()
        shop = {"Origin": "https://shop.example.com"}
        await talk.client.put(
            f"/v1/agents/{company.agent_id}/widget",
            json={"allowed_origins": [shop["Origin"]]},
            headers=company.bearer,
        )
        body = {"agent_id": str(company.agent_id)}
        begun = (await talk.client.post("/v1/conversations", json=body, headers=shop)).json()
        visitor = {"Authorization": f"Bearer {begun['visitor_token']}", **shop}
        events = await asked(talk, begun["conversation_id"], visitor)
        assert events[-1].data["outcome"] == "answered"

    async def test_messages_are_limited_by_conversation(self, talk, acme):
        from gateway.rate_limits import Limit, TooManyRequests

        conversation, visitor = await talk.begin(acme)
        with pytest.raises(TooManyRequests):
            for _ in range(31):
                talk.parts.limiter.hit(Limit("message", 30, 60), conversation)
        assert (await answered(talk, conversation, visitor)).status_code == 429
        other, visitor = await talk.begin(acme)
        assert (await answered(talk, other, visitor)).status_code == 200


class TestErasing:
    async def test_tokens_of_the_erased_are_refused_at_once(self, talk):
        acme = await talk.sign_up()
        conversation_id, visitor = await talk.begin(acme)
        _, other = await talk.begin(acme)
        path = f"/v1/conversations/{conversation_id}"
        found = await talk.client.get(path, headers=visitor)
        assert found.status_code == 200
        visitor_id = found.json()["conversation"]["visitor_id"]
        asked = await talk.client.delete(f"/v1/visitors/{visitor_id}", headers=acme.bearer)
        assert asked.status_code == 202, asked.text
        refused = await talk.client.get(path, headers=visitor)
        assert (refused.status_code, refused.json()["reason"]) == (401, "VISITOR_ERASED")
        principal = verify_visitor_token(
            talk.gateway.rt.keyring, visitor["Authorization"].removeprefix("Bearer ")
        )
        assert not await talk.parts.authenticator.still_valid(principal)
        assert (await talk.client.get("/v1/erasures", headers=other)).status_code == 403

    async def test_those_of_an_erased_company_too(self, talk):
        acme, stays = await talk.sign_up(), await talk.sign_up()
        conversation_id, visitor = await talk.begin(acme)
        other_id, other = await talk.begin(stays)
        session = await talk.sign_in(acme)
        asked = await talk.client.delete("/v1/tenant?confirm=Acme", headers=session)
        assert asked.status_code == 202, asked.text
        gone = await talk.client.get(f"/v1/conversations/{conversation_id}", headers=visitor)
        assert gone.status_code == 401
        kept = await talk.client.get(f"/v1/conversations/{other_id}", headers=other)
        assert kept.status_code == 200

    async def test_a_visitor_is_erased_with_all_conversations_however_many_there_are(self, talk):
        """More than a page of a list, one of which changes while they are asked for."""
        acme = await talk.sign_up()
        conversation = talk.services["conversation"]
        visitor_id, without = uuid4(), uuid4()
        async with conversation.db.tenant(acme.tenant_id) as conn:
            for one in (visitor_id, without):
                await conn.execute(
                    "insert into visitor (tenant_id, visitor_id, agent_id, create_time)"
                    " values (%s, %s, %s, now())",
                    [acme.tenant_id, one, acme.agent_id],
                )
            await conn.execute(
                "insert into conversation (tenant_id, conversation_id, agent_id, agent_version,"
                "  visitor_id, create_time, update_time)"
                " select %s, gen_random_uuid(), %s, 1, %s, now(), now()"
                " from generate_series(1, 450)",
                [acme.tenant_id, acme.agent_id, visitor_id],
            )
        for one, count in ((visitor_id, 450), (without, 0)):
            asked = await talk.client.delete(f"/v1/visitors/{one}", headers=acme.bearer)
            assert asked.status_code == 202, asked.text
            bodies = await talk.gateway.events(ErasureRequested)
            ids = bodies[-1].get("conversationIds", [])
            assert (bodies[-1]["visitorId"], len(set(ids))) == (str(one), count)
        unknown = await talk.client.delete(f"/v1/visitors/{uuid4()}", headers=acme.bearer)
        assert unknown.status_code == 404
