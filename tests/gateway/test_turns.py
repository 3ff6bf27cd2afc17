"""A listener outlives the process that answers: no word is lost or doubled."""

import asyncio
from uuid import uuid4

import pytest
from fakes.neighbours import FakeNeighbours
from harness.asking import ANSWER, QUESTION, Event, answered, listening, reset_script, text_of
from harness.desk import Desk, scripted_fleet


@pytest.fixture
async def neighbours(keys_dir):
    fakes = FakeNeighbours(keys_dir)
    await fakes.start()
    reset_script(fakes)
    yield fakes
    await fakes.stop()


@pytest.fixture
async def talk(fleet_service, neighbours):
    async with scripted_fleet(fleet_service, neighbours) as desk:
        yield desk


async def restart(talk: Desk, fleet_service, neighbours: FakeNeighbours) -> None:
    """Conversation ends and begins anew, at the same address, with the same rows."""
    old = talk.services["conversation"]
    address, database = old.address, old.database
    await old.stop()
    talk.services["conversation"] = await fleet_service(
        "conversation",
        database=database,
        grpc_bind=address,
        **{
            **neighbours.settings,
            "billing_address": talk.services["billing"].address,
            "memory_address": talk.services["memory"].address,
        },
    )


class TestRestarts:
    async def test_a_turn_that_is_cut_off_ends_for_its_listener(
        self, talk, fleet_service, neighbours
    ):
        gate = asyncio.Event()
        reset_script(neighbours, "Hold the reset ", gate, "button for ten seconds.")
        acme = await talk.sign_up()
        conversation, visitor = await talk.begin(acme)
        path = f"/v1/conversations/{conversation}/messages"
        headers = {**visitor, "Idempotency-Key": str(uuid4())}
        heard: list[Event] = []
        async with listening(talk, "POST", path, headers, json={"text": QUESTION}) as listener:
            async for event in listener.events():
                heard.append(event)
                if event.name == "message.delta" and len(heard) == 2:
                    # Its end cancels what it was writing.
                    await restart(talk, fleet_service, neighbours)
        gate.set()
        assert heard[-1].name in ("error", "message.completed")
        assert [event.number for event in heard] == list(range(1, len(heard) + 1))
        assert ANSWER.startswith(text_of(heard))
        after = await answered(talk, conversation, visitor, "And now?")
        assert after.status_code == 200

    async def test_a_listener_hears_on_after_a_restart(self, talk, fleet_service, neighbours):
        acme = await talk.sign_up()
        conversation, visitor = await talk.begin(acme)
        path = f"/v1/conversations/{conversation}/events"
        heard: list[Event] = []
        async with listening(talk, "GET", path, visitor) as listener:
            await restart(talk, fleet_service, neighbours)
            asking = asyncio.create_task(answered(talk, conversation, visitor))
            async with asyncio.timeout(30):
                async for event in listener.events():
                    heard.append(event)
                    if event.name == "message.completed":
                        break
        assert (await asking).json()["text"] == ANSWER
        assert text_of(heard) == ANSWER

    async def test_a_question_waits_for_the_service_to_come_back(
        self, talk, fleet_service, neighbours
    ):
        acme = await talk.sign_up()
        conversation, visitor = await talk.begin(acme)
        restarting = asyncio.create_task(restart(talk, fleet_service, neighbours))
        answer = await answered(talk, conversation, visitor)
        await restarting
        assert answer.status_code == 200
        assert answer.json()["text"] == ANSWER
