"""`kill -9` of each process in turn, in the middle of a conversation."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from fleetdesk_local.roster import SERVICES
from harness import talking
from harness.agreeing import told
from harness.local_fleet import LocalFleet
from harness.waiting import eventually

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]

QUESTION = "How many days do I have to return a product?"


async def ask_and_kill(fleet: LocalFleet, client: httpx.AsyncClient, name: str) -> str:
    """Ask, and kill the process as soon as the turn has begun; returns the conversation."""
    conversation_id = await talking.begin(client, fleet.demo.agent_id)
    try:
        async for _ in talking.ask(client, conversation_id, QUESTION):
            break
        fleet.kill(name)
    except httpx.HTTPError:
        # The killed process may have taken the stream along.
        pass
    return conversation_id


def is_settled(client: httpx.AsyncClient, conversation_id: str) -> Callable[[], Awaitable[bool]]:
    """Whether no turn of the conversation is open any more; False while it can't be read."""

    async def check() -> bool:
        found = await client.get(f"/v1/conversations/{conversation_id}")
        if found.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return False
        assert found.is_success, found.text
        return all(message["status"] != "answering" for message in found.json()["messages"])

    return check


@pytest.mark.parametrize("name", [*SERVICES, "nats", "postgres"])
async def test_it_comes_back_and_the_next_question_is_answered(
    running_fleet: LocalFleet, name: str
) -> None:
    async with running_fleet.client() as client:
        conversation_id = await ask_and_kill(running_fleet, client, name)
        for service in SERVICES:
            await running_fleet.wait_until_back(service)
        # A turn that was cut off is closed by its owner before another begins.
        await eventually(is_settled(client, conversation_id), timeout_s=90)
        answered = await talking.answer(client, conversation_id, QUESTION)
        assert answered["outcome"] == "answered"
        assert answered["citations"]


async def test_receipts_ledger_costs_savings_and_export_still_agree(
    running_fleet: LocalFleet,
) -> None:
    """Also on turns that a kill cut off: what was paid for stands on the ledger, once."""
    async with running_fleet.client() as client:
        for name in ("conversation", "llm-gateway"):
            conversation_id = await ask_and_kill(running_fleet, client, name)
            await running_fleet.wait_until_back(name)
            await eventually(is_settled(client, conversation_id), timeout_s=90)

        async def agree() -> bool:
            return (await told(client)).agree

        await eventually(agree, timeout_s=60)
