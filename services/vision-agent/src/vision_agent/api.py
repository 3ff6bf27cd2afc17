"""VisionAgentService: translate, call, translate."""

from uuid import UUID

from fleetdesk.vision_agent.v1 import vision_agent_service_pb2 as pb
from fleetdesk.vision_agent.v1.vision_agent_service_pb2_grpc import VisionAgentServiceServicer
from fleetkit.context import current, tenant_id
from fleetkit.errors import InvalidArgument, NotFound
from fleetkit.rpc.fields import timestamp, to_optional_time, to_uuid
from grpc.aio import ServicerContext

from vision_agent import statistics, submitting
from vision_agent.config import Settings
from vision_agent.deps import Deps
from vision_agent.store import SessionKey
from vision_agent.submitting import Frame, Outcome

# Asked for exactly when it is allowed, a frame would often be too soon.
_NOT_TOO_SOON_MS = 100


class VisionAgentApi(VisionAgentServiceServicer):
    """The RPCs of vision-agent."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def SubmitFrame(
        self, request: pb.SubmitFrameRequest, context: ServicerContext
    ) -> pb.SubmitFrameResponse:
        key = SessionKey(
            tenant_id(),
            _reachable(request.conversation_id),
            to_uuid(request.session_id, "session_id"),
        )
        if request.frame_number < 1:
            raise InvalidArgument("frame_number counts from 1", field="frame_number")
        frame = Frame(
            key,
            request.frame_number,
            request.image,
            to_optional_time(request, "capture_time") or self._deps.clock.now(),
            request.speech_onset,
        )
        outcome = await submitting.submit(self._deps, frame)
        return _response(outcome, self._deps.settings)

    async def GetFrameStats(
        self, request: pb.GetFrameStatsRequest, context: ServicerContext
    ) -> pb.GetFrameStatsResponse:
        conversation_id = to_uuid(request.conversation_id, "conversation_id")
        found = await statistics.stats_of(self._deps.db, tenant_id(), conversation_id)
        response = pb.GetFrameStatsResponse()
        for session in found.sessions:
            response.sessions.add(
                session_id=str(session.session_id),
                start_time=timestamp(session.start_time),
                last_time=timestamp(session.last_time),
                ignored_count=session.ignored_count,
                superseded_count=session.superseded_count,
                read_count=session.read_count,
            )
        for row in found.counts:
            response.counts.add(
                session_id=str(row.session_id),
                content_type=submitting.type_of(row.content_type),
                captured_count=row.captured_count,
                kept_count=row.kept_count,
                duplicate_count=row.captured_count - row.kept_count,
            )
        for row in found.transitions:
            response.transitions.add(
                session_id=str(row.session_id),
                from_type=submitting.type_of(row.from_type),
                to_type=submitting.type_of(row.to_type),
                count=row.count,
            )
        return response


def _response(outcome: Outcome, settings: Settings) -> pb.SubmitFrameResponse:
    decision, interval_ms = outcome.decision, settings.frame_interval_ms
    if decision is not None and decision.waits:
        interval_ms = min(interval_ms, settings.min_frame_interval_ms + _NOT_TOO_SOON_MS)
    if decision is None:
        return pb.SubmitFrameResponse(
            frame_id=str(outcome.frame_id), reason=outcome.reason, next_frame_ms=interval_ms
        )
    return pb.SubmitFrameResponse(
        frame_id=str(outcome.frame_id),
        kept=decision.kept,
        reason=outcome.reason,
        content_type=submitting.type_of(decision.type),
        distance=decision.distance,
        threshold=decision.threshold,
        tiles_changed=decision.tiles_changed,
        tiles_restless=decision.tiles_restless,
        tiles_total=decision.tiles_total,
        next_frame_ms=interval_ms,
    )


def _reachable(text: str) -> UUID:
    """The conversation; for a visitor only their own."""
    conversation_id = to_uuid(text, "conversation_id")
    person = current().identity
    if (
        person is not None
        and person.kind == "visitor"
        and person.conversation_id != conversation_id
    ):
        raise NotFound("there is no such conversation", field="conversation_id")
    return conversation_id
