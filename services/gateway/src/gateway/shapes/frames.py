"""Frames of a shared screen in JSON."""

from datetime import datetime
from uuid import UUID

from fleetdesk.vision_agent.v1 import vision_agent_service_pb2 as pb
from msgspec import Struct

from gateway.shapes.common import label_of, time_of

MAX_IMAGE_BYTES = 3_000_000
_REASON = "FRAME_REASON_"
_TYPE = "CONTENT_TYPE_"


class FrameDecision(Struct, frozen=True):
    """What became of a frame.

    `reason`: kept as `new`, `resized`, `speech_onset`, `scene`, `tile_changed` or `heartbeat`;
    dropped as `duplicate`; ignored as `out_of_order` or `too_soon`. `distance`: bits of 64 in
    which its perceptual hash differs from the last kept frame's; above `threshold` it is another
    scene. Wait `next_frame_ms` before the next frame.
    """

    frame_id: UUID
    kept: bool
    reason: str
    content_type: str | None
    distance: int
    threshold: int
    tiles_changed: int
    tiles_restless: int
    tiles_total: int
    next_frame_ms: int

    @classmethod
    def of(cls, decision: pb.SubmitFrameResponse) -> "FrameDecision":
        """From the proto."""
        return cls(
            frame_id=UUID(decision.frame_id),
            kept=decision.kept,
            reason=label_of(pb.FrameReason, decision.reason, _REASON) or "unknown",
            content_type=label_of(pb.ContentType, decision.content_type, _TYPE),
            distance=decision.distance,
            threshold=decision.threshold,
            tiles_changed=decision.tiles_changed,
            tiles_restless=decision.tiles_restless,
            tiles_total=decision.tiles_total,
            next_frame_ms=decision.next_frame_ms,
        )


class FrameCounts(Struct, frozen=True):
    """Frames of one type of content. `duplicate_share` is of those captured, 0–1."""

    content_type: str | None
    captured: int
    kept: int
    duplicates: int
    duplicate_share: float


class TypeTransition(Struct, frozen=True):
    """How often the screen went from one type to another."""

    from_type: str | None
    to_type: str | None
    count: int


class FrameSession(Struct, frozen=True):
    """One sharing session. `ignored` frames came out of order or too soon.

    `superseded` ones were kept, but a newer one was read instead.
    """

    session_id: UUID
    start_time: datetime
    last_time: datetime
    ignored: int
    superseded: int
    read: int
    by_type: list[FrameCounts]
    transitions: list[TypeTransition]


class FrameStats(Struct, frozen=True):
    """The frames of a conversation, a few seconds behind."""

    conversation_id: UUID
    captured: int
    kept: int
    duplicates: int
    duplicate_share: float
    sessions: list[FrameSession]

    @classmethod
    def of(cls, conversation_id: UUID, stats: pb.GetFrameStatsResponse) -> "FrameStats":
        """From the proto."""
        captured = sum(row.captured_count for row in stats.counts)
        kept = sum(row.kept_count for row in stats.counts)
        return cls(
            conversation_id=conversation_id,
            captured=captured,
            kept=kept,
            duplicates=captured - kept,
            duplicate_share=_share(captured - kept, captured),
            sessions=[_session(session, stats) for session in stats.sessions],
        )


def _session(session: pb.FrameSession, stats: pb.GetFrameStatsResponse) -> FrameSession:
    return FrameSession(
        session_id=UUID(session.session_id),
        start_time=time_of(session.start_time),
        last_time=time_of(session.last_time),
        ignored=session.ignored_count,
        superseded=session.superseded_count,
        read=session.read_count,
        by_type=[
            FrameCounts(
                content_type=label_of(pb.ContentType, row.content_type, _TYPE),
                captured=row.captured_count,
                kept=row.kept_count,
                duplicates=row.duplicate_count,
                duplicate_share=_share(row.duplicate_count, row.captured_count),
            )
            for row in stats.counts
            if row.session_id == session.session_id
        ],
        transitions=[
            TypeTransition(
                from_type=label_of(pb.ContentType, row.from_type, _TYPE),
                to_type=label_of(pb.ContentType, row.to_type, _TYPE),
                count=row.count,
            )
            for row in stats.transitions
            if row.session_id == session.session_id
        ],
    )


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
