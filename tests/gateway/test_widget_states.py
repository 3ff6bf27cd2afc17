"""Every state of the widget through axe: light, dark, and on a phone."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import pytest
import pytest_asyncio
from fakes.widget_gateway import Turn, WidgetGateway
from harness.browser import axe_violations, built_assets
from harness.sharing import with_screen
from playwright.async_api import Browser, Page, Route, ViewportSize, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PAGE = """<!doctype html><html lang="en"><title>A shop</title><main><h1>A shop</h1>
<script async src="/widget.js" data-agent="0192f000-0000-7000-8000-0000000000aa"></script>
</main></html>"""
_CITATION = {
    "document_id": "d1",
    "chunk_id": "c1",
    "title": "Reset your board",
    "url": "https://help.example.com/reset",
    "start": 0,
    "end": 24,
    "quote": "Press the button twice.",
    "answer_start": 0,
    "answer_end": 12,
}
_ANSWER = ["Press it.\n\n- `one`\n- **two**"]
_LIMITED = (429, {"title": "Too Many Requests", "status": 429, "detail": "slow down"})
_AWAY = (503, {"title": "Service Unavailable", "status": 503, "detail": "try again"})
_LOOKS: tuple[tuple[Literal["light", "dark"], ViewportSize], ...] = (
    ("light", {"width": 1000, "height": 760}),
    ("dark", {"width": 360, "height": 740}),
)


class Widget:
    """The widget on its page, and the gateway that it talks to."""

    def __init__(self, page: Page, gateway: WidgetGateway) -> None:
        self.page = page
        self.gateway = gateway
        self.panel = page.get_by_role("dialog")

    async def open(self) -> None:
        await self.page.get_by_role("button", name="Chat with us").click()
        await expect(self.panel.get_by_text("Hello! I am an AI assistant.")).to_be_visible()

    async def ask(self, turn: Turn, status: str = "completed") -> None:
        self.gateway.turns.append(turn)
        await self.open()
        await self.page.get_by_label("Write a question").fill("How do I reset it?")
        await self.page.get_by_label("Write a question").press("Enter")
        if status:
            answer = self.panel.locator(".msg.agent[data-status]").last
            await expect(answer).to_have_attribute("data-status", status)

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name).click()

    async def shows(self, words: str) -> None:
        await expect(self.page.get_by_text(words)).to_be_visible()


async def closed(widget: Widget) -> None:
    await expect(widget.page.get_by_role("button", name="Chat with us")).to_be_visible()


async def opened(widget: Widget) -> None:
    await widget.open()


async def streaming(widget: Widget) -> None:
    await widget.ask(Turn(["Only the beginning"], hold=True), status="")
    await widget.shows("Only the beginning")


async def stopped(widget: Widget) -> None:
    await streaming(widget)
    await widget.press("Stop")
    await expect(widget.panel.locator("[data-status=canceled]")).to_be_visible()


async def answered(widget: Widget) -> None:
    await widget.ask(Turn(_ANSWER, [_CITATION]))
    await widget.panel.get_by_role("button", name="Helpful", exact=True).click()


async def passage_open(widget: Widget) -> None:
    await widget.ask(Turn(_ANSWER, [_CITATION]))
    await widget.press("Source 1: Reset your board")
    await widget.shows("Press the button twice.")


async def asked_back(widget: Widget) -> None:
    await widget.ask(Turn(["Which board do you mean?"], outcome="clarify"))


async def handed_over(widget: Widget) -> None:
    turn = Turn(["I can't find that."], outcome="handoff", reason="missing_knowledge")
    await widget.ask(turn)
    await widget.shows("A person has been asked.")


async def person_answering(widget: Widget) -> None:
    await handed_over(widget)
    widget.gateway.person_replies("Hi, this is Maria.")
    await widget.shows("A person is answering now.")


async def failed(widget: Widget) -> None:
    await widget.ask(Turn(["Half of"], fail=True), status="failed")
    await widget.shows("The answer could not be finished.")


async def limited(widget: Widget) -> None:
    await widget.ask(Turn(["Yes."], refuse=[_LIMITED]), status="")
    await expect(widget.panel.get_by_role("alert")).to_contain_text("Too many messages")


async def reconnecting(widget: Widget) -> None:
    await widget.ask(Turn(["Yes."], refuse=[_AWAY] * 20), status="")
    await widget.shows("Connection lost. Trying again …")


async def asked_for_screen(widget: Widget) -> None:
    await widget.open()
    await widget.press("Share screen")
    await widget.shows("about once a second")


async def sharing(widget: Widget) -> None:
    await asked_for_screen(widget)
    await widget.press("Choose what to share")
    await expect(widget.page.get_by_role("button", name="Stop sharing")).to_be_visible()


async def sharing_ended(widget: Widget) -> None:
    await sharing(widget)
    await widget.press("Stop sharing")
    await widget.shows("Sharing has ended.")


STATES: tuple[Callable[[Widget], Awaitable[None]], ...] = (
    closed, opened, streaming, stopped, answered, passage_open, asked_back, handed_over,
    person_answering, failed, limited, reconnecting, asked_for_screen, sharing, sharing_ended,
)  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module")
async def widget(module_browser: Browser) -> AsyncIterator[Widget]:
    script = (built_assets() / "widget.js").read_bytes()
    pages = {
        "/widget.js": ("text/javascript", script, {}),
        "/": ("text/html; charset=utf-8", _PAGE.encode(), {}),
    }
    context = await module_browser.new_context(locale="en-US", reduced_motion="reduce")
    async with WidgetGateway(pages) as gateway:
        gateway.agent["screen_sharing"] = True
        page = await context.new_page()
        await with_screen(page)
        await page.route("**/frames?*", _taken)
        await page.goto(gateway.url)
        yield Widget(page, gateway)
        await context.close()


async def _taken(route: Route) -> None:
    decision = {"kept": False, "reason": "duplicate", "next_frame_ms": 1000}
    await route.fulfill(status=200, content_type="application/json", body=json.dumps(decision))


class TestEveryState:
    @pytest.mark.parametrize("reach", STATES, ids=lambda state: state.__name__)
    async def test_has_nothing_that_axe_objects_to(
        self, widget: Widget, reach: Callable[[Widget], Awaitable[None]]
    ) -> None:
        await reach(widget)
        found: list[str] = []
        for scheme, size in _LOOKS:
            await widget.page.emulate_media(color_scheme=scheme)
            await widget.page.set_viewport_size(size)
            violations = await axe_violations(widget.page)
            found += [f"{scheme}, {size['width']} px: {each}" for each in violations]
        assert found == []
