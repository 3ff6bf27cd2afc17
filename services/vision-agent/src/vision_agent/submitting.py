"""Taking one frame: may it be looked at, is it its turn, does it show anything new."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from fleetdesk.billing.v1 import billing_service_pb2 as billing_pb
from fleetdesk.conversation.v1 import conversation_service_pb2 as conversation_pb
from fleetdesk.vision_agent.v1 import events_pb2
from fleetdesk.vision_agent.v1 import vision_agent_service_pb2 as pb
from fleetkit.context import Attribution
from fleetkit.errors import FailedPrecondition, FleetError, NotFound
from fleetkit.ids import new_id
from fleetkit.logging import get_logger
from fleetkit.rpc.retry import retry_idempotent

from vision_agent.deps import Deps
from vision_agent.frames import images
from vision_agent.frames.deciding import Decision, Reason
from vision_agent.screens import Screen, Unread
from vision_agent.statistics import log_every_100
from vision_agent.store import SessionKey

_PURPOSE = "screen"
_ALLOWED_S = 60.0
_NEIGHBOUR_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it was sent; its number is above 0."""

    key: SessionKey
    number: int
    image: bytes
    capture_time: datetime
    speech_onset: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a frame; without a decision it was ignored, for `reason`."""

    frame_id: UUID
    reason: "pb.FrameReason.ValueType"
    decision: Decision | None = None


async def submit(deps: Deps, frame: Frame) -> Outcome:
    """Decides about a frame, counts it, and queues it for reading when it is kept.

    FailedPrecondition when the agent (SCREEN_SHARING_OFF) or the plan (VIDEO_NOT_ENTITLED) does
    not look at screens; InvalidArgument for what is no picture.
    """
    # Checked first: what is no picture must not cost a look-up.
    size = await asyncio.to_thread(images.check, frame.image, deps.limits)
    screen = await _screen(deps, frame.key)
    async with screen.turn:
        ignored = _out_of_turn(deps, screen, frame)
        if ignored is not None:
            deps.statistics.ignored(frame.key)
            return Outcome(new_id(), ignored)
        decision = await asyncio.to_thread(_look, deps, screen, frame)
        # Only now: a damaged frame may be sent again.
        screen.last_number = frame.number
        screen.came_at = time.monotonic()
        return _record(deps, screen, frame, size, decision)


def pixels_of(screen: Screen, image: bytes, limits: images.FrameLimits) -> images.Gray:
    """The image decoded, once only where a screen that stands still sends the same one again.

    InvalidArgument as `images.to_gray`.
    """
    digest = sha256(image).digest()
    if screen.decoded is None or screen.decoded[0] != digest:
        screen.decoded = digest, images.to_gray(image, limits)
    return screen.decoded[1]


def reason_of(reason: Reason) -> "pb.FrameReason.ValueType":
    """A reason as a proto."""
    return pb.FrameReason.Value(f"FRAME_REASON_{reason.name}")


def type_of(name: str) -> "pb.ContentType.ValueType":
    """A type of content as a proto."""
    return pb.ContentType.Value(f"CONTENT_TYPE_{name.upper()}")


async def _screen(deps: Deps, key: SessionKey) -> Screen:
    """The screen, known or new; whether it may be looked at is asked again every minute."""
    known = deps.screens.get(key)
    if known is not None and time.monotonic() < known.allowed_until:
        return known
    try:
        attribution = await _allowed(deps, key)
    except (FailedPrecondition, NotFound):
        # Switched off or erased meanwhile: what was seen until then goes, too.
        deps.screens.drop(key)
        raise
    until = time.monotonic() + _ALLOWED_S
    screen = deps.screens.add(Screen(key, attribution, until))
    screen.allowed_until = until
    return screen


async def _allowed(deps: Deps, key: SessionKey) -> Attribution:
    """Whom the costs are for; FailedPrecondition, or NotFound without such a conversation."""
    asked = conversation_pb.GetScreenSharingRequest(conversation_id=str(key.conversation_id))
    sharing = await retry_idempotent(
        lambda: deps.conversation.GetScreenSharing(asked, timeout=_NEIGHBOUR_TIMEOUT_S)
    )
    if not sharing.screen_sharing:
        raise FailedPrecondition(
            "this agent does not look at screens: switch screen sharing on in its settings",
            reason="SCREEN_SHARING_OFF",
        )
    wanted = billing_pb.CheckEntitlementRequest(capability=billing_pb.CAPABILITY_VIDEO)
    try:
        entitled = await retry_idempotent(
            lambda: deps.billing.CheckEntitlement(wanted, timeout=_NEIGHBOUR_TIMEOUT_S)
        )
    except FleetError as error:
        # As with texts: an outage of ours is no reason to leave the visitor.
        get_logger().warning("entitlement_unknown", error=type(error).__name__)
    else:
        if not entitled.allowed:
            raise FailedPrecondition(
                "the plan does not include screen sharing, or its minutes are used up",
                reason="VIDEO_NOT_ENTITLED",
            )
    return Attribution(
        purpose=_PURPOSE,
        conversation_id=key.conversation_id,
        agent_id=UUID(sharing.agent_id),
        visitor_id=UUID(sharing.visitor_id),
    )


def _out_of_turn(deps: Deps, screen: Screen, frame: Frame) -> "pb.FrameReason.ValueType | None":
    if frame.number <= screen.last_number:
        return pb.FRAME_REASON_OUT_OF_ORDER
    if time.monotonic() - screen.came_at < deps.settings.min_frame_interval_ms / 1000:
        return pb.FRAME_REASON_TOO_SOON
    return None


def _look(deps: Deps, screen: Screen, frame: Frame) -> Decision:
    gray = pixels_of(screen, frame.image, deps.limits)
    return screen.eyes.look(
        gray, frame.capture_time.timestamp(), deps.rules, fresh=frame.speech_onset
    )


def _record(
    deps: Deps, screen: Screen, frame: Frame, size: tuple[int, int], decision: Decision
) -> Outcome:
    frame_id = new_id()
    screen.captured += 1
    event = None
    if decision.kept:
        screen.kept += 1
        event = events_pb2.FrameKept(
            frame_id=str(frame_id),
            conversation_id=str(frame.key.conversation_id),
            session_id=str(frame.key.session_id),
            reason=reason_of(decision.reason),
            content_type=type_of(decision.type),
            tiles_changed=decision.tiles_changed,
        )
        captured = deps.clock.now()
        unread = Unread(
            frame_id,
            frame.image,
            size,
            decision.boxes,
            captured,
            decision.type,
            decision.blocks,
            rested=decision.reason is Reason.HEARTBEAT,
        )
        deps.reading.put(screen, unread)
    deps.statistics.decided(frame.key, decision.type, decision.type_changed_from, event)
    log_every_100(frame.key, screen.captured, screen.kept)
    return Outcome(frame_id, reason_of(decision.reason), decision)
