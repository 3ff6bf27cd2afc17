"""Frames of a shared screen, through the whole fleet: from the picture to the cited answer."""

from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from harness.asking import asked
from harness.desk import Company, Desk
from harness.drawing import screen
from harness.sharing import with_screen
from harness.waiting import eventually
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARTICLE = """# Error E-1041

Error E-1041 means that the printer cannot reach the print server. Restart the router and print
again.

# Error E-2093

Error E-2093 means that the toner cartridge is empty. Replace the cartridge.
"""
_PAGE = """<!doctype html><html lang="en"><title>A shop</title><h1>A shop</h1>
<script async src="/widget.js" data-agent="{agent}"></script></html>"""
UNRELATED = """# Shipping

Shipping takes five working days within Europe.
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(desk: Desk) -> Company:
    company = await desk.sign_up()
    await desk.teach(company, "Printer errors", ARTICLE)
    await desk.teach(company, "Shipping", UNRELATED)
    return company


class Sharing:
    """One sharing session of a visitor."""

    def __init__(self, desk: Desk, conversation: Any, headers: dict[str, str]) -> None:
        self.desk = desk
        self.path = f"/v1/conversations/{conversation}/frames"
        self.headers = headers
        self.session_id = uuid4()
        self.number = 0

    async def send(self, image: bytes, number: int = 0, kind: str = "image/jpeg") -> Any:
        self.number = number or self.number + 1
        return await self.desk.client.post(
            self.path,
            params={"session_id": str(self.session_id), "frame_number": self.number},
            content=image,
            headers={**self.headers, "Content-Type": kind},
        )


async def observed(desk: Desk, conversation: Any, text: str) -> None:
    """Waits until the conversation knows that the screen says `text`."""

    async def said() -> bool:
        rows = await desk.services["conversation"].rows(
            "select text from observation where conversation_id = %s", UUID(str(conversation))
        )
        return any(text in row["text"] for row in rows)

    await eventually(said, timeout_s=60)


class TestSharing:
    async def test_an_answer_is_about_what_the_screen_shows(self, desk, acme):
        conversation, visitor = await desk.begin(acme)
        sharing = Sharing(desk, conversation, visitor)
        answer = await sharing.send(screen("Office Printer", "Error E-2093", "Job stopped"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["reason"] == "new"
        await observed(desk, conversation, "E-2093")
        events = await asked(desk, conversation, visitor, "What does this error mean?")
        citations = next(e for e in events if e.name == "message.citations").data["citations"]
        assert "toner cartridge" in citations[0]["quote"]

    async def test_a_visitor_shares_and_asks_in_a_browser(self, desk, acme, module_browser):
        """The whole way: a shared picture of an error, then the article about it."""
        page = await module_browser.new_page(locale="en-US")
        await with_screen(page)
        html = _PAGE.format(agent=acme.agent_id)
        await page.route(
            "**/shop", lambda route: route.fulfill(content_type="text/html", body=html)
        )
        await page.goto(f"{desk.gateway.http_url}/shop")
        await page.get_by_role("button", name="Chat with us").click()
        await page.get_by_role("button", name="Share screen").click()
        async with page.expect_response("**/frames?*") as sent:
            await page.get_by_role("button", name="Choose what to share").click()
        response = await sent.value
        assert (await response.json())["reason"] == "new"
        await observed(desk, response.url.split("/")[5], "E-2093")
        await page.get_by_label("Write a question").fill("What does this error mean?")
        await page.keyboard.press("Enter")
        answer = page.locator(".msg.agent[data-status]").last
        await expect(answer).to_have_attribute("data-status", "completed", timeout=30_000)
        await expect(answer).to_contain_text("toner cartridge is empty")
        await page.get_by_role("button", name="Stop sharing").click()
        await expect(page.get_by_role("button", name="Share screen")).to_be_visible()
        await page.close()


class TestDecisions:
    async def test_strangers_send_and_count_nothing(self, desk, acme):
        conversation, visitor = await desk.begin(acme)
        sharing = Sharing(desk, conversation, visitor)
        other, _ = await desk.begin(acme)
        assert (await Sharing(desk, conversation, {}).send(screen("x"))).status_code == 401
        assert (await Sharing(desk, other, visitor).send(screen("x"))).status_code == 404
        assert (await desk.client.get(f"{sharing.path}/stats")).status_code == 401
        answer = await desk.client.get(f"{sharing.path}/stats", headers=visitor)
        assert answer.status_code == 403

    @pytest.mark.parametrize(
        ("image", "kind", "status"),
        [
            (b"{}", "application/json", 415),
            (b"no picture", "image/jpeg", 400),
            (b"x" * 3_000_001, "image/png", 413),
        ],
    )
    async def test_what_is_no_frame_is_refused(self, desk, acme, image, kind, status):
        conversation, visitor = await desk.begin(acme)
        answer = await Sharing(desk, conversation, visitor).send(image, kind=kind)
        assert answer.status_code == status, answer.text

    async def test_a_number_that_no_counter_reaches_is_refused(self, desk, acme):
        conversation, visitor = await desk.begin(acme)
        answer = await Sharing(desk, conversation, visitor).send(screen("x"), number=1 << 63)
        assert answer.status_code == 400, answer.text

    async def test_a_changed_digit_is_read_and_what_it_costs_stands_beside_the_conversation(
        self, desk, acme
    ):
        conversation, visitor = await desk.begin(acme)
        sharing = Sharing(desk, conversation, visitor)
        before = ("Office Printer", "Error E-1041", "Tray 2 is open")
        await sharing.send(screen(*before))
        await observed(desk, conversation, "E-1041")
        same = (await sharing.send(screen(*before))).json()
        changed = (await sharing.send(screen(before[0], "Error E-2953", before[2]))).json()
        # On a busy machine the first reading may have taken as long as a heartbeat.
        assert same["reason"] in ("duplicate", "heartbeat")
        assert (changed["kept"], changed["reason"]) == (True, "tile_changed")
        await observed(desk, conversation, "E-2953")
        (row,) = await desk.services["conversation"].rows(
            "select text from observation where conversation_id = %s", UUID(conversation)
        )
        assert row["text"].split("\n") == ["Office Printer", "Error E-2953", "Tray 2 is open"]
        answer = await desk.client.get(
            "/v1/analytics/costs",
            params={"group_by": "conversation", "split_by": "purpose"},
            headers=acme.bearer,
        )
        assert answer.status_code == 200, answer.text
        rows = await desk.services["llm-gateway"].rows(
            "select purpose, amount_nanos from usage_entry where conversation_id = %s",
            UUID(conversation),
        )
        assert {row["purpose"] for row in rows} == {"screen"}
        assert all(row["amount_nanos"] > 0 for row in rows)
        assert len(rows) == 2

    async def test_counts_by_session_and_type(self, desk, acme):
        conversation, visitor = await desk.begin(acme)
        sharing = Sharing(desk, conversation, visitor)
        for _ in range(3):
            await sharing.send(screen("Always the same"))

        async def counted() -> Any:
            answer = await desk.client.get(f"{sharing.path}/stats", headers=acme.bearer)
            return answer.json() if answer.json()["captured"] == 3 else None

        stats = await eventually(counted)
        assert (stats["kept"], stats["duplicates"], stats["duplicate_share"]) == (1, 2, 0.6667)
        assert stats["sessions"][0]["session_id"] == str(sharing.session_id)
