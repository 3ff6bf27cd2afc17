"""`make agreement`: all places tell the same cost after every fault of a provider and kills.

A fleet as `make up` starts it answers by the fake of Anthropic, with the local model behind it.
Each fault comes in `--rounds` turns, once or until the model is given up; between them are
turns without one. Then llm-gateway is killed (`kill -9`) `--kills` times, at some moment of a turn.
At the end receipts, ledger, costs, savings and both exports have to say the same of every
conversation, to the nano-dollar, and the ledger has to have the tokens that the provider reports,
but for what is `unconfirmed`. AssertionError where not.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import psycopg
from fakes.anthropic_server import Answer, FakeAnthropic, Scripted
from fakes.faults import Failure, Reset, failed, overloaded, rate_limited
from fleetdesk_local import ports
from fleetdesk_local.postgres import PostgresServer
from fleetkit.postgres.provision import DATABASE
from harness import talking
from harness.agreeing import Told, told
from harness.local_fleet import LocalFleet, local_fleet
from harness.waiting import eventually
from llm_gateway.pricing import PROMPT

HAIKU = "claude-haiku-5-5"
QUESTION = "How many days do I have to return a product?"
RETURNS = Path(__file__).resolve().parents[1] / "e2e" / "returns.md"
# How long an attempt may take to its first text: what is slower is a fault here.
PATIENCE_S = 2
SLOW_S = 30
# A call that died with its process is given up 10 s after its deadline.
SWEPT_S = 240
# Reported by the provider under these names, each a kind of the ledger's.
KINDS = {
    "input_tokens": "input_token",
    "cache_read_input_tokens": "cache_read_token",
    "output_tokens": "output_token",
}

FAULTS: dict[str, Callable[[], Scripted]] = {
    "429 with Retry-After": lambda: rate_limited(0.5),
    "529 overloaded": overloaded,
    "500": failed,
    "connection reset": Reset,
    "stream cut": lambda: Answer(cut_after_events=4),
    "stream reset": lambda: Answer(reset_after_events=4),
    "malformed event": lambda: Answer(malformed_after_events=4),
    "error event": lambda: Answer(error_after_events=4),
    "slow first token": lambda: Answer(first_token_after_s=SLOW_S),
    "key refused": lambda: Failure(401, "authentication_error"),
}


@dataclass(slots=True)
class Row:
    """What became of the turns of one fault."""

    fault: str
    conversations: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, conversation_id: str, outcome: str) -> None:
        """One more turn."""
        self.conversations.append(conversation_id)
        self.outcomes[outcome] += 1


async def set_up(fleet: LocalFleet, client: httpx.AsyncClient) -> None:
    """The demo agent answers by Claude, then by the local model."""
    agent = f"/v1/agents/{fleet.demo.agent_id}"
    models = {"model": f"anthropic/{HAIKU}", "next_models": ["local/extractive"]}
    config = (await client.get(agent)).json()["draft"] | models
    for method, end, body in (("PUT", "", {"config": config}), ("POST", "/publish", None)):
        answer = await client.request(method, agent + end, json=body)
        assert answer.is_success, answer.text


async def one(fleet: LocalFleet, client: httpx.AsyncClient, row: Row) -> int:
    """A conversation with one question; the tier that answered it."""
    conversation_id = await talking.begin(client, fleet.demo.agent_id)
    answered = await talking.answer(client, conversation_id, QUESTION)
    row.add(conversation_id, f"{answered['outcome']} by tier {answered['tier']}")
    return answered["tier"]


async def faults(
    fleet: LocalFleet, client: httpx.AsyncClient, claude: FakeAnthropic, rounds: int
) -> list[Row]:
    """Each fault in turn; after each, turns without until Claude answers again."""
    without = Row("none")

    async def answers() -> bool:
        return await one(fleet, client, without) == 1

    rows = [without]
    for name, made in FAULTS.items():
        rows.append(Row(name))
        for number in range(rounds):
            if number % 2:
                claude.script(made())
            else:
                claude.always(made())
            await one(fleet, client, rows[-1])
            claude.always(Answer())
            await eventually(answers, timeout_s=30)
    return rows


async def killed(
    fleet: LocalFleet, client: httpx.AsyncClient, claude: FakeAnthropic, kills: int, seed: int
) -> Row:
    """llm-gateway dies while Claude's answer is on its way, before, in or after its text."""
    rng, row = random.Random(seed), Row("kill -9 of llm-gateway")
    for _ in range(kills):
        held = Answer(hold_after_events=rng.choice((0, 1, 4, 8)))
        claude.script(held)
        conversation_id = await talking.begin(client, fleet.demo.agent_id)
        before = len(claude.requests)
        turn = asyncio.create_task(_asked(client, conversation_id))
        if rng.random() < 0.75:
            await eventually(_more_than(claude.requests, before), timeout_s=30)
        await asyncio.sleep(rng.uniform(0, 0.1))
        fleet.kill("llm-gateway")
        held.held.set()
        await turn
        await fleet.wait_until_back("llm-gateway")
        row.add(conversation_id, await _settled(client, conversation_id))
    return row


async def _asked(client: httpx.AsyncClient, conversation_id: str) -> None:
    url = f"/v1/conversations/{conversation_id}/messages"
    try:
        await client.post(url, json={"text": QUESTION}, timeout=120)
    except httpx.HTTPError:
        # What the fleet says of a turn that lost its model does not matter: its cost does.
        pass


def _more_than(requests: Sequence[Any], before: int) -> Callable[[], Any]:
    async def check() -> bool:
        return len(requests) > before

    return check


async def _settled(client: httpx.AsyncClient, conversation_id: str) -> str:
    async def check() -> str:
        found = await client.get(f"/v1/conversations/{conversation_id}")
        if not found.is_success:
            return ""
        last = found.json()["messages"][-1]
        done = last["role"] == "agent" and last["status"] != "answering"
        return f"{last['status']}: {last.get('outcome') or 'no outcome'}" if done else ""

    return await eventually(check, timeout_s=120)


async def ledger_of(fleet: LocalFleet) -> tuple[list[dict[str, Any]], int]:
    """The rows of the ledger itself, from the database, and how many calls are still open."""
    path = fleet.data.path
    server = PostgresServer(path, port=ports.stored(path / "postgres.port.json")["postgres"])
    url = server.admin_url.rpartition("/")[0] + f"/{DATABASE}"
    tenant = [fleet.demo.tenant_id]
    async with await psycopg.AsyncConnection.connect(url) as conn:
        calls = await conn.execute(
            "select count(*) from llm_gateway.usage_call where tenant_id = %s and status = 'open'",
            tenant,
        )
        ((open_calls,),) = await calls.fetchall()
        found = await conn.execute(
            "select coalesce(conversation_id::text, '') as conversation_id, provider, model, kind,"
            "  units, amount_nanos, status from llm_gateway.usage_entry where tenant_id = %s",
            tenant,
        )
        names = [column.name for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in await found.fetchall()]
    return rows, open_calls


async def agreed(fleet: LocalFleet, client: httpx.AsyncClient) -> tuple[Told, list[dict[str, Any]]]:
    """What all places tell, and the ledger, once no call is open and they tell the same."""

    async def check() -> tuple[Told, list[dict[str, Any]]] | None:
        rows, open_calls = await ledger_of(fleet)
        if open_calls:
            await asyncio.sleep(1)
            return None
        found = await told(client)
        ledger: Counter[str] = Counter()
        for row in rows:
            ledger[row["conversation_id"]] += row["amount_nanos"]
        return (found, rows) if found.agree and found.export == ledger else None

    found = await eventually(check, timeout_s=SWEPT_S)
    assert found is not None
    return found


def print_rows(rows: Sequence[Row], found: Told, ledger: Sequence[dict[str, Any]]) -> None:
    """A line for each fault, then what each place tells of all of it."""
    unconfirmed = Counter(
        row["conversation_id"] for row in ledger if row["status"] == "unconfirmed"
    )
    print(f"{'fault':24} {'turns':>5} {'unconfirmed rows':>16} {'nano-dollars':>14}  ended as")
    for row in rows:
        spent = sum(found.export[each] for each in row.conversations)
        rows_left = sum(unconfirmed[each] for each in row.conversations)
        ends = ", ".join(f"{times} × {end}" for end, times in row.outcomes.most_common())
        print(f"{row.fault:24} {len(row.conversations):>5} {rows_left:>16} {spent:>14,}  {ends}")
    print()
    for place, total in {
        "receipts (of messages)": found.receipts.total(),
        "serves no message": found.export[""],
        "ledger": sum(row["amount_nanos"] for row in ledger),
        "costs by conversation": found.costs.total(),
        "savings: paid": found.savings_nanos,
        "export, CSV": found.export.total(),
        "export, FOCUS 1.2": found.focus_nanos,
        "of it unconfirmed": found.unconfirmed_nanos,
    }.items():
        print(f"{place:24} {total:>14,}")


def check_tokens(claude: FakeAnthropic, ledger: Sequence[dict[str, Any]]) -> None:
    """The provider's tokens beside the ledger's; what is missing is at most the unconfirmed."""
    print(f"\n{'tokens of Claude':24} {'reported':>10} {'settled':>10} {'unconfirmed':>12}")
    of_claude = [row for row in ledger if row["provider"] == "anthropic"]
    for name, kind in KINDS.items():
        # What was reserved for a prompt may have been read from the cache.
        may_be = {*PROMPT} if kind in PROMPT else {kind}
        reported = sum(usage[name] for _, _, usage in claude.billed)
        settled = _units(of_claude, "settled", {kind})
        unconfirmed = _units(of_claude, "unconfirmed", may_be)
        print(f"{kind:24} {reported:>10,} {settled:>10,} {unconfirmed:>12,}")
        assert 0 <= reported - settled <= unconfirmed, kind


def _units(rows: Sequence[dict[str, Any]], status: str, kinds: Collection[str]) -> int:
    return sum(row["units"] for row in rows if row["status"] == status and row["kind"] in kinds)


async def run(rounds: int, kills: int, seed: int, folder: Path) -> None:
    """All of it, with a fleet in `folder`."""
    claude = await FakeAnthropic().start()
    settings: dict[str, Any] = {
        "FLEETDESK_ANTHROPIC_API_KEY": "sk-agreement",
        "FLEETDESK_ANTHROPIC_BASE_URL": claude.url,
        "FLEETDESK_ATTEMPT_FIRST_TEXT_S": str(PATIENCE_S),
        "FLEETDESK_DEMO_KNOWLEDGE": str(folder / "knowledge"),
    }
    (folder / "knowledge").mkdir()
    (folder / "knowledge" / RETURNS.name).write_text(RETURNS.read_text())
    began = time.monotonic()
    try:
        with local_fleet(folder / "data", **settings) as fleet:
            async with fleet.client() as client:
                await set_up(fleet, client)
                rows = await faults(fleet, client, claude, rounds)
                rows.append(await killed(fleet, client, claude, kills, seed))
                found, ledger = await agreed(fleet, client)
    finally:
        await claude.stop()
    print_rows(rows, found, ledger)
    check_tokens(claude, ledger)
    print(f"\nall places agree; it took {time.monotonic() - began:.0f} s")


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="make agreement", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="turns of each fault")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetdesk-agreement-") as folder:
        path = Path(folder)
        # PostgreSQL runs as another user when we are root.
        path.chmod(0o711)
        asyncio.run(run(given.rounds, given.kills, given.seed, path))


if __name__ == "__main__":
    sys.exit(main())
