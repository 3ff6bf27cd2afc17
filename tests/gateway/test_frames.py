"""Frames of a shared screen, through the whole fleet: from the picture to the cited answer."""

from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from harness.asking import asked
from harness.desk import Company, Desk
from harness.drawing import screen
from harness.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARTICLE = """# Error E-1041

Error E-1041 means that the printer cannot reach the print server. Restart the router and print
again.

# Error E-2093

Error E-2093 means that the toner cartridge is empty. Replace the cartridge.
"""
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
