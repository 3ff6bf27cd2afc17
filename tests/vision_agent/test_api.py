"""The RPCs of vision-agent, over a real channel, between real neighbours."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from fakes.neighbours import FakeNeighbours
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.vision_agent.v1 import events_pb2
from fleetdesk.vision_agent.v1 import vision_agent_service_pb2 as pb
from fleetdesk.vision_agent.v1.vision_agent_service_pb2_grpc import VisionAgentServiceStub
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from google.protobuf.timestamp_pb2 import Timestamp
from harness.access import assert_refuses_strangers
from harness.drawing import screen
from harness.waiting import eventually

from .pictures import gray, packed, with_progress

SERVICE = "fleetdesk.vision_agent.v1.VisionAgentService"
FIRST, SECOND, DIGIT = (screen(f"Error E-{code}") for code in (1041, 2953, 1047))


def frame(conversation_id: str, **fields: Any) -> pb.SubmitFrameRequest:
    given = {
        "conversation_id": conversation_id,
        "session_id": str(uuid4()),
        "frame_number": 1,
        "image": FIRST,
    }
    return pb.SubmitFrameRequest(**{**given, **fields})


class TestStrangers:
    @pytest.mark.parametrize(
        ("rpc", "request_"),
        [
            ("SubmitFrame", frame(str(uuid4()))),
            ("GetFrameStats", pb.GetFrameStatsRequest(conversation_id=str(uuid4()))),
        ],
    )
    async def test_get_in_nowhere(self, vision, rpc, request_):
        await assert_refuses_strangers(vision, f"{SERVICE}.{rpc}", request_)

    async def test_a_visitor_reaches_no_other_conversation(self, share, begin, vision):
        sharer, other = await share(), await begin(screen_sharing=True)
        stub = vision.stub(VisionAgentServiceStub, caller="gateway")
        with sharer.visitor.itself(), pytest.raises(NotFound):
            await stub.SubmitFrame(frame(other.conversation_id))

    async def test_another_tenant_has_no_such_conversation(self, share, as_identity):
        sharer = await share()
        stub = sharer.vision.stub(VisionAgentServiceStub, caller="gateway")
        with as_identity(uuid4(), role="agent"), pytest.raises(NotFound):
            await stub.SubmitFrame(frame(sharer.visitor.conversation_id))

    async def test_another_tenant_sees_no_counts(self, share, as_identity):
        sharer = await share()
        await sharer.send(FIRST)
        await eventually(lambda: _captured(sharer, 1))
        stub = sharer.vision.stub(VisionAgentServiceStub, caller="gateway")
        request = pb.GetFrameStatsRequest(conversation_id=sharer.visitor.conversation_id)
        with as_identity(uuid4(), role="owner"):
            assert not (await stub.GetFrameStats(request)).sessions


class TestSubmitFrame:
    async def test_says_what_became_of_each_frame(self, share):
        sharer = await share()
        new = await sharer.send(FIRST)
        same = await sharer.send(FIRST)
        changed = await sharer.send(SECOND)
        assert [d.reason for d in (new, same, changed)] == [
            pb.FRAME_REASON_NEW,
            pb.FRAME_REASON_DUPLICATE,
            pb.FRAME_REASON_TILE_CHANGED,
        ]
        assert [d.kept for d in (new, same, changed)] == [True, False, True]
        assert 1 <= changed.tiles_changed < changed.tiles_total
        assert changed.distance <= changed.threshold
        assert changed.next_frame_ms == 1_000

    async def test_what_is_no_word_is_asked_for_sooner_and_kept_when_it_is_there_again(self, share):
        sharer = await share()
        await sharer.send(FIRST)
        decisions = [await sharer.send(DIGIT) for _ in range(2)]
        assert [decision.kept for decision in decisions] == [False, True]
        assert decisions[0].next_frame_ms < decisions[1].next_frame_ms == 1_000

    async def test_a_number_that_was_there_is_ignored(self, share):
        sharer = await share()
        await sharer.send(FIRST, number=7)
        for number in (7, 6):
            decision = await sharer.send(SECOND, number=number)
            assert not decision.kept
            assert decision.reason == pb.FRAME_REASON_OUT_OF_ORDER

    async def test_speech_onset_keeps_what_would_be_a_duplicate(self, share):
        sharer = await share()
        await sharer.send(FIRST)
        decision = await sharer.send(FIRST, speech_onset=True)
        assert decision.reason == pb.FRAME_REASON_SPEECH_ONSET

    async def test_a_damaged_picture_may_be_sent_again(self, share):
        sharer = await share()
        with pytest.raises(InvalidArgument, match="damaged"):
            await sharer.send(FIRST[:3_000])
        assert (await sharer.send(FIRST, number=1)).reason == pb.FRAME_REASON_NEW

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"frame_number": 0}, "frame_number"),
            ({"session_id": "x"}, "session_id"),
            ({"image": b""}, "image"),
        ],
    )
    async def test_names_the_field_that_is_wrong(self, share, fields, field):
        sharer = await share()
        stub = sharer.vision.stub(VisionAgentServiceStub, caller="gateway")
        with sharer.visitor.itself(), pytest.raises(InvalidArgument) as raised:
            await stub.SubmitFrame(frame(sharer.visitor.conversation_id, **fields))
        assert raised.value.field == field

    async def test_an_agent_may_not_look_at_screens(self, share):
        sharer = await share(screen_sharing=False)
        with pytest.raises(FailedPrecondition) as raised:
            await sharer.send(FIRST)
        assert raised.value.reason == "SCREEN_SHARING_OFF"

    async def test_a_restart_makes_the_next_frame_new(self, share, fleet_service, vision):
        sharer = await share()
        await sharer.send(FIRST)
        again = await fleet_service(
            "vision-agent",
            database=vision.database,
            **{
                name: getattr(vision.rt.settings, name)
                for name in ("billing_address", "conversation_address", "llm_gateway_address")
            },
        )
        sharer.vision = again
        assert (await sharer.send(FIRST)).reason == pb.FRAME_REASON_NEW


class TestSubmitFrameInTime:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"min_frame_interval_ms": 60_000}

    async def test_a_frame_too_soon_is_ignored(self, share):
        sharer = await share()
        await sharer.send(FIRST)
        decision = await sharer.send(SECOND)
        assert (decision.kept, decision.reason) == (False, pb.FRAME_REASON_TOO_SOON)


class TestSubmitFrameOfManyScreens:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"max_screens": 1}

    async def test_the_longest_unseen_is_forgotten(self, share):
        one, other = await share(), await share()
        await one.send(FIRST)
        await other.send(FIRST)
        assert (await one.send(FIRST)).reason == pb.FRAME_REASON_NEW


class TestEntitlement:
    @pytest.fixture
    async def billing(self, fleet_service):
        return await fleet_service("billing", default_plan="free")

    async def test_a_plan_without_minutes_of_video_is_told(self, share):
        sharer = await share()
        with pytest.raises(FailedPrecondition) as raised:
            await sharer.send(FIRST)
        assert raised.value.reason == "VIDEO_NOT_ENTITLED"


class TestGetFrameStats:
    async def test_counts_frames_by_session_and_type(self, share):
        sharer = await share()
        for image in (FIRST, FIRST, FIRST, SECOND):
            await sharer.send(image)
        await sharer.send(SECOND, number=2)
        # The ignored frame may be in a later batch than the others.
        await eventually(lambda: _ignored(sharer, 1))
        stats = await sharer.stats()
        (session,) = stats.sessions
        assert session.session_id == sharer.session_id
        assert session.ignored_count == 1
        assert sum(row.kept_count for row in stats.counts) == 2
        assert sum(row.duplicate_count for row in stats.counts) == 2

    async def test_kept_frames_are_told_with_facts_and_no_text(self, share, vision):
        sharer = await share()
        kept = await sharer.send(FIRST)
        await sharer.send(FIRST)
        await eventually(lambda: _captured(sharer, 2))
        (event,) = await vision.events(events_pb2.FrameKept)
        assert event["frameId"] == kept.frame_id
        assert event["reason"] == "FRAME_REASON_NEW"
        assert "E-1041" not in str(event)
        counted = await vision.events(events_pb2.FramesCounted)
        assert {each["conversationId"] for each in counted} == {sharer.visitor.conversation_id}
        assert sum(int(each["capturedCount"]) for each in counted) == 2
        assert sum(int(each.get("keptCount", 0)) for each in counted) == 1


async def _captured(sharer: Any, count: int) -> bool:
    stats = await sharer.stats()
    return sum(row.captured_count for row in stats.counts) == count


class TestReading:
    """What the scripted llm-gateway is asked to read."""

    @pytest.fixture
    async def llm(self, keys_dir):
        fakes = FakeNeighbours(keys_dir)
        await fakes.start()
        yield fakes
        await fakes.stop()

    @pytest.fixture
    def settings(self, llm) -> dict[str, Any]:
        return {"llm_gateway_address": llm.settings["llm_gateway_address"], "readers": 1}

    async def test_only_what_changed_is_read(self, share, llm):
        sharer = await share()
        await sharer.send(FIRST)
        await eventually(lambda: _pictures(llm, 1))
        await sharer.send(SECOND)
        await eventually(lambda: _pictures(llm, 2))
        whole, part = (request.regions for request in llm.llm.pictures)
        assert all(request.content for request in llm.llm.pictures), "what it shows is told"
        assert [(box.width, box.height) for box in whole] == [(1280, 720)]
        assert sum(box.width * box.height for box in part) < 1280 * 720 / 5

    async def test_what_changed_without_text_is_looked_at_when_the_screen_rests(self, share, llm):
        sharer, still = await share(), gray("Order 1182")
        for second, done in enumerate((0, 200, 300)):
            image = packed(with_progress(still, done))
            captured = Timestamp(seconds=1_700_000_000 + 8 * second)
            await sharer.send(image, capture_time=captured)
        await eventually(lambda: _pictures(llm, 2))
        (region,) = llm.llm.pictures[1].regions
        assert llm.llm.pictures[1].content == llm_pb.CONTENT_KIND_DOCUMENTATION
        assert (region.x, region.y) < (400, 606) < (region.x + region.width, 620)

    async def test_what_could_not_be_read_is_read_with_the_next_kept_frame(self, share, llm):
        sharer = await share()
        llm.llm.see_error = Unavailable("away")
        await sharer.send(FIRST)
        await eventually(lambda: _pictures(llm, 1))
        llm.llm.see_error = None
        await sharer.send(FIRST, speech_onset=True)
        await eventually(lambda: _pictures(llm, 2))
        assert [(box.width, box.height) for box in llm.llm.pictures[-1].regions] == [(1280, 720)]

    async def test_the_newest_frame_takes_the_place_of_one_that_waits(self, share, llm):
        sharer = await share()
        llm.llm.see_gate = asyncio.Event()
        await sharer.send(FIRST)
        await eventually(lambda: _pictures(llm, 1))
        await sharer.send(SECOND)
        await sharer.send(screen("Error E-1041", "", "", "", "one more line"))
        llm.llm.see_gate.set()

        async def counted() -> bool:
            sessions = (await sharer.stats()).sessions
            return bool(sessions) and sessions[0].read_count == 2

        await eventually(counted)
        assert len(llm.llm.pictures) == 2
        assert (await sharer.stats()).sessions[0].superseded_count == 1
        # The changes of both: the digit's line, and the line that came.
        tops = sorted(box.y for box in llm.llm.pictures[-1].regions)
        assert tops[0] < 130 < 250 < tops[-1] + llm.llm.pictures[-1].regions[-1].height


async def _pictures(llm: FakeNeighbours, count: int) -> bool:
    return len(llm.llm.pictures) >= count


async def _ignored(sharer: Any, count: int) -> bool:
    stats = await sharer.stats()
    return sum(session.ignored_count for session in stats.sessions) == count
