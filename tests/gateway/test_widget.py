"""The widget in a real browser, on a page with a strict Content Security Policy."""

import gzip
import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fakes.widget_gateway import CONVERSATION_ID, TOKEN, Turn, WidgetGateway
from harness.browser import built_assets
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")

AGENT_ID = "0192f000-0000-7000-8000-0000000000aa"
WORDS = "Press the reset button twice. The port appears for eight seconds.\n\n- first\n- second"
QUOTE = "Double-press the reset button."
CITATION = {
    "document_id": "d1",
    "chunk_id": "c1",
    "title": "Reset your board",
    "url": "https://help.example.com/reset",
    "start": 0,
    "end": len(QUOTE),
    "quote": QUOTE,
    "answer_start": 0,
    "answer_end": len("Press the reset button twice."),
}
# The page allows the one script by its nonce, and no style at all.
_CSP = "default-src 'none'; script-src 'nonce-n1'; connect-src *; base-uri 'none'"
_PAGE = """<!doctype html><html lang="en"><title>A shop</title>
<main><h1>A shop</h1><button id="before">Before</button>
<script async nonce="n1" src="{src}" data-agent="{agent}"{more}></script></main></html>"""


def _shop(src: str, more: str = "") -> dict[str, tuple[str, bytes, dict[str, str]]]:
    page = _PAGE.format(src=src, agent=AGENT_ID, more=more).encode()
    return {"/": ("text/html; charset=utf-8", page, {"Content-Security-Policy": _CSP})}


@pytest_asyncio.fixture(loop_scope="module")
async def gateway() -> AsyncIterator[WidgetGateway]:
    script = (built_assets() / "widget.js").read_bytes()
    async with WidgetGateway({"/widget.js": ("text/javascript", script, {})}) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def context(module_browser: Browser) -> AsyncIterator[BrowserContext]:
    made = await module_browser.new_context(
        viewport={"width": 1000, "height": 760}, locale="en-US", reduced_motion="reduce"
    )
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def widget(context: BrowserContext, gateway: WidgetGateway) -> AsyncIterator["Widget"]:
    """The widget on a page of another origin, not yet opened; the page must stay free of errors."""
    async with WidgetGateway(_shop(f"{gateway.url}/widget.js")) as shop:
        opened = Widget(await context.new_page(), shop.url)
        await opened.visit()
        yield opened
        assert opened.errors == []


class Widget:
    """The widget as its visitor uses it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._said)
        self.bubble = page.get_by_role("button", name="Chat with us")
        self.panel = page.get_by_role("dialog")
        self.input = self.panel.get_by_label("Write a question")
        self.send = self.panel.get_by_role("button", name="Send")
        self.stop = self.panel.get_by_role("button", name="Stop")
        self.answers = self.panel.locator(".msg.agent[data-status]")

    def _said(self, message: object) -> None:
        text = str(getattr(message, "text", message))
        if "Content Security Policy" in text or "[fleetdesk]" in text:
            self.errors.append(text)

    async def visit(self) -> None:
        await self.page.goto(self.url)
        await expect(self.bubble).to_be_visible()

    async def open(self) -> None:
        await self.bubble.click()
        await expect(self.panel).to_be_visible()

    async def ask(self, text: str) -> None:
        await self.input.fill(text)
        await self.input.press("Enter")

    def body(self) -> Locator:
        return self.answers.last.locator(".body")

    async def words(self) -> str:
        """The last answer's text without its footnotes."""
        return await self.body().evaluate(
            "body => { const copy = body.cloneNode(true);"
            " copy.querySelectorAll('.mark').forEach(each => each.remove());"
            " return copy.textContent; }"
        )


class TestLoading:
    async def test_weighs_less_than_30_kilobytes(self) -> None:
        script = (built_assets() / "widget.js").read_bytes()
        assert len(gzip.compress(script, 9)) < 30_000

    async def test_asks_the_gateway_nothing_before_it_is_opened(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        assert [path for _, path, _, _ in gateway.requests] == ["/widget.js"]

    async def test_leaves_the_page_alone_without_an_agent(self, context: BrowserContext) -> None:
        script = (built_assets() / "widget.js").read_bytes()
        pages = _shop("/widget.js")
        html = pages["/"][1].replace(b"data-agent", b"data-nobody")
        pages = {"/": (pages["/"][0], html, {}), "/widget.js": ("text/javascript", script, {})}
        async with WidgetGateway(pages) as shop:
            page = await context.new_page()
            failures: list[str] = []
            page.on("pageerror", lambda error: failures.append(str(error)))
            async with page.expect_console_message(lambda message: "data-agent" in message.text):
                await page.goto(shop.url)
            assert await page.locator("fleetdesk-widget").count() == 0
            assert failures == []


class TestOpening:
    async def test_says_that_it_is_an_ai_and_suggests_questions(self, widget: Widget) -> None:
        await widget.open()
        await expect(widget.panel.get_by_text("AI assistant", exact=True)).to_be_visible()
        await expect(widget.panel.get_by_text("You are talking with an AI.")).to_be_visible()
        await expect(widget.panel.get_by_text("Hello! I am an AI assistant.")).to_be_visible()
        await expect(widget.panel.get_by_role("button", name="How do I reset it?")).to_be_visible()

    async def test_keeps_the_focus_inside_and_gives_it_back(self, widget: Widget) -> None:
        before = widget.page.locator("#before")
        await before.focus()
        await widget.bubble.focus()
        await widget.page.keyboard.press("Enter")
        await expect(widget.input).to_be_focused()
        for _ in range(12):
            await widget.page.keyboard.press("Tab")
            assert await _focused(widget.page) != "before"
        await widget.page.keyboard.press("Escape")
        await expect(widget.panel).to_be_hidden()
        await expect(widget.bubble).to_be_focused()

    async def test_speaks_the_language_of_the_page_from_right_to_left(
        self, context: BrowserContext, gateway: WidgetGateway
    ) -> None:
        async with WidgetGateway(_shop(f"{gateway.url}/widget.js", ' data-lang="ar"')) as shop:
            page = await context.new_page()
            await page.goto(shop.url)
            await page.get_by_role("button", name="تحدث معنا").click()
            root = page.locator("fleetdesk-widget .root")
            await expect(root).to_have_attribute("dir", "rtl")
            await expect(page.get_by_role("button", name="التحدث إلى شخص")).to_be_visible()


async def _focused(page: Page) -> str:
    return await page.evaluate("document.activeElement.id")


class TestAsking:
    async def test_streams_an_answer_with_footnotes_that_open_the_passage(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        gateway.turns.append(Turn(re.split(r"(?= )", WORDS), [CITATION]))
        await widget.open()
        await widget.ask("How do I reset it?")
        await expect(widget.answers.last).to_have_attribute("data-status", "completed")
        first = widget.body().locator("p").first
        await expect(first).to_have_text(
            "Press the reset button twice.\u20601 The port appears for eight seconds."
        )
        await expect(widget.body().locator("li")).to_have_text(["first", "second"])
        footnote = widget.panel.get_by_role("button", name="Source 1: Reset your board")
        await footnote.click()
        await expect(widget.panel.get_by_text(QUOTE)).to_be_visible()
        link = widget.panel.get_by_role("link", name="Open the page")
        await expect(link).to_have_attribute("href", "https://help.example.com/reset")
        await widget.page.keyboard.press("Escape")
        await expect(widget.panel).to_be_visible()
        await expect(footnote).to_be_focused()

    async def test_sends_who_asks_and_a_key_that_is_never_used_twice(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        await widget.open()
        for question in ("One?", "Two?"):
            await widget.ask(question)
            await expect(widget.send).to_be_visible()
        asked = gateway.asked("POST", "/messages")
        assert [body["text"] for _, body in asked] == ["One?", "Two?"]
        assert {headers["authorization"] for headers, _ in asked} == {f"Bearer {TOKEN}"}
        assert {headers["accept"] for headers, _ in asked} == {"text/event-stream"}
        assert len({headers["idempotency-key"] for headers, _ in asked}) == 2
        assert (
            gateway.asked("POST", "/v1/conversations") == [(pytest.approx, {"agent_id": AGENT_ID})]
            or len(gateway.asked("POST", "/v1/conversations")) == 1
        )

    async def test_announces_sentences_and_not_words(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        gateway.turns.append(Turn(["Pre", "ss it ", "twice. ", "Then wa", "it."]))
        await widget.open()
        await widget.ask("How?")
        await expect(widget.answers.last).to_have_attribute("data-status", "completed")
        said = widget.panel.locator(".sr[aria-live=polite] p")
        await expect(said).to_have_text(["Press it twice.", "Then wait."])

    async def test_builds_no_html_from_an_answer(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        text = (
            '<img src=x onerror="window.hit=1"> [a](javascript:window.hit=1)'
            " [b](https://x.example/) **bold** `<b>`"
        )
        gateway.turns.append(Turn([text]))
        await widget.open()
        await widget.ask("How?")
        await expect(widget.answers.last).to_have_attribute("data-status", "completed")
        assert await widget.body().locator("img, script").count() == 0
        links = await widget.body().locator("a").evaluate_all("all => all.map(a => a.href)")
        assert links == ["https://x.example/"]
        await expect(widget.body().locator("strong")).to_have_text("bold")
        assert await widget.page.evaluate("window.hit") is None

    async def test_stops_an_answer_and_keeps_what_was_written(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        gateway.turns.append(Turn(["Only the beginning"], hold=True))
        await widget.open()
        await widget.ask("Tell me everything")
        await expect(widget.body()).to_have_text("Only the beginning")
        await widget.stop.click()
        await expect(widget.answers.last).to_have_attribute("data-status", "canceled")
        await expect(widget.body()).to_have_text("Only the beginning")
        assert len(gateway.asked("POST", "/cancel")) == 1
        await expect(widget.send).to_be_visible()

    async def test_rates_an_answer_and_takes_it_back(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        await widget.open()
        await widget.ask("How?")
        helpful = widget.panel.get_by_role("button", name="Helpful", exact=True)
        await helpful.click()
        await expect(helpful).to_have_attribute("aria-pressed", "true")
        await helpful.click()
        await expect(helpful).to_have_attribute("aria-pressed", "false")
        assert [body["rating"] for _, body in gateway.asked("POST", "/rating")] == [1, 0]


class TestBrokenConnections:
    @pytest.mark.parametrize("cuts", [[2], [4], [7, 3, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1]])
    async def test_lose_and_double_no_word(
        self, widget: Widget, gateway: WidgetGateway, cuts: list[int]
    ) -> None:
        pieces = [f"word{number} " for number in range(14)]
        gateway.turns.append(Turn(pieces, [CITATION], cuts=cuts))
        await widget.open()
        await widget.ask("How?")
        await expect(widget.answers.last).to_have_attribute(
            "data-status", "completed", timeout=20_000
        )
        assert (await widget.words()).split() == "".join(pieces).split()
        assert await widget.answers.count() == 1
        assert await widget.panel.locator(".msg.visitor").count() == 1
        resumed = [headers["last-event-id"] for headers, _ in gateway.asked("GET", "/events")]
        assert len(resumed) == len(set(resumed)) > 0

    async def test_before_the_answer_began_join_it_with_the_same_key(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        gateway.turns.append(Turn(["Here it is."], cuts=[0, 0]))
        await widget.open()
        await widget.ask("How?")
        await expect(widget.body()).to_have_text("Here it is.")
        keys = [headers["idempotency-key"] for headers, _ in gateway.asked("POST", "/messages")]
        assert len(keys) == 3
        assert len(set(keys)) == 1
        assert await widget.panel.locator(".msg.visitor").count() == 1

    async def test_while_the_service_is_away_try_again_by_themselves(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        away = (503, {"title": "Service Unavailable", "status": 503, "detail": "try again"})
        gateway.turns.append(Turn(["Back."], refuse=[away, away]))
        await widget.open()
        await widget.ask("How?")
        await expect(widget.body()).to_have_text("Back.")


class TestProblems:
    async def test_keep_what_was_typed_and_offer_to_try_again(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        limit = (429, {"title": "Too Many Requests", "status": 429, "detail": "slow down"})
        gateway.turns.append(Turn(["Yes."], refuse=[limit]))
        await widget.open()
        await widget.ask("My long question")
        await expect(widget.panel.get_by_role("alert")).to_contain_text("Too many messages")
        await expect(widget.input).to_have_value("My long question")
        assert await widget.panel.locator(".msg.visitor").count() == 0
        await widget.panel.get_by_role("button", name="Try again").click()
        await expect(widget.body()).to_have_text("Yes.")
        await expect(widget.input).to_have_value("")

    async def test_say_when_an_answer_failed(self, widget: Widget, gateway: WidgetGateway) -> None:
        gateway.turns.append(Turn(["Half of"], fail=True))
        await widget.open()
        await widget.ask("How?")
        await expect(widget.answers.last).to_have_attribute("data-status", "failed")
        await expect(widget.panel.get_by_text("The answer could not be finished.")).to_be_visible()
        await expect(widget.send).to_be_visible()

    async def test_refuse_a_question_that_is_too_long(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        await widget.open()
        await widget.ask("ü" * 8_001)
        await expect(widget.panel.get_by_role("alert")).to_contain_text("too long")
        await expect(widget.input).to_have_value("ü" * 8_001)
        assert gateway.asked("POST", "/messages") == []


class TestPersons:
    async def test_are_asked_for_by_a_button_that_is_always_there(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        await widget.open()
        person = widget.panel.get_by_role("button", name="Talk to a person")
        await person.click()
        await expect(widget.panel.get_by_text("A person has been asked.")).to_be_visible()
        await expect(person).to_be_disabled()
        gateway.person_replies("Hi, this is Maria.")
        await expect(widget.panel.locator(".msg.person .body")).to_have_text("Hi, this is Maria.")
        await expect(widget.panel.get_by_text("A person is answering now.")).to_be_visible()

    async def test_are_asked_for_by_a_hand_over(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        reason = "missing_knowledge"
        gateway.turns.append(Turn(["I can't find that."], outcome="handoff", reason=reason))
        await widget.open()
        await widget.ask("What is the capital of France?")
        await expect(widget.answers.last).to_have_attribute("data-status", "completed")
        await expect(widget.panel.get_by_text("A person has been asked.")).to_be_visible()
        assert await widget.panel.get_by_role("button", name="Helpful", exact=True).count() == 0

    async def test_answer_instead_of_the_agent(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        await widget.open()
        await widget.ask("First")
        await expect(widget.body()).to_have_text("Yes.")
        gateway.person_replies("Maria here.")
        gateway.turns.append(Turn(silent=True))
        await widget.ask("Thanks")
        await expect(widget.send).to_be_visible()
        await expect(widget.panel.locator(".msg.visitor")).to_have_text(
            ["You: First", "You: Thanks"]
        )
        await expect(widget.panel.locator(".msg.person .body")).to_have_text("Maria here.")


class TestReturning:
    async def test_brings_the_conversation_back(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        gateway.turns.append(Turn(["Twice."], [CITATION | {"answer_end": 6}]))
        await widget.open()
        await widget.ask("How do I reset it?")
        await expect(widget.answers.last).to_have_attribute("data-status", "completed")
        stored = await widget.page.evaluate(f"localStorage.getItem('fleetdesk:{AGENT_ID}')")
        ticket = {"conversation_id": CONVERSATION_ID, "visitor_token": TOKEN}
        assert json.loads(stored) == ticket
        await widget.visit()
        await widget.open()
        await expect(widget.panel.locator(".msg.visitor")).to_have_text("You: How do I reset it?")
        await expect(widget.body()).to_have_text("Twice.\u20601")
        await expect(widget.panel).to_contain_text(gateway.agent["name"])

    async def test_in_the_middle_of_an_answer_goes_on_with_it(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        gateway.turns.append(Turn(["One ", "two ", "three."], pause_s=0.6))
        await widget.open()
        await widget.ask("Count")
        await expect(widget.body()).to_contain_text("One")
        await widget.visit()
        await widget.open()
        await expect(widget.answers.last).to_have_attribute("data-status", "completed")
        await expect(widget.body()).to_have_text("One two three.")

    async def test_to_a_conversation_that_is_gone_begins_a_new_one(
        self, widget: Widget, gateway: WidgetGateway
    ) -> None:
        gone = json.dumps({"conversation_id": "gone", "visitor_token": "old"})
        await widget.page.evaluate(f"localStorage.setItem('fleetdesk:{AGENT_ID}', '{gone}')")
        await widget.open()
        await widget.ask("Hello?")
        await expect(widget.body()).to_have_text("Yes.")
        assert len(gateway.asked("POST", "/v1/conversations")) == 1

    async def test_can_start_over(self, widget: Widget, gateway: WidgetGateway) -> None:
        await widget.open()
        await widget.ask("Hello?")
        await expect(widget.body()).to_have_text("Yes.")
        await widget.panel.get_by_role("button", name="Start over").click()
        await expect(widget.panel.locator(".msg.visitor")).to_have_count(0)
        await expect(widget.input).to_be_focused()
