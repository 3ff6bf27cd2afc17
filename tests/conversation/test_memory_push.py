"""What was said reaches memory, once it is there to take it."""

import pytest
from fleetdesk.memory.v1 import memory_service_pb2 as memory_pb
from fleetkit.errors import Unavailable
from harness.waiting import eventually

QUESTION = "How do I reset the router?"
ANSWER = "Hold the reset button for ten seconds."


def recorded(neighbours, count: int):
    """A check that memory has taken that many messages."""

    async def check() -> bool:
        return len(neighbours.memory.recorded) >= count

    return check


@pytest.mark.parametrize("takes_more", [True, False])
async def test_question_and_answer_are_told(visitor, neighbours, takes_more):
    """Also to a memory of before it took several at once."""
    neighbours.memory.takes_more = takes_more
    await visitor.ask(QUESTION)
    await eventually(recorded(neighbours, 2))
    told = sorted(neighbours.memory.recorded, key=lambda each: each.turn.message_id)
    assert [(each.turn.author, each.turn.text) for each in told] == [
        (memory_pb.AUTHOR_VISITOR, QUESTION),
        (memory_pb.AUTHOR_AGENT, ANSWER),
    ]
    assert {each.conversation_id for each in told} == {visitor.conversation_id}
    assert {each.visitor_id for each in told} == {visitor.visitor_id}


async def test_is_tried_until_memory_takes_it(running, visitor, neighbours):
    neighbours.memory.error = Unavailable("away")
    await visitor.ask(QUESTION)
    await eventually(lambda: running.rows("select 1 from job where last_error is not null"))
    neighbours.memory.error = None
    running.advance(seconds=600)
    await eventually(recorded(neighbours, 2))

    async def done() -> bool:
        return await running.rows("select 1 from job") == []

    await eventually(done)
    rows = await running.rows("select in_memory from message")
    assert [row["in_memory"] for row in rows] == [True, True]


async def test_what_memory_has_not_taken_is_handed_to_it_with_the_question(visitor, neighbours):
    neighbours.memory.error = Unavailable("away")
    await visitor.ask(QUESTION)
    await visitor.ask("And the camera?")
    pending = neighbours.memory.asked[-1].pending_turns
    assert [turn.text for turn in pending] == [QUESTION, ANSWER]


async def test_what_memory_has_is_not_handed_over_again(running, visitor, neighbours):
    await visitor.ask(QUESTION)

    async def taken() -> bool:
        return await running.rows("select 1 from message where not in_memory") == []

    await eventually(taken)
    await visitor.ask("And the camera?")
    assert list(neighbours.memory.asked[-1].pending_turns) == []


async def test_a_failed_answer_is_not_remembered_but_its_question_is(running, visitor, neighbours):
    neighbours.llm.script = ("Hold the ",)
    await visitor.ask(QUESTION)
    await eventually(recorded(neighbours, 1))
    neighbours.llm.script = ()
    await visitor.ask("And the camera?")
    await eventually(recorded(neighbours, 2))
    texts = {each.turn.text for each in neighbours.memory.recorded}
    assert texts == {QUESTION, "And the camera?"}
