"""Pointers over text, cut off, overlapping; and what a reader would not miss."""

import cv2
import pytest
from vision_agent.frames.deciding import Eyes, Reason, Rules
from vision_agent.frames.images import Gray

from .pictures import gray, with_rimmed, with_text

RULES = Rules.load()
STILL = gray("Order 1182 is on its way to you", "Error E-1041: sync failed", "Name: Ada Lovelace")
# Over the first line, over the second one, and where nothing is.
OVER, ELSEWHERE, CLEAR = (180, 84), (240, 134), (700, 400)
SHAPES = ["arrow", "hand"]


def reasons(*pictures: Gray) -> list[Reason]:
    eyes = Eyes()
    return [eyes.look(picture, at, RULES).reason for at, picture in enumerate(pictures)][1:]


def unseen(*pictures: Gray) -> bool:
    return set(reasons(*pictures)) == {Reason.DUPLICATE}


class TestPointers:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_one_over_text_is_told_by_how_pointers_look(self, shape):
        assert unseen(STILL, with_rimmed(STILL, *OVER, shape))
        assert unseen(with_rimmed(STILL, *OVER, shape), with_rimmed(STILL, *ELSEWHERE, shape))

    def test_one_that_becomes_another_over_text_is_no_change(self):
        assert unseen(with_rimmed(STILL, *OVER, "arrow"), with_rimmed(STILL, *ELSEWHERE, "hand"))

    @pytest.mark.parametrize("shape", SHAPES)
    def test_one_that_moved_a_little_is_no_change(self, shape):
        x, y = OVER
        near = with_rimmed(STILL, x + 5, y + 4, shape)
        assert unseen(with_rimmed(STILL, *OVER, shape), near)

    def test_one_that_was_seen_whole_is_known_where_the_frame_cuts_it_off(self):
        height, width = STILL.shape
        low, right = (500, height - 11), (width - 8, 500)
        frames = [STILL, with_rimmed(STILL, *CLEAR), with_rimmed(STILL, *low), STILL]
        assert unseen(*frames, with_rimmed(STILL, *right))

    def test_one_that_a_line_along_the_edge_hides_is_known_there_too(self):
        lined = STILL.copy()
        lined[-1], lined[:, -1] = 0, 0
        height, width = lined.shape
        for place in ((500, height - 11), (width - 8, 500)):
            cut_off = with_rimmed(lined, *place)
            cut_off[-1], cut_off[:, -1] = 0, 0
            assert unseen(with_rimmed(lined, *CLEAR), cut_off, cut_off, lined)

    def test_a_small_bar_over_text_is_no_change(self):
        bar = STILL.copy()
        bar[400:414, 703] = 0
        bar[[400, 413], 700:703] = bar[[400, 413], 704:707] = 0
        bar[[400, 413], 703] = 255
        bar[[401, 412], 702:705] = 0
        assert unseen(STILL, bar, bar, STILL)

    def test_one_of_another_shape_is_read_once_and_known_when_it_moves(self):
        places = (OVER, OVER, ELSEWHERE, (300, 82), CLEAR)
        found = reasons(STILL, *(with_rimmed(STILL, *at, "cross") for at in places))
        assert found == [Reason.DUPLICATE, Reason.TILE_CHANGED, *[Reason.DUPLICATE] * 3]

    def test_a_change_of_text_beside_it_is_seen(self):
        frames = [STILL, with_rimmed(STILL, *OVER), with_rimmed(STILL, *ELSEWHERE)]
        changed = with_text(with_rimmed(STILL, *OVER), "Retry", 700, 400, 14)
        assert reasons(*frames, changed)[-1] is Reason.TILE_CHANGED


class TestText:
    def test_a_letter_that_comes_again_elsewhere_is_a_change(self):
        once = with_text(STILL, "8", 700, 400, 24)
        again = with_text(once, "8", 300, 500, 24)
        assert reasons(STILL, once, once, again, again)[1::2] == [Reason.TILE_CHANGED] * 2

    def test_a_label_that_goes_and_comes_elsewhere_is_a_change(self):
        here, there = (with_text(STILL, "On", *at, 24) for at in ((700, 400), (300, 500)))
        frames = (STILL, here, here, STILL, STILL, there, there)
        assert reasons(*frames).count(Reason.TILE_CHANGED) == 3

    def test_text_that_fades_in_is_seen(self):
        frames = [with_text(STILL, "Saved", 700, 400, 14, ink) for ink in range(255, 0, -20)]
        assert Reason.TILE_CHANGED in reasons(STILL, *frames)


class TestWhatHoldsNoText:
    def test_an_underline_and_a_ring_are_no_change(self):
        lined, ringed = STILL.copy(), STILL.copy()
        lined[106:108, 100:210] = 0
        cv2.rectangle(ringed, (88, 72), (240, 112), (0,), 2)
        assert unseen(STILL, lined, STILL)
        assert unseen(STILL, ringed, STILL)

    def test_the_thumb_of_a_scroll_bar_is_none(self):
        frames = []
        for top in (100, 130, 400):
            frame = STILL.copy()
            frame[top : top + 120, 1262:1274] = 120
            frames.append(frame)
        assert unseen(STILL, *frames)

    def test_a_dot_beside_an_icon_is_none_and_a_number_in_it_is(self):
        dotted, numbered = STILL.copy(), STILL.copy()
        cv2.circle(dotted, (1100, 60), 4, (120,), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(numbered, (1100, 60), 9, (120,), cv2.FILLED, cv2.LINE_AA)
        numbered = with_text(numbered, "3", 1096, 52, 14, ink=255)
        assert unseen(STILL, dotted, dotted, STILL, STILL)
        assert reasons(STILL, numbered, numbered)[1] is Reason.TILE_CHANGED

    def test_a_small_graph_is_none_and_a_word_of_its_size_is(self):
        graphs = [STILL.copy() for _ in range(3)]
        for number, picture in enumerate(graphs):
            picture[690:714, 900:960] = 0
            for x in range(60):
                picture[712 - (x * (number + 3) * 7) % 13 : 712, 900 + x] = 75
        assert unseen(*graphs)
        assert reasons(STILL, with_text(STILL, "Till", 900, 694, 18))[0] is Reason.TILE_CHANGED

    def test_a_block_that_hides_text_is_a_change(self):
        hidden = STILL.copy()
        hidden[120:160, 95:420] = 255
        assert reasons(STILL, hidden) == [Reason.TILE_CHANGED]
