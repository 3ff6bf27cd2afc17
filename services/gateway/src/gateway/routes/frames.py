"""Frames of a visitor's shared screen."""

from typing import Annotated
from uuid import UUID

from fleetdesk.vision_agent.v1.vision_agent_service_pb2 import (
    GetFrameStatsRequest,
    SubmitFrameRequest,
)
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath, QueryParameter

from gateway.access import Access, endpoint
from gateway.auth.principal import Role
from gateway.clients import call
from gateway.parts import GatewayRequest, parts_of
from gateway.shapes.common import MOST_EXACT
from gateway.shapes.frames import MAX_IMAGE_BYTES, FrameDecision, FrameStats

_TAGS = ["Conversations"]
_IMAGE = Schema(type=OpenAPIType.STRING, content_media_type="image/jpeg")


class _Picture(Operation):
    """The body is the picture itself."""

    def __post_init__(self) -> None:
        media = {
            kind: OpenAPIMediaType(schema=_IMAGE)
            for kind in ("image/jpeg", "image/png", "image/webp")
        }
        self.request_body = RequestBody(content=media, required=True)


@endpoint(
    "POST",
    "/v1/conversations/{conversation_id:uuid}/frames",
    Access(
        role=Role.AGENT,
        scope="conversations:write",
        visitor=True,
        cross_origin=True,
        limit="frame",
        body="image",
    ),
    max_body_bytes=MAX_IMAGE_BYTES,
    operation_class=_Picture,
    tags=_TAGS,
    summary="Send a frame",
)
async def post_frame(
    request: GatewayRequest,
    conversation_id: FromPath[UUID],
    session_id: Annotated[
        UUID, QueryParameter(description="Made up by whoever shares, once for each sharing.")
    ],
    frame_number: Annotated[
        int, QueryParameter(ge=1, le=MOST_EXACT, description="From 1, rising.")
    ],
    speech_onset: Annotated[
        bool, QueryParameter(description="Keep this frame whatever it shows.")
    ] = False,
) -> FrameDecision:
    """Takes the next frame of a shared screen and says what became of it.

    One a second is enough. The body is the picture itself: JPEG, PNG or WebP, at most 3,000,000
    bytes and 4,200,000 pixels. What a kept frame says is read afterwards; the next answers use it.
    """
    decision = await call(
        parts_of(request).clients.vision.SubmitFrame,
        SubmitFrameRequest(
            conversation_id=str(conversation_id),
            session_id=str(session_id),
            frame_number=frame_number,
            image=await request.body(),
            speech_onset=speech_onset,
        ),
    )
    return FrameDecision.of(decision)


@endpoint(
    "GET",
    "/v1/conversations/{conversation_id:uuid}/frames/stats",
    Access(role=Role.VIEWER, scope="conversations:read"),
    tags=_TAGS,
    summary="Count frames",
)
async def get_frame_stats(request: GatewayRequest, conversation_id: FromPath[UUID]) -> FrameStats:
    """Frames captured, kept and dropped, by session and type of content."""
    stats = await call(
        parts_of(request).clients.vision.GetFrameStats,
        GetFrameStatsRequest(conversation_id=str(conversation_id)),
    )
    return FrameStats.of(conversation_id, stats)


HANDLERS: list[HTTPRouteHandler] = [post_frame, get_frame_stats]
