"""The RPCs of memory, over a real channel."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleetdesk.memory.v1 import memory_service_pb2 as pb
from fleetdesk.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from fleetkit.errors import InvalidArgument, NotFound
from harness.access import assert_refuses_strangers

SERVICE = "fleetdesk.memory.v1.MemoryService"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def turn(text: str, second: int = 0, author: int = pb.AUTHOR_VISITOR) -> pb.Turn:
    made = pb.Turn(message_id=str(uuid4()), text=text)
    made.author = author  # pyright: ignore[reportAttributeAccessIssue]
    made.create_time.FromDatetime(NOON + timedelta(seconds=second))
    return made


@pytest.fixture
async def memory(fleet_service):
    return await fleet_service("memory")


@pytest.fixture
def stub(memory) -> Any:
    return memory.stub(MemoryServiceStub, caller="conversation")


@pytest.fixture
def conversation_id() -> str:
    return str(uuid4())


async def record(stub: Any, conversation_id: str, *turns: pb.Turn) -> list[bool]:
    return [
        (
            await stub.RecordTurn(pb.RecordTurnRequest(conversation_id=conversation_id, turn=made))
        ).recorded
        for made in turns
    ]


async def window(stub: Any, conversation_id: str, **fields) -> list[str]:
    found = await stub.GetContext(pb.GetContextRequest(conversation_id=conversation_id, **fields))
    return [made.text for made in found.turns]


class TestStrangers:
    @pytest.mark.parametrize(
        ("rpc", "request_"),
        [
            ("RecordTurn", pb.RecordTurnRequest(conversation_id=str(uuid4()), turn=turn("x"))),
            ("GetContext", pb.GetContextRequest(conversation_id=str(uuid4()))),
            ("ClearConversation", pb.ClearConversationRequest(conversation_id=str(uuid4()))),
        ],
    )
    async def test_are_refused(self, memory, rpc, request_):
        await assert_refuses_strangers(memory, f"{SERVICE}.{rpc}", request_)


class TestRecordTurn:
    async def test_takes_a_message_once(self, memory, stub, as_background, tenant_id):
        conversation_id, made = str(uuid4()), turn("hello")
        with as_background(tenant_id):
            assert await record(stub, conversation_id, made, made) == [True, False]
        assert len(await memory.rows("select * from turn")) == 1

    async def test_takes_several_at_once(self, memory, stub, as_background, tenant_id):
        conversation_id, known, other = str(uuid4()), turn("hello", 1), turn("again", 2)
        request = pb.RecordTurnRequest(
            conversation_id=conversation_id, turn=known, more_turns=[other, known]
        )
        with as_background(tenant_id):
            await record(stub, conversation_id, known)
            answered = await stub.RecordTurn(request)
            assert (answered.recorded, answered.turn_count) == (False, 3)
            assert await window(stub, conversation_id) == ["hello", "again"]

    async def test_another_tenant_cannot_take_a_message_away(
        self, stub, as_background, tenant_id, other_tenant_id, conversation_id
    ):
        mine = turn("mine")
        theirs = turn("theirs")
        theirs.message_id = mine.message_id
        with as_background(other_tenant_id):
            await record(stub, conversation_id, theirs)
        with as_background(tenant_id):
            assert await window(stub, conversation_id) == []
            assert await record(stub, conversation_id, mine) == [True]
            assert await window(stub, conversation_id) == ["mine"]
        with as_background(other_tenant_id):
            assert await window(stub, conversation_id) == ["theirs"]

    @pytest.mark.parametrize(
        ("request_", "field"),
        [
            (pb.RecordTurnRequest(conversation_id="x", turn=turn("a")), "conversation_id"),
            (
                pb.RecordTurnRequest(conversation_id=str(uuid4()), visitor_id="x", turn=turn("a")),
                "visitor_id",
            ),
            (pb.RecordTurnRequest(conversation_id=str(uuid4()), turn=turn("")), "turn.text"),
            (pb.RecordTurnRequest(conversation_id=str(uuid4()), turn=turn("a\0")), "turn.text"),
            (
                pb.RecordTurnRequest(
                    conversation_id=str(uuid4()), turn=turn("a"), more_turns=[turn("")]
                ),
                "more_turns.text",
            ),
            (
                pb.RecordTurnRequest(
                    conversation_id=str(uuid4()), turn=turn("a"), more_turns=[turn("a")] * 100
                ),
                "more_turns",
            ),
            (
                pb.RecordTurnRequest(conversation_id=str(uuid4()), turn=turn("a" * 100_001)),
                "turn.text",
            ),
            (
                pb.RecordTurnRequest(conversation_id=str(uuid4()), turn=turn("a", author=0)),
                "turn.author",
            ),
            (
                pb.RecordTurnRequest(
                    conversation_id=str(uuid4()),
                    turn=pb.Turn(message_id="x", author=pb.AUTHOR_AGENT, text="a"),
                ),
                "turn.create_time",
            ),
        ],
    )
    async def test_names_the_field_that_is_wrong(
        self, memory, stub, as_background, tenant_id, request_, field
    ):
        with as_background(tenant_id), pytest.raises(InvalidArgument) as caught:
            await stub.RecordTurn(request_)
        assert caught.value.field == field
        assert await memory.rows("select * from turn") == []


class TestGetContext:
    async def test_moves_in_steps_of_the_last_ten_messages(
        self, stub, as_background, tenant_id, conversation_id
    ):
        begins = []
        with as_background(tenant_id):
            for number in range(20):
                await record(stub, conversation_id, turn(f"t{number}", number))
                texts = await window(stub, conversation_id)
                assert texts == [f"t{n}" for n in range(number + 1 - len(texts), number + 1)]
                begins.append(number + 1 - len(texts))
        assert begins == [0] * 10 + [6] * 6 + [12] * 4

    async def test_moves_in_steps_by_tokens_too(
        self, stub, as_background, tenant_id, conversation_id
    ):
        """Of eight messages of ten tokens, 45 hold four; the fifth leaves two (22 at most)."""
        sizes = []
        with as_background(tenant_id):
            for number in range(8):
                await record(stub, conversation_id, turn("one " * 10, number))
                sizes.append(len(await window(stub, conversation_id, max_tokens=45)))
        assert sizes == [1, 2, 3, 4, 2, 3, 4, 2]

    async def test_merges_what_was_not_recorded_yet_in_order(
        self, stub, as_background, tenant_id, conversation_id
    ):
        first, second, third = turn("first", 1), turn("second", 2), turn("third", 3)
        with as_background(tenant_id):
            await record(stub, conversation_id, first, third)
            texts = await window(stub, conversation_id, pending_turns=[second, third])
        assert texts == ["first", "second", "third"]

    async def test_keeps_within_the_tokens_without_a_hole(
        self, stub, as_background, tenant_id, conversation_id
    ):
        turns = [turn("old", 1), turn("long " * 50, 2), turn("new", 3)]
        with as_background(tenant_id):
            await record(stub, conversation_id, *turns)
            assert await window(stub, conversation_id, max_tokens=20) == ["new"]

    async def test_cuts_a_newest_message_that_is_too_long(
        self, stub, as_background, tenant_id, conversation_id
    ):
        with as_background(tenant_id):
            await record(stub, conversation_id, turn("one two three four five six"))
            assert await window(stub, conversation_id, max_tokens=3) == ["one two three"]

    async def test_another_tenant_sees_nothing(
        self, stub, as_background, tenant_id, other_tenant_id, conversation_id
    ):
        with as_background(tenant_id):
            await record(stub, conversation_id, turn("mine"))
        with as_background(other_tenant_id):
            assert await window(stub, conversation_id) == []

    async def test_a_visitor_sees_the_conversation_of_their_token_only(
        self, stub, as_identity, as_background, tenant_id, conversation_id
    ):
        with as_background(tenant_id):
            await record(stub, conversation_id, turn("mine"))
        with as_identity(tenant_id, kind="visitor", conversation_id=UUID(conversation_id)):
            assert await window(stub, conversation_id) == ["mine"]
        stranger = as_identity(tenant_id, kind="visitor", conversation_id=uuid4())
        with stranger, pytest.raises(NotFound):
            await window(stub, conversation_id)

    async def test_a_pending_turn_that_is_recorded_too_counts_once(
        self, stub, as_background, tenant_id, conversation_id
    ):
        made = turn("once")
        with as_background(tenant_id):
            await record(stub, conversation_id, made)
            assert await window(stub, conversation_id, pending_turns=[made]) == ["once"]

    async def test_refuses_limits_out_of_range(self, stub, as_background, tenant_id):
        with as_background(tenant_id), pytest.raises(InvalidArgument) as caught:
            await window(stub, str(uuid4()), max_messages=-1)
        assert caught.value.field == "max_messages"


class TestClearConversation:
    async def test_forgets_what_was_said_and_what_still_arrives_of_it(
        self, memory, as_identity, as_background, tenant_id, conversation_id
    ):
        stub = memory.stub(MemoryServiceStub, caller="conversation")
        late = turn("late", 5)
        with as_background(tenant_id):
            await record(stub, conversation_id, turn("one", 1), turn("two", 2))
        with as_identity(tenant_id, role="agent"):
            cleared = await stub.ClearConversation(
                pb.ClearConversationRequest(conversation_id=conversation_id)
            )
        assert cleared.message_count == 2
        with as_background(tenant_id):
            assert await record(stub, conversation_id, late) == [False]
            assert await window(stub, conversation_id, pending_turns=[late]) == []

    async def test_leaves_another_tenants_window_alone(
        self, stub, as_identity, as_background, tenant_id, other_tenant_id, conversation_id
    ):
        with as_background(tenant_id):
            await record(stub, conversation_id, turn("mine"))
        with as_identity(other_tenant_id, role="owner"):
            cleared = await stub.ClearConversation(
                pb.ClearConversationRequest(conversation_id=conversation_id)
            )
        assert cleared.message_count == 0
        with as_background(tenant_id):
            assert await window(stub, conversation_id) == ["mine"]

    async def test_the_conversation_goes_on_afterwards(
        self, memory, as_identity, as_background, tenant_id, conversation_id
    ):
        stub = memory.stub(MemoryServiceStub, caller="conversation")
        with as_identity(tenant_id, role="agent"):
            request = pb.ClearConversationRequest(conversation_id=conversation_id)
            await stub.ClearConversation(request)
            assert (await stub.ClearConversation(request)).message_count == 0
        with as_background(tenant_id):
            new = turn("new")
            new.create_time.FromDatetime(memory.rt.clock.now() + timedelta(seconds=1))
            assert await record(stub, conversation_id, new) == [True]
            assert await window(stub, conversation_id) == ["new"]

    async def test_nothing_that_arrives_at_the_same_moment_survives(
        self, memory, as_identity, as_background, tenant_id, conversation_id
    ):
        stub = memory.stub(MemoryServiceStub, caller="conversation")
        with as_identity(tenant_id, role="agent"):
            cleared = asyncio.create_task(
                self._clear_soon(stub, pb.ClearConversationRequest(conversation_id=conversation_id))
            )
        with as_background(tenant_id):
            turns = [turn(str(number), number) for number in range(30)]
            await asyncio.gather(*(record(stub, conversation_id, made) for made in turns))
        await cleared
        assert await memory.rows("select text from turn") == []

    async def _clear_soon(self, stub: Any, request: pb.ClearConversationRequest) -> None:
        await asyncio.sleep(0.005)
        await stub.ClearConversation(request)
