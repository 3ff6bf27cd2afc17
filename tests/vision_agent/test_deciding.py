"""What is kept of a screen, and why."""

from dataclasses import replace

import numpy as np
import pytest
from vision_agent.frames.boxes import Box
from vision_agent.frames.content import ContentType, StableType
from vision_agent.frames.deciding import Eyes, Reason, Rules

from .pictures import (
    gray,
    with_bar,
    with_caret,
    with_hand,
    with_letter,
    with_pointer,
    with_progress,
)

RULES = Rules.load()
BEFORE = ("Order 1182", "Error E-1041: sync failed", "Name: Ada Lovelace")


def shown(*pictures: np.ndarray, step_s: float = 1.0) -> list[Reason]:
    eyes = Eyes()
    return [
        eyes.look(picture, number * step_s, RULES).reason for number, picture in enumerate(pictures)
    ]


class TestLook:
    def test_the_first_frame_is_new_and_the_same_again_a_duplicate(self):
        assert shown(gray(*BEFORE), gray(*BEFORE)) == [Reason.NEW, Reason.DUPLICATE]

    @pytest.mark.parametrize(
        "after",
        [
            ("Order 1182", "Error E-1047: sync failed", "Name: Ada Lovelace"),
            ("Order 1182", "Error E-1041: sync failed", "Name: Ada Lovelac"),
            ("Order 1182", "Error E-1041: sync failed", "Name: Ada Lovelace", "x"),
        ],
        ids=["a digit", "a letter", "one letter more"],
    )
    def test_a_small_change_of_text_is_not_lost(self, after):
        eyes = Eyes()
        eyes.look(gray(*BEFORE), 0, RULES)
        eyes.look(gray(*after), 1, RULES)
        decision = eyes.look(gray(*after), 2, RULES)
        assert decision.reason is Reason.TILE_CHANGED
        assert decision.distance <= decision.threshold
        assert 1 <= decision.tiles_changed < decision.tiles_total / 10

    @pytest.mark.parametrize("last", ["", "Name: Grace Hopper", "Name: Ada Lovelace, Countess"])
    def test_a_line_and_a_word_are_seen_at_once(self, last):
        assert shown(gray(*BEFORE), gray(*BEFORE[:2], last))[1] is Reason.TILE_CHANGED

    def test_what_is_no_word_and_gone_in_the_next_frame_is_no_change(self):
        eyes, still = Eyes(), gray(*BEFORE)
        eyes.look(still, 0, RULES)
        decision = eyes.look(with_letter(still, "8", 24), 1, RULES)
        assert (decision.kept, decision.waits) == (False, True)
        assert eyes.look(still, 2, RULES).reason is Reason.DUPLICATE

    def test_what_is_no_word_is_seen_at_once_where_frames_are_far_apart(self):
        still = gray(*BEFORE)
        pictures = (still, with_letter(still, "8", 24))
        assert shown(*pictures, step_s=5)[1] is Reason.TILE_CHANGED

    def test_the_boxes_hold_the_change_and_little_else(self):
        eyes = Eyes()
        eyes.look(gray(*BEFORE), 0, RULES)
        decision = eyes.look(gray(BEFORE[0], "Error E-9999: sync failed", BEFORE[2]), 1, RULES)
        assert any(box.overlaps(Box(170, 128, 60, 24)) for box in decision.boxes)
        assert sum(box.width * box.height for box in decision.boxes) < 1280 * 720 / 10

    def test_another_screen_is_a_scene(self):
        other = 255 - gray("Quite", "", "", "another", "", "", "window", size=(1280, 720))
        assert shown(gray(*BEFORE), other)[1] is Reason.SCENE

    def test_another_size_is_said(self):
        assert shown(gray(*BEFORE), gray(*BEFORE, size=(800, 600)))[1] is Reason.RESIZED

    def test_a_blinking_caret_is_no_change(self):
        still = gray(*BEFORE)
        blink = with_caret(still, 420, 180)
        assert set(shown(still, blink, still, blink, blink, still)[1:]) == {Reason.DUPLICATE}

    def test_a_pointer_that_moves_is_no_change(self):
        still = gray(*BEFORE)
        places = ((200, 500), (600, 520), (900, 300), (901, 304))
        assert set(shown(*(with_pointer(still, *at) for at in places))[1:]) == {Reason.DUPLICATE}

    @pytest.mark.parametrize("shape", [with_pointer, with_hand, with_bar])
    def test_a_pointer_that_comes_and_goes_is_no_change(self, shape):
        still = gray(*BEFORE)
        there = shape(still, 700, 400)
        assert set(shown(still, there, still)[1:]) == {Reason.DUPLICATE}
        assert set(shown(there, still, there)[1:]) == {Reason.DUPLICATE}

    def test_a_pointer_that_becomes_another_is_no_change(self):
        still = gray(*BEFORE)
        places = (
            with_pointer(still, 700, 400),
            with_hand(still, 300, 500),
            with_bar(still, 40, 60),
        )
        assert set(shown(*places, still)[1:]) == {Reason.DUPLICATE}

    def test_two_pointers_that_come_at_once_are_a_change(self):
        still = gray(*BEFORE)
        both = with_hand(with_hand(still, 300, 500), 700, 400)
        assert shown(still, both, both)[2] is Reason.TILE_CHANGED

    @pytest.mark.parametrize("letter", "4aAbdeghkopB0389$&?")
    @pytest.mark.parametrize("size", [14, 20, 32])
    def test_a_letter_that_comes_alone_is_a_change(self, letter, size):
        still = gray(*BEFORE)
        there = with_letter(still, letter, size)
        assert shown(still, there, there)[2] is Reason.TILE_CHANGED

    def test_two_equal_digits_that_change_are_no_pointer(self):
        before, after = gray("Port 1", "", "", "Slot 1"), gray("Port 7", "", "", "Slot 7")
        assert shown(before, after, after)[2] is Reason.TILE_CHANGED

    def test_a_ticking_clock_is_waited_for_and_its_last_time_read(self):
        ticks = [gray(*BEFORE, f"10:41:{second:02}") for second in range(10)]
        eyes, quiet = Eyes(), replace(RULES, heartbeat_s=60)
        frames = [*ticks, *[ticks[-1]] * 5]
        reasons = [eyes.look(frame, at, quiet).reason for at, frame in enumerate(frames)]
        assert set(reasons[4:10]) == {Reason.DUPLICATE}
        assert reasons[10:].count(Reason.TILE_CHANGED) == 1

    def test_beside_a_ticking_clock_a_change_is_seen_at_once(self):
        ticks = [gray(*BEFORE, "", "", "", f"10:41:{second:02}") for second in range(8)]
        changed = gray("Order 1182", "Error E-2222", BEFORE[2], "", "", "", "10:41:08")
        assert shown(*ticks, changed)[-1] is Reason.TILE_CHANGED

    def test_what_does_not_rest_is_read_with_a_change_and_is_none_when_it_rests_so(self):
        eyes = Eyes()
        for second in range(8):
            eyes.look(gray(*BEFORE, f"line {second * 7919}"), second, RULES)
        changed = gray("Order 1183", *BEFORE[1:], "line 99999")
        decision = eyes.look(changed, 8, RULES)
        assert decision.reason is Reason.TILE_CHANGED
        assert decision.tiles_restless == 0
        rests = [eyes.look(changed, 9 + second, RULES).reason for second in range(3)]
        assert rests == [Reason.DUPLICATE] * 3

    def test_an_unchanged_screen_is_confirmed_from_time_to_time(self):
        still = gray(*BEFORE)
        reasons = shown(*([still] * 25))
        assert [n for n, reason in enumerate(reasons) if reason is Reason.HEARTBEAT] == [10, 20]

    def test_a_heartbeat_has_nothing_to_read(self):
        eyes = Eyes()
        eyes.look(gray(*BEFORE), 0, RULES)
        assert eyes.look(gray(*BEFORE), 11, RULES).boxes == ()

    def test_a_bar_of_progress_keeps_no_frame_and_is_told_with_the_next_one_that_is(self):
        eyes, still = Eyes(), gray(*BEFORE)
        looks = [
            eyes.look(with_progress(still, done), at, RULES)
            for at, done in enumerate(range(0, 400, 30))
        ]
        kept = {at: look for at, look in enumerate(looks) if look.kept}
        assert list(kept) == [0, 10]
        assert kept[10].reason is Reason.HEARTBEAT
        assert kept[10].boxes == ()
        assert kept[10].blocks[0].overlaps(Box(200, 600, 300, 12))
        after = eyes.look(with_progress(gray(*BEFORE, "Done"), 400), 13, RULES)
        assert after.reason is Reason.TILE_CHANGED
        assert len(after.blocks) == 1
        assert eyes.look(with_progress(gray(*BEFORE, "Done"), 400), 24, RULES).blocks == ()

    def test_what_never_rests_is_read_with_the_heartbeat(self):
        eyes = Eyes()
        for second in range(10):
            eyes.look(gray(*BEFORE, f"line {second * 7919}"), second, RULES)
        decision = eyes.look(gray(*BEFORE, "line 99999"), 15, RULES)
        assert decision.kept
        assert decision.boxes

    def test_speech_makes_the_next_frame_fresh(self):
        eyes = Eyes()
        eyes.look(gray(*BEFORE), 0, RULES)
        decision = eyes.look(gray(*BEFORE), 1, RULES, fresh=True)
        assert decision.reason is Reason.SPEECH_ONSET

    def test_noise_of_the_compression_is_no_change(self):
        noise = np.random.default_rng(3).integers(-6, 7, (720, 1280))
        still = gray(*BEFORE)
        noisy = np.clip(still.astype(int) + noise, 0, 255).astype(np.uint8)
        assert shown(still, noisy)[1] is Reason.DUPLICATE


class TestStableType:
    def test_another_type_has_to_come_three_times(self):
        stable = StableType()
        code, ui = ContentType.CODE_TEXT, ContentType.STATIC_UI
        changes = [stable.see(kind) for kind in (code, ui, ui, code, ui, ui, ui)]
        assert changes == [False] * 6 + [True]
        assert stable.type is ui
