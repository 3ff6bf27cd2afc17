"""The screens that are remembered: how many, for how long, and what of them goes."""

import asyncio
import time
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from fleetkit.context import Attribution
from fleetkit.errors import InvalidArgument
from harness.drawing import screen
from harness.waiting import eventually
from vision_agent.frames.boxes import Box
from vision_agent.frames.content import ContentType
from vision_agent.frames.images import FrameLimits
from vision_agent.screens import Screen, Screens, TextLine, Unread
from vision_agent.store import SessionKey
from vision_agent.submitting import pixels_of

TENANT = uuid4()
BOX = Box(0, 0, 64, 64)


def shared(conversation_id: UUID | None = None, tenant_id: UUID = TENANT) -> Screen:
    key = SessionKey(tenant_id, conversation_id or uuid4(), uuid4())
    screen = Screen(key, Attribution(purpose="screen"), time.monotonic() + 60)
    screen.lines = [TextLine("secret", BOX)]
    screen.unread = Unread(
        uuid4(), b"picture", (64, 64), (BOX,), datetime.now(UTC), ContentType.CODE_TEXT
    )
    return screen


def quiet(screen: Screen) -> Screen:
    screen.seen_at -= 1_000
    return screen


class TestPixelsOf:
    def test_what_is_sent_again_is_decoded_once(self):
        shown, limits = shared(), FrameLimits()
        first = pixels_of(shown, screen("Order 1182"), limits)
        assert pixels_of(shown, screen("Order 1182"), limits) is first
        other = pixels_of(shown, screen("Order 1183"), limits)
        assert (other != first).any()
        with pytest.raises(InvalidArgument):
            pixels_of(shown, b"no picture", limits)
        assert pixels_of(shown, screen("Order 1183"), limits) is other


class TestScreens:
    def test_one_that_never_showed_anything_keeps_no_other(self):
        screens = Screens(10, 10, 120)
        quiet(screens.add(shared()))
        other = quiet(screens.add(shared()))
        other.came_at = time.monotonic() - 1_000
        screens.forget_quiet()
        assert len(screens) == 0

    def test_a_conversation_has_two(self):
        screens, conversation_id = Screens(10, 10, 120), uuid4()
        bystander = screens.add(shared())
        mine = [screens.add(shared(conversation_id)) for _ in range(5)]
        assert [one for one in mine if screens.get(one.key)] == mine[-2:]
        assert screens.get(bystander.key) is bystander

    def test_the_longest_unseen_of_too_many_goes(self):
        screens = Screens(2, 2, 120)
        first, second = screens.add(shared()), screens.add(shared())
        screens.get(first.key)
        screens.add(shared())
        assert screens.get(first.key) is first
        assert screens.get(second.key) is None

    def test_a_tenant_within_its_share_loses_none_to_another(self):
        screens, small = Screens(6, 6, 120), uuid4()
        mine = [screens.add(shared(tenant_id=small)) for _ in range(2)]
        for _ in range(20):
            screens.add(shared())
        assert len(screens) == 6
        assert [screens.get(one.key) for one in mine] == mine

    def test_a_tenant_has_no_more_than_its_bound(self):
        screens, bystander = Screens(10, 3, 120), uuid4()
        other = screens.add(shared(tenant_id=bystander))
        flood = [screens.add(shared()) for _ in range(9)]
        assert [one for one in flood if screens.get(one.key)] == flood[-3:]
        assert screens.get(other.key) is other

    def test_what_goes_is_neither_kept_nor_read(self):
        screens = Screens(1, 1, 120)
        gone = screens.add(shared())
        screens.add(shared())
        assert (gone.unread, gone.lines) == (None, [])

    async def test_quiet_ones_go_while_nobody_shares(self):
        screens = Screens(10, 10, 0.01)
        screens.add(shared())
        forgetting = asyncio.create_task(screens.forget_forever())

        async def all_gone() -> bool:
            return len(screens) == 0

        await eventually(all_gone)
        forgetting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forgetting
