"""Having kept frames read, and telling the conversation what its visitor's screen says.

Of each screen at most one frame waits: a newer one takes the older one's place and its unread
parts, so a slow reader falls behind by frames, never by time.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from fleetdesk.conversation.v1 import conversation_service_pb2 as conversation_pb
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as llm_pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.context import background, deadline_in
from fleetkit.errors import FleetError
from fleetkit.logging import get_logger
from fleetkit.rpc.fields import timestamp
from fleetkit.rpc.retry import retry_idempotent
from fleetkit.telemetry import counter

from vision_agent.frames.boxes import Box, around, united
from vision_agent.frames.content import ContentType
from vision_agent.screens import Screen, Sight, TextLine, Unread
from vision_agent.statistics import Statistics

_MAX_REGIONS = 32
_MAX_TEXT_CHARS = 4_000
_LEAST_CONFIDENCE_MILLIS = 500
# Lines whose middles are closer than this share of their height stand side by side.
_SAME_ROW = 0.5
_CONTENTS = {
    ContentType.CODE_TEXT: llm_pb.CONTENT_KIND_CODE_TEXT,
    ContentType.STATIC_UI: llm_pb.CONTENT_KIND_STATIC_UI,
    ContentType.DOCUMENTATION: llm_pb.CONTENT_KIND_DOCUMENTATION,
    ContentType.VIDEO: llm_pb.CONTENT_KIND_VIDEO,
}


class Reading:
    """The frames that wait to be read; `read_forever` is run by as many tasks as may read."""

    def __init__(
        self,
        llm_gateway: LlmGatewayServiceStub,
        conversation: ConversationServiceStub,
        statistics: Statistics,
        timeout_s: float,
    ) -> None:
        self._llm_gateway = llm_gateway
        self._conversation = conversation
        self._statistics = statistics
        self._timeout_s = timeout_s
        self._waiting: asyncio.Queue[Screen] = asyncio.Queue()
        self._failures = counter(
            "fleetdesk_vision_unread_total", "Kept frames that could not be read.", ("error",)
        )

    def put(self, screen: Screen, unread: Unread) -> None:
        """Queues a kept frame; one of the same screen that still waits is superseded.

        What changed without text is put aside until the screen rests, then looked at with the
        frame that is kept anyhow.
        """
        unread = with_pictures(screen, unread)
        older = screen.unread
        boxes = (*screen.missed, *unread.boxes)
        screen.missed = ()
        if older is not None:
            if older.boxes:
                self._statistics.superseded(screen.key)
            if older.size == unread.size:
                boxes = (*older.boxes, *boxes)
        screen.unread = replace(unread, boxes=merged(boxes, unread.size))
        if older is None and not screen.reading:
            self._waiting.put_nowait(screen)

    async def read_forever(self) -> None:
        """Reads one frame after the other."""
        while True:
            screen = await self._waiting.get()
            unread, screen.unread = screen.unread, None
            if unread is None:
                continue
            screen.reading = True
            try:
                await self._read(screen, unread)
            except FleetError as error:
                self._failed(screen, unread, error)
            finally:
                screen.reading = False
                if screen.unread is not None:
                    self._waiting.put_nowait(screen)

    def _failed(self, screen: Screen, unread: Unread, error: FleetError) -> None:
        """What could not be read is read with the next kept frame, at the latest a heartbeat."""
        self._failures.labels(type(error).__name__).inc()
        get_logger().warning(
            "frame_not_read",
            conversation_id=str(screen.key.conversation_id),
            error=type(error).__name__,
            reason=error.reason,
        )
        screen.missed = (*screen.missed, *unread.boxes)

    async def _read(self, screen: Screen, unread: Unread) -> None:
        with background(screen.key.tenant_id, screen.attribution), deadline_in(self._timeout_s):
            if unread.boxes:
                await self._see(screen, unread)
                self._statistics.read(screen.key)
            request = conversation_pb.AddObservationRequest(
                conversation_id=str(screen.key.conversation_id),
                frame_id=str(unread.frame_id),
                text=as_text(screen.lines, screen.sight.text),
                capture_time=timestamp(unread.captured),
            )
            await retry_idempotent(lambda: self._conversation.AddObservation(request))

    async def _see(self, screen: Screen, unread: Unread) -> None:
        """Reads the changed parts anew; what stands elsewhere, and was seen, is as it was."""
        regions = whole_lines(unread.boxes, screen.lines, unread.size)
        request = llm_pb.SeeRequest(
            image=unread.image,
            regions=[
                llm_pb.PixelBox(x=box.x, y=box.y, width=box.width, height=box.height)
                for box in regions
            ],
            content=_CONTENTS[unread.content],
        )
        response = await self._llm_gateway.See(request)
        kept = [line for line in screen.lines if not _meets(line.box, regions)]
        read = [
            TextLine(line.text, Box(line.box.x, line.box.y, line.box.width, line.box.height))
            for line in response.lines
            if line.confidence_millis >= _LEAST_CONFIDENCE_MILLIS
        ]
        screen.lines = [*kept, *read]
        if response.description:
            screen.sight = Sight(response.description, regions)
        elif any(_meets(box, regions) for box in screen.sight.boxes):
            screen.sight = Sight()
        if unread.content is ContentType.STATIC_UI and not response.description:
            texts = [line.box for line in read]
            textless = (box for box in regions if not _meets(box, texts))
            screen.pictures = merged((*screen.pictures, *textless), unread.size)


def with_pictures(screen: Screen, unread: Unread) -> Unread:
    """The frame with what is to be looked at of it, if nothing else changed for a while."""
    if Box(0, 0, *unread.size) in unread.boxes:
        screen.pictures = ()
        return unread
    screen.pictures = merged((*screen.pictures, *unread.blocks), unread.size)
    if not unread.rested or not screen.pictures:
        return unread
    boxes, screen.pictures = (*unread.boxes, *screen.pictures), ()
    return replace(unread, boxes=boxes, content=ContentType.DOCUMENTATION)


def whole_lines(
    boxes: Iterable[Box], lines: Iterable[TextLine], size: tuple[int, int]
) -> tuple[Box, ...]:
    """Boxes grown around every known line that they touch, so that no line is read in half."""
    grown: list[Box] = []
    known = list(lines)
    for box in boxes:
        whole = box
        for line in known:
            if line.box.overlaps(box):
                whole = around(whole, line.box)
        grown.append(whole)
    return merged(grown, size)


def merged(boxes: Iterable[Box], size: tuple[int, int]) -> tuple[Box, ...]:
    """Boxes within the frame, those that overlap made one; the whole frame when they are many."""
    found = united(_within(box, size) for box in boxes)
    if len(found) > _MAX_REGIONS:
        return (Box(0, 0, *size),)
    return tuple(found)


def _meets(box: Box, others: Iterable[Box]) -> bool:
    return any(box.overlaps(other) for other in others)


def as_text(lines: Iterable[TextLine], shows: str = "") -> str:
    """Lines in reading order, those of one row side by side; at most 4,000 characters.

    `shows`, what is to be seen beside text, stands at the end.
    """
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.box.y + line.box.height / 2):
        last = rows[-1][-1] if rows else None
        if last is not None and _middle(line) - _middle(last) < _SAME_ROW * last.box.height:
            rows[-1].append(line)
        else:
            rows.append([line])
    texts = ["  ".join(each.text for each in sorted(row, key=lambda n: n.box.x)) for row in rows]
    return "\n".join(filter(None, [*texts, shows]))[:_MAX_TEXT_CHARS].replace("\0", "")


def _middle(line: TextLine) -> float:
    return line.box.y + line.box.height / 2


def _within(box: Box, size: tuple[int, int]) -> Box:
    x, y = max(box.x, 0), max(box.y, 0)
    right, bottom = min(box.x + box.width, size[0]), min(box.y + box.height, size[1])
    return Box(x, y, max(right - x, 1), max(bottom - y, 1))
