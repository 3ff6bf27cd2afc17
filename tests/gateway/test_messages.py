"""Asking: as a stream, as JSON, twice, and while nobody listens."""

import asyncio
from contextlib import ExitStack
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from fakes.neighbours import FakeNeighbours
from fleetkit.errors import ResourceExhausted, Unavailable
from gateway import sse, turns
from gateway.auth import visitor_tokens
from gateway.stream_slots import StreamSlots
from harness.asking import (
    ANSWER,
    QUESTION,
    RESET,
    Event,
    answered,
    asked,
    listening,
    reset_script,
    text_of,
)
from harness.desk import Company, Desk
from harness.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

_TURN = ["message.started", "message.delta", "message.citations", "message.completed"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(talk: Desk) -> Company:
    return await talk.sign_up()


@pytest.fixture(autouse=True)
def _script(talk: Desk, neighbours: FakeNeighbours) -> None:
    talk.forget_limits()
    reset_script(neighbours)


def kinds(events: list[Event]) -> list[str]:
    """Names of events, runs of deltas as one."""
    found: list[str] = []
    for event in events:
        if found[-1:] != ["message.delta"] or event.name != "message.delta":
            found.append(event.name)
    return found


class TestOthers:
    async def test_another_tenants_conversation_is_not_there(self, talk, acme):
        other = await talk.sign_up()
        conversation, _ = await talk.begin(acme)
        path = f"/v1/conversations/{conversation}"
        for method, tail, body in (
            ("GET", "", None),
            ("POST", "/messages", {"text": "Hi"}),
            ("GET", "/events", None),
            ("POST", "/cancel", None),
            ("POST", "/handoff", None),
            ("POST", "/takeover", None),
            ("POST", "/reply", {"text": "Hi"}),
            ("POST", "/handback", None),
            ("POST", "/resolve", None),
            ("POST", "/rating", {"message_id": str(uuid4()), "rating": 1}),
        ):
            for accept in ("application/json", "text/event-stream"):
                headers = {**other.bearer, "Accept": accept}
                answer = await talk.client.request(method, path + tail, json=body, headers=headers)
                assert answer.status_code == 404, tail
                assert answer.headers["content-type"] == "application/problem+json"
        listed = await talk.client.get("/v1/conversations", headers=other.bearer)
        assert listed.json()["items"] == []

    async def test_another_tenants_agent_can_not_be_talked_with(self, talk, acme):
        other = await talk.sign_up()
        body = {"agent_id": str(acme.agent_id)}
        answer = await talk.client.post("/v1/conversations", json=body, headers=other.bearer)
        assert answer.status_code == 404


class TestStream:
    async def test_an_answer_comes_as_it_is_written(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        events = await asked(talk, conversation, visitor)
        assert kinds(events) == _TURN
        assert text_of(events) == ANSWER
        message_id = events[0].data["message_id"]
        assert [event.event_id for event in events] == [
            f"{message_id}:{number}" for number in range(1, len(events) + 1)
        ]

    async def test_its_citations_point_into_the_document(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        events = await asked(talk, conversation, visitor)
        (citation,) = next(e for e in events if e.name == "message.citations").data["citations"]
        assert {"document_id", "chunk_id", "title", "url", "start", "end", "quote"} <= set(citation)
        assert RESET[citation["start"] : citation["end"]] == citation["quote"] == ANSWER

    async def test_its_end_says_what_it_came_to_and_cost(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        data = (await asked(talk, conversation, visitor))[-1].data
        assert (data["outcome"], data["tier"], data["status"]) == ("answered", 1, "completed")
        assert 0 < data["confidence"] <= 1
        receipt = data["receipt"]
        assert receipt["total_nanos"] == sum(item["amount_nanos"] for item in receipt["items"]) > 0
        assert {
            "service",
            "provider",
            "model",
            "kind",
            "purpose",
            "units",
            "price_nanos_per_million",
            "amount_nanos",
            "saved_nanos",
            "status",
        } <= set(receipt["items"][0])

    async def test_a_hand_over_says_why(self, talk, acme, neighbours):
        neighbours.retrieval.relevance = 0.01
        conversation, visitor = await talk.begin(acme)
        events = await asked(talk, conversation, visitor)
        handoff = next(event for event in events if event.name == "handoff")
        assert handoff.data == {"reason": "missing_knowledge"}
        assert events[-1].data["outcome"] == "handoff"

    async def test_a_turn_that_fails_ends_with_a_problem(self, talk, acme, neighbours):
        neighbours.llm.script = ("Hold ", Unavailable("the model broke"))
        conversation, visitor = await talk.begin(acme)
        events = await asked(talk, conversation, visitor)
        assert events[-1].name == "error"
        problem = events[-1].data
        assert problem["status"] == 502
        assert problem["type"].startswith("urn:fleetdesk:problem:")
        assert len(problem["trace_id"]) == 32

    async def test_what_is_wrong_before_it_begins_is_an_ordinary_problem(self, talk, acme):
        path = f"/v1/conversations/{uuid4()}/messages"
        async with listening(talk, "POST", path, acme.bearer, json={"text": QUESTION}) as listener:
            assert listener.response.status_code == 404
            assert listener.response.headers["content-type"] == "application/problem+json"

    async def test_pauses_are_told_by_comments(self, talk, acme, neighbours, monkeypatch):
        monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)
        gate = asyncio.Event()
        reset_script(neighbours, "Hold the reset ", gate, "button for ten seconds.")
        conversation, visitor = await talk.begin(acme)
        path = f"/v1/conversations/{conversation}/messages"
        events: list[Event] = []
        async with listening(talk, "POST", path, visitor, json={"text": QUESTION}) as listener:
            async for event in listener.events():
                events.append(event)
                if event.name == "message.delta":
                    asyncio.get_running_loop().call_later(0.5, gate.set)
        assert listener.comments >= 2
        assert text_of(events) == ANSWER


class TestJson:
    async def test_an_answer_comes_whole(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        answer = (await answered(talk, conversation, visitor)).json()
        assert {"message_id", "text", "citations", "outcome", "confidence", "receipt"} <= set(
            answer
        )
        assert answer["text"] == ANSWER
        assert answer["outcome"] == "answered"
        assert answer["citations"][0]["quote"] == ANSWER
        assert answer["receipt"]["total_nanos"] > 0

    async def test_a_hand_over_says_why(self, talk, acme, neighbours):
        neighbours.retrieval.relevance = 0.01
        conversation, visitor = await talk.begin(acme)
        answer = (await answered(talk, conversation, visitor)).json()
        assert (answer["outcome"], answer["handoff_reason"]) == ("handoff", "missing_knowledge")

    async def test_a_turn_that_fails_is_a_problem(self, talk, acme, neighbours):
        neighbours.llm.script = ("Hold ", Unavailable("the model broke"))
        conversation, visitor = await talk.begin(acme)
        answer = await answered(talk, conversation, visitor)
        assert answer.status_code == 502
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("text", ["", " \n", "a\x00b"], ids=["none", "blank", "NUL"])
    async def test_nothing_can_not_be_asked(self, talk, acme, text):
        conversation, visitor = await talk.begin(acme)
        answer = await answered(talk, conversation, visitor, text)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "text"

    async def test_a_second_question_waits_for_the_first_answer(self, talk, acme, neighbours):
        gate = asyncio.Event()
        reset_script(neighbours, gate, "Hold the reset ", "button for ten seconds.")
        conversation, visitor = await talk.begin(acme)
        first = asyncio.create_task(answered(talk, conversation, visitor))
        await _being_answered(talk, conversation, acme)
        second = await answered(talk, conversation, visitor, "And then?")
        gate.set()
        assert (second.status_code, second.json()["reason"]) == (409, "TURN_IN_PROGRESS")
        assert (await first).status_code == 200


class TestIdempotency:
    async def test_the_same_key_asks_once(self, talk, acme, neighbours):
        conversation, visitor = await talk.begin(acme)
        calls = len(neighbours.llm.requests)
        key = {"Idempotency-Key": str(uuid4())}
        first = await answered(talk, conversation, visitor, **key)
        again = await answered(talk, conversation, visitor, **key)
        assert first.json() == again.json()
        assert len(neighbours.llm.requests) == calls + 1

    async def test_the_same_key_with_another_question_is_refused(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        key = {"Idempotency-Key": str(uuid4())}
        await answered(talk, conversation, visitor, **key)
        other = await answered(talk, conversation, visitor, "Something else?", **key)
        assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")

    async def test_while_it_is_answered_json_waits_and_a_stream_joins(self, talk, acme, neighbours):
        gate = asyncio.Event()
        reset_script(neighbours, "Hold the reset ", gate, "button for ten seconds.")
        conversation, visitor = await talk.begin(acme)
        key = {"Idempotency-Key": str(uuid4())}
        first = asyncio.create_task(answered(talk, conversation, visitor, **key))
        await _being_answered(talk, conversation, acme)
        again = await answered(talk, conversation, visitor, **key)
        assert (again.status_code, again.json()["reason"]) == (409, "IDEMPOTENCY_IN_FLIGHT")
        assert int(again.headers["retry-after"]) >= 1
        joining = asyncio.create_task(asked(talk, conversation, {**visitor, **key}))
        asyncio.get_running_loop().call_later(0.2, gate.set)
        events = await joining
        assert kinds(events) == _TURN
        assert text_of(events) == ANSWER
        assert (await first).json()["message_id"] == events[0].data["message_id"]

    async def test_a_conversation_is_begun_once(self, talk, acme):
        headers = {**acme.bearer, "Idempotency-Key": str(uuid4())}
        body = {"agent_id": str(acme.agent_id)}
        first = await talk.client.post("/v1/conversations", json=body, headers=headers)
        again = await talk.client.post("/v1/conversations", json=body, headers=headers)
        assert first.json()["conversation_id"] == again.json()["conversation_id"]

    async def test_an_agent_is_made_once(self, talk, acme):
        headers = {**acme.bearer, "Idempotency-Key": str(uuid4())}
        body = {"config": {"name": "Ada"}, "publish": True}
        first = await talk.client.post("/v1/agents", json=body, headers=headers)
        again = await talk.client.post("/v1/agents", json=body, headers=headers)
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()


class TestListening:
    async def test_a_turn_runs_to_its_end_and_can_be_picked_up(self, talk, acme, neighbours):
        gate = asyncio.Event()
        reset_script(neighbours, "Hold the reset ", gate, "button for ten seconds.")
        conversation, visitor = await talk.begin(acme)
        path = f"/v1/conversations/{conversation}"
        heard: list[Event] = []
        async with listening(
            talk, "POST", f"{path}/messages", visitor, json={"text": QUESTION}
        ) as listener:
            async for event in listener.events():
                heard.append(event)
                if event.name == "message.delta":
                    break
        gate.set()
        headers = {**visitor, "Last-Event-ID": heard[-1].event_id}
        async with listening(talk, "GET", f"{path}/events", headers) as listener:
            async for event in listener.events():
                heard.append(event)
                if event.name == "message.completed":
                    break
        assert kinds(heard) == _TURN
        assert text_of(heard) == ANSWER
        assert [event.number for event in heard] == list(range(1, len(heard) + 1))

    async def test_a_position_does_as_well(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        path = f"/v1/conversations/{conversation}"
        await answered(talk, conversation, visitor)
        position = (await talk.client.get(path, headers=visitor)).json()["position"]
        after = f"{path}/events?after={position}"
        async with listening(talk, "GET", after, visitor) as listener:
            asking = asyncio.create_task(answered(talk, conversation, visitor, "Again?"))
            names = []
            async for event in listener.events():
                names.append(event.name)
                if event.name == "message.completed":
                    break
            await asking
        assert names[0] in ("message.posted", "message.started")

    async def test_from_the_beginning_everything_is_told(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        events = await asked(talk, conversation, visitor)
        async with listening(
            talk, "GET", f"/v1/conversations/{conversation}/events", visitor
        ) as listener:
            told = []
            async for event in listener.events():
                told.append(event)
                if event.name == "message.completed":
                    break
        assert [event for event in told if event.name != "message.posted"] == events

    @pytest.mark.parametrize("after", ["x", "x:1", f"{UUID(int=7)}:x", f"{UUID(int=7)}", "-1", "¹"])
    async def test_what_is_no_events_id_is_refused(self, talk, acme, after):
        conversation, visitor = await talk.begin(acme)
        path = f"/v1/conversations/{conversation}/events"
        answer = await talk.client.get(path, params={"after": after}, headers=visitor)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "Last-Event-ID"

    async def test_a_revoked_key_hears_no_more(self, talk, acme, monkeypatch):
        monkeypatch.setattr(turns, "_WATCH_S", 0.3)
        conversation, _ = await talk.begin(acme)
        body = {"name": "listener", "role": "viewer"}
        made = await talk.client.post("/v1/api-keys", json=body, headers=acme.bearer)
        headers = {"Authorization": f"Bearer {made.json()['api_key']}"}
        async with listening(
            talk, "GET", f"/v1/conversations/{conversation}/events", headers
        ) as listener:
            assert listener.response.status_code == 200
            key_id = made.json()["key"]["key_id"]
            await talk.client.delete(f"/v1/api-keys/{key_id}", headers=acme.bearer)
            async with asyncio.timeout(10):
                assert [event async for event in listener.events()] == []

    async def test_an_expired_visitor_hears_no_more(self, talk, acme, monkeypatch):
        monkeypatch.setattr(visitor_tokens, "LIFETIME_S", 2)
        conversation, visitor = await talk.begin(acme)
        async with listening(
            talk, "GET", f"/v1/conversations/{conversation}/events", visitor
        ) as listener:
            assert listener.response.status_code == 200
            async with asyncio.timeout(10):
                assert [event async for event in listener.events()] == []

    async def test_the_number_of_streams_is_bounded(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        slots = talk.parts.slots
        before = slots._most
        slots._most = slots._open.total()
        answer = await answered(talk, conversation, visitor)
        slots._most = before
        assert (answer.status_code, answer.json()["reason"]) == (429, "TOO_MANY_STREAMS")

    async def test_a_place_is_free_again_when_the_listener_has_gone(self, talk, acme):
        conversation, visitor = await talk.begin(acme)
        async with listening(
            talk, "GET", f"/v1/conversations/{conversation}/events", visitor
        ) as listener:
            assert listener.response.status_code == 200
            assert talk.parts.slots._open.total() >= 1

        async def free() -> bool:
            return talk.parts.slots._open.total() == 0

        await eventually(free)


class TestSlots:
    async def test_one_conversation_does_not_take_all_places(self):
        slots, one = StreamSlots(100), uuid4()
        with ExitStack() as held:
            with pytest.raises(ResourceExhausted, match="close one"):
                for _ in range(50):
                    held.enter_context(slots.taken(one))
            held.enter_context(slots.taken(uuid4()))
        assert slots._open.total() == 0


class TestStopping:
    async def test_what_was_written_is_kept(self, talk, acme, neighbours):
        gate = asyncio.Event()
        reset_script(neighbours, "Hold the reset ", gate, "button for ten seconds.")
        conversation, visitor = await talk.begin(acme)
        path = f"/v1/conversations/{conversation}"
        events: list[Event] = []
        stopped = None
        async with listening(
            talk, "POST", f"{path}/messages", visitor, json={"text": QUESTION}
        ) as listener:
            async for event in listener.events():
                events.append(event)
                if event.name == "message.delta":
                    stopped = await talk.client.post(f"{path}/cancel", headers=visitor)
        gate.set()
        assert stopped is not None
        assert stopped.json()["message_id"] == events[0].data["message_id"]
        assert events[-1].data["status"] == "canceled"
        again = await talk.client.post(f"{path}/cancel", headers=visitor)
        assert again.json() == {"message_id": None}


async def _being_answered(talk: Desk, conversation: str, company: Company) -> None:
    """Waits until the conversation has an answer that is being written."""

    async def check() -> bool:
        found = await talk.client.get(f"/v1/conversations/{conversation}", headers=company.bearer)
        return any(each["status"] == "answering" for each in found.json()["messages"])

    await eventually(check)


class TestTrial:
    async def test_is_shown_while_it_is_written_and_asked_one_at_a_time(
        self, talk, acme, neighbours
    ):
        headers = await talk.sign_in(acme)
        token = headers["X-CSRF-Token"]
        htmx = {"Cookie": headers["Cookie"], "HX-Request": "true"}
        rest = asyncio.Event()
        reset_script(neighbours, "Hold the reset ", rest, "button for ten seconds.")

        async def ask(text: str, **more: str) -> httpx.Response:
            form = {"csrf_token": token, "agent_id": str(acme.agent_id), "text": text, **more}
            form["request_id"] = str(uuid4())
            return await talk.client.post("/agent/trial", headers=htmx, data=form)

        begun = await ask(QUESTION)
        where = begun.headers["HX-Replace-Url"]
        assert ("Being written" in begun.text, "every 500ms" in begun.text) == (True, True)

        async def shown() -> str:
            return (await talk.client.get(where, headers=htmx)).text

        async def has_begun() -> bool:
            return "Hold the reset" in await shown()

        await eventually(has_begun)
        trial_id = where.rpartition("=")[2]
        second = await ask("And the lamp?", trial=trial_id)
        assert "is still being answered" in second.text
        assert 'value="And the lamp?"' in second.text
        rest.set()

        async def is_whole() -> bool:
            return "Answered" in await shown()

        await eventually(is_whole)
        page = await shown()
        assert ("button for ten seconds" in page, "every 500ms" in page) == (True, False)
