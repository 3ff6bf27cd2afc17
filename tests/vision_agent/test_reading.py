"""Which parts of a kept frame are read, and what text comes of it."""

from datetime import UTC, datetime
from uuid import uuid4

from fleetkit.context import Attribution
from vision_agent.frames.boxes import Box
from vision_agent.frames.content import ContentType
from vision_agent.reading import as_text, merged, whole_lines, with_pictures
from vision_agent.screens import Screen, TextLine, Unread
from vision_agent.store import SessionKey

SIZE = (1280, 720)


def line(text: str, x: int, y: int, width: int = 100, height: int = 20) -> TextLine:
    return TextLine(text, Box(x, y, width, height))


class TestWholeLines:
    def test_a_box_grows_around_the_lines_that_it_touches(self):
        (box,) = whole_lines([Box(200, 100, 64, 32)], [line("a", 20, 105, width=400)], SIZE)
        assert (box.x, box.x + box.width) == (20, 420)

    def test_other_lines_stay_out(self):
        (box,) = whole_lines([Box(200, 100, 64, 32)], [line("a", 20, 300)], SIZE)
        assert box == Box(200, 100, 64, 32)


class TestMerged:
    def test_boxes_that_overlap_become_one(self):
        found = merged([Box(0, 0, 50, 50), Box(100, 0, 50, 50), Box(40, 10, 70, 10)], SIZE)
        assert found == (Box(0, 0, 150, 50),)

    def test_nothing_reaches_over_the_edge(self):
        assert merged([Box(1270, 700, 50, 50)], SIZE) == (Box(1270, 700, 10, 20),)

    def test_many_boxes_are_the_whole_frame(self):
        many = [Box(column * 30, row * 30, 10, 10) for column in range(9) for row in range(9)]
        assert merged(many, SIZE) == (Box(0, 0, 1280, 720),)


class TestWithPictures:
    BLOCK = Box(200, 600, 64, 12)

    def shared(self) -> Screen:
        key = SessionKey(uuid4(), uuid4(), uuid4())
        return Screen(key, Attribution(purpose="screen"), 0)

    def unread(self, *boxes: Box, blocks: tuple[Box, ...] = (), rested: bool = False) -> Unread:
        kind = ContentType.STATIC_UI
        return Unread(uuid4(), b"", SIZE, boxes, datetime.now(UTC), kind, blocks, rested)

    def test_they_are_looked_at_once_when_the_screen_rests(self):
        screen, text = self.shared(), self.unread(Box(0, 0, 64, 64), blocks=(self.BLOCK,))
        assert with_pictures(screen, text) == text
        looked = with_pictures(screen, self.unread(rested=True))
        assert (looked.boxes, looked.content) == ((self.BLOCK,), ContentType.DOCUMENTATION)
        assert with_pictures(screen, self.unread(rested=True)).boxes == ()

    def test_they_are_forgotten_when_all_is_read(self):
        screen = self.shared()
        with_pictures(screen, self.unread(blocks=(self.BLOCK,)))
        with_pictures(screen, self.unread(Box(0, 0, *SIZE)))
        assert screen.pictures == ()


class TestAsText:
    def test_lines_stand_in_reading_order(self):
        lines = [line("third", 0, 60), line("second", 300, 3), line("first", 0, 0)]
        assert as_text(lines) == "first  second\nthird"
        assert as_text(lines, "A flow chart.") == "first  second\nthird\nA flow chart."

    def test_it_has_a_limit(self):
        assert len(as_text(line("x" * 300, 0, y * 30) for y in range(40))) == 4_000
