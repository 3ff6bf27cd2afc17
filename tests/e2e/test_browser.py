"""A person and a visitor in a browser, at a fleet as `make up` starts it."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import talking
from harness.cutting_proxy import CuttingProxy
from harness.local_fleet import LocalFleet
from harness.waiting import eventually
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

DELTA = b"event: message.delta"
QUESTION = "How long does the battery of the Lumo lamp last?"
LAMP = """# The Lumo lamp

## Battery

The battery of the Lumo lamp lasts twelve hours at full brightness. At half brightness it lasts
thirty hours. Charging takes two hours with the cable in the box.

## Cleaning

Wipe the shade with a dry cloth. Never put the lamp under water.
"""


def inside_the_second_event(seen: bytes) -> int | None:
    """Where to cut a streamed answer: after its first words, in the middle of the next event."""
    words = seen.find(DELTA)
    following = seen.find(b"event: ", words + len(DELTA)) if words >= 0 else -1
    return following + 10 if following >= 0 else None


@pytest.fixture
def proxy(running_fleet: LocalFleet) -> Iterator[CuttingProxy]:
    """Stands before the fleet and breaks the connection of the first answer once."""
    url = httpx.URL(running_fleet.url)
    made = CuttingProxy((url.host, url.port or 80), inside_the_second_event)
    yield made
    made.close()


async def log_in(page: Page, fleet: LocalFleet) -> None:
    await page.goto("/login")
    await page.get_by_label("E-mail").fill(fleet.demo.email)
    await page.get_by_label("Password").fill(fleet.demo.password)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", name="Home")).to_be_visible()


async def upload(page: Page, file: Path) -> None:
    """Upload a file on the knowledge page and see that it can be found."""
    await page.goto("/knowledge")
    await page.locator("#files").set_input_files(file)
    row = page.locator("[data-row]", has_text="The Lumo lamp")
    await expect(row).to_contain_text("Ready", timeout=60_000)


async def shown_words(page: Page) -> str:
    """The widget's last answer, as its visitor reads it, without the footnotes' numbers."""
    body = page.locator("fleetdesk-widget .msg.agent[data-status] .body").last
    text = await body.evaluate(
        """body => {
            const copy = body.cloneNode(true);
            copy.querySelectorAll('.mark').forEach(each => each.remove());
            return copy.textContent;
        }"""
    )
    return " ".join(text.split())


async def ask_in_the_widget(page: Page, address: str, question: str) -> None:
    """Ask on the page that embeds the widget, and wait for the end of the answer."""
    await page.goto(address)
    await page.get_by_role("button", name="Chat with us").click()
    panel = page.get_by_role("dialog")
    await panel.get_by_label("Write a question").fill(question)
    await panel.get_by_label("Write a question").press("Enter")
    answer = page.locator("fleetdesk-widget .msg.agent[data-status]").last
    await expect(answer).to_have_attribute("data-status", "completed", timeout=60_000)


async def test_a_question_gets_a_cited_answer_over_a_broken_connection(
    page: Page, running_fleet: LocalFleet, proxy: CuttingProxy, tmp_path: Path
) -> None:
    fleet = running_fleet
    (tmp_path / "lamp.md").write_text(LAMP)
    await log_in(page, fleet)
    await upload(page, tmp_path / "lamp.md")

    preview = f"http://127.0.0.1:{proxy.port}/widget-preview?agent={fleet.demo.agent_id}"
    await ask_in_the_widget(page, preview, QUESTION)
    assert proxy.cuts == 1
    async with fleet.client() as client:
        found = await client.get("/v1/conversations")
        conversation_id = found.json()["items"][0]["conversation_id"]
        *_, answer = await talking.messages(client, conversation_id)

        async def on_the_ledger() -> bool:
            cost = await talking.cost_of(client, conversation_id)
            return answer["receipt"]["total_nanos"] == cost > 0

        await eventually(on_the_ledger)
    assert "twelve hours" in answer["text"]
    # No word is lost and none is doubled.
    assert await shown_words(page) == " ".join(answer["text"].split())
    footnote = page.get_by_role("button", name=re.compile("Source 1"))
    await footnote.first.click()
    await expect(page.locator("fleetdesk-widget blockquote")).to_contain_text("twelve hours")

    await see_the_receipt(page, answer["receipt"]["total_nanos"])


async def see_the_receipt(page: Page, total_nanos: int) -> None:
    """Find the conversation in the dashboard and its answer's receipt to the nano-dollar."""
    await page.goto("/conversations")
    await page.get_by_role("link", name=QUESTION).first.click()
    await expect(page.get_by_role("heading", name=QUESTION)).to_be_visible()
    await page.get_by_role("link", name="Why this answer?").first.click()
    pane = page.locator("#why")
    await expect(pane.locator("mark").first).to_contain_text("twelve hours")
    exact = f"${total_nanos / 1e9:.9f}"
    await expect(pane.locator(".total")).to_contain_text(exact)
