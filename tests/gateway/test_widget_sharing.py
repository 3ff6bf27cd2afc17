"""Sharing the screen in the widget: asked first, seen while it lasts, ended for good."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from fakes.widget_gateway import WidgetGateway
from harness.browser import built_assets
from harness.sharing import with_refusal, with_screen, without_screen
from harness.waiting import eventually
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PAGE = """<!doctype html><html lang="en"><title>A shop</title><main><h1>A shop</h1>
<script async src="/widget.js" data-agent="0192f000-0000-7000-8000-0000000000aa"{more}></script>
</main></html>"""
DECISION = {"kept": True, "reason": "new", "next_frame_ms": 300}


@dataclass
class Frames:
    """The gateway's frames route."""

    bodies: list[bytes] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def handle(self, route: Route) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.bodies.append(route.request.post_data_buffer or b"")
        self.urls.append(route.request.url)
        status, body = self.answers.pop(0) if self.answers else (200, DECISION)
        await route.fulfill(status=status, content_type="application/json", body=json.dumps(body))
        self.in_flight -= 1

    async def count(self, at_least: int) -> bool:
        return len(self.bodies) >= at_least


@pytest_asyncio.fixture(loop_scope="module")
async def context(module_browser: Browser) -> AsyncIterator[BrowserContext]:
    made = await module_browser.new_context(
        viewport={"width": 1000, "height": 760}, locale="en-US", reduced_motion="reduce"
    )
    yield made
    await made.close()


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest_asyncio.fixture(loop_scope="module")
async def gateway() -> AsyncIterator[WidgetGateway]:
    script = (built_assets() / "widget.js").read_bytes()
    pages = {"/widget.js": ("text/javascript", script, {})}
    for path, more in (("/", ""), ("/ar", ' data-lang="ar"')):
        pages[path] = ("text/html; charset=utf-8", _PAGE.format(more=more).encode(), {})
    async with WidgetGateway(pages) as served:
        served.agent["screen_sharing"] = True
        yield served


async def opened(
    context: BrowserContext, gateway: WidgetGateway, frames: Frames, prepare: Any = with_screen
) -> Page:
    page = await context.new_page()
    await prepare(page)
    await page.route("**/frames?*", frames.handle)
    await page.goto(gateway.url)
    await page.get_by_role("button", name="Chat with us").click()
    await expect(page.get_by_text("Hello! I am an AI assistant.")).to_be_visible()
    return page


async def shared(page: Page) -> None:
    await page.get_by_role("button", name="Share screen").click()
    await page.get_by_role("button", name="Choose what to share").click()
    await expect(page.get_by_role("button", name="Stop sharing")).to_be_visible()


class TestOffering:
    async def test_not_where_the_agent_does_not_look(self, context, gateway, frames) -> None:
        gateway.agent["screen_sharing"] = False
        page = await opened(context, gateway, frames)
        await expect(page.get_by_role("button", name="Share screen")).to_be_hidden()

    async def test_not_where_the_browser_cannot(self, context, gateway, frames) -> None:
        page = await opened(context, gateway, frames, without_screen)
        await expect(page.get_by_role("button", name="Share screen")).to_be_hidden()

    async def test_says_first_what_is_sent_and_sends_nothing_yet(
        self, context, gateway, frames
    ) -> None:
        page = await opened(context, gateway, frames)
        await page.get_by_role("button", name="Share screen").click()
        await expect(page.get_by_text("about once a second")).to_be_visible()
        assert await page.evaluate("window.wanted") is None
        await page.get_by_role("button", name="Not now").click()
        await expect(page.get_by_role("button", name="Share screen")).to_be_focused()
        assert frames.bodies == []

    async def test_a_visitor_who_shares_nothing_is_asked_no_more(
        self, context, gateway, frames
    ) -> None:
        page = await opened(context, gateway, frames, with_refusal)
        await page.get_by_role("button", name="Share screen").click()
        await page.get_by_role("button", name="Choose what to share").click()
        await expect(page.get_by_text("Nothing is being shared.")).to_be_visible()
        await expect(page.get_by_role("button", name="Share screen")).to_be_focused()
        assert frames.bodies == []


class TestSharing:
    async def test_sends_one_picture_after_the_other(self, context, gateway, frames) -> None:
        page = await opened(context, gateway, frames)
        await shared(page)
        await eventually(lambda: frames.count(3), timeout_s=20)
        assert all(body.startswith(b"\xff\xd8") for body in frames.bodies)
        numbers = [int(url.split("frame_number=")[1]) for url in frames.urls]
        assert numbers == list(range(1, len(numbers) + 1))
        assert frames.most_in_flight == 1
        assert (await page.evaluate("window.wanted"))["audio"] is False

    async def test_stops_when_told(self, context, gateway, frames) -> None:
        page = await opened(context, gateway, frames)
        await shared(page)
        await eventually(lambda: frames.count(1), timeout_s=20)
        await page.get_by_role("button", name="Stop sharing").click()
        await expect(page.get_by_text("Sharing has ended.")).to_be_visible()
        await expect(page.get_by_role("button", name="Share screen")).to_be_focused()
        assert await page.evaluate("window.sharing.readyState") == "ended"

    async def test_stops_when_the_browser_ends_it(self, context, gateway, frames) -> None:
        page = await opened(context, gateway, frames)
        await shared(page)
        await page.evaluate("window.sharing.dispatchEvent(new Event('ended'))")
        await expect(page.get_by_text("Sharing has ended.")).to_be_visible()

    async def test_stops_when_the_panel_is_closed(self, context, gateway, frames) -> None:
        page = await opened(context, gateway, frames)
        await shared(page)
        await page.get_by_role("button", name="Close", exact=True).click()
        assert await page.evaluate("window.sharing.readyState") == "ended"

    async def test_goes_on_after_an_outage_and_ends_when_refused(
        self, context, gateway, frames
    ) -> None:
        frames.answers = [(503, {}), (503, {}), (200, DECISION)]
        frames.answers.append((409, {"reason": "SCREEN_SHARING_OFF"}))
        page = await opened(context, gateway, frames)
        await shared(page)
        await expect(page.locator(".bar")).to_contain_text("Your screen doesn’t reach us just now.")
        await expect(page.get_by_role("button", name="Stop sharing")).to_be_focused()
        await expect(page.get_by_text("The screen can’t be shared here.")).to_be_visible(
            timeout=20_000
        )
        await expect(page.get_by_role("button", name="Share screen")).to_be_focused()
        assert len(frames.bodies) == 4
        assert await page.evaluate("window.sharing.readyState") == "ended"

    async def test_speaks_arabic_from_right_to_left(self, context, gateway, frames) -> None:
        page = await context.new_page()
        await with_screen(page)
        await page.goto(f"{gateway.url}/ar")
        await page.get_by_role("button", name="تحدث معنا").click()
        await page.get_by_role("button", name="مشاركة الشاشة").click()
        await expect(page.get_by_role("button", name="اختيار ما تشاركه")).to_be_visible()
