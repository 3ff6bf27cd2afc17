"""What prompt caching brings over whole conversations, and what it could have brought.

`python -m tests.eval.caching [--conversations 200]` sends the dialogues of `conversations_sgd` turn
by turn through llm-gateway to the fake of Anthropic, whose prompt cache bites, on a clock that is
moved. Each question comes with the history that memory gives (`memory.window`). Beside what was
paid stand what it would have been without caching, with a breakpoint everywhere each time, and by
an oracle that knows when each prefix is sent again: the least that any plan could pay. The last
column is what was reserved of a prompt before each call, as a multiple of its tokens.
"""

import argparse
import asyncio
import json
import random
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes.anthropic_server import Answer, Block, FakeAnthropic
from fakes.prefix_cache import TTL_S, PrefixCache, PromptUsage, blocks
from fakes.prefix_cache import Block as PromptBlock
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk_local.nats_server import NatsServer
from fleetdesk_local.roster import SERVICES
from fleetkit import logging
from fleetkit.context import Attribution, background
from fleetkit.rpc.keys import generate_keys
from fleetkit.tokens import TokenCounter, tokenizer_path
from harness.answers import ask
from harness.databases import Databases
from harness.run import Run
from harness.services import FleetServices, Running
from llm_gateway import pricing
from llm_gateway.pricing import Unit
from memory.store import TurnRow
from memory.window import Limits, fit
from pydantic import SecretStr

from .workbench import table

# A busy machine may take its time; nothing of it is measured.
_PATIENCE_S = 300
_WINDOW = Limits(messages=10, tokens=2048)
_EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
_TURNS = range(4, 40)
_ARCHIVE, _MEMBER = "conversations_sgd.tar.gz", "conversations_sgd/test.jsonl"
_SENTENCE = "An order may be changed until it is packed; say what you changed and what it costs. "
# Of this turn: they come after all that could be read, and are the same in every column.
_PASSAGES = [
    pb.Passage(
        chunk_id=f"c{number}",
        document_id=f"d{number}",
        title=f"Article {number}",
        text=f"{number}. This article tells how the service works. " * 12,
    )
    for number in range(5)
]

Dialogue = Sequence[tuple[bool, str]]
"""Messages as (from the visitor, text)."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """How conversations come: a new one every so often, on average, and the model asked.

    `instructions_tokens`: the length of the agent's own words.
    """

    name: str
    model: str
    instructions_tokens: int
    minutes_between: float
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """A question at a time, in seconds from the beginning."""

    at_s: float
    conversation_id: UUID
    history: tuple[pb.HistoryTurn, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that reached the provider: when, its blocks before this turn's own, its usage."""

    at_s: float
    prefix: list[PromptBlock]
    body: dict[str, Any]
    usage: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of requests cost, in nano-dollars of input, and what was read of what could be."""

    requests: int
    eligible: int
    read: int
    paid: float
    uncached: float
    always: float
    oracle: float
    reserved: float

    @property
    def read_share(self) -> float:
        """Of the tokens in prefixes that reach the minimum, the share that was read."""
        return self.read / self.eligible if self.eligible else 0.0

    @property
    def regret(self) -> float:
        """What was paid above the oracle, as a share of what it pays."""
        return self.paid / self.oracle - 1


TRAFFIC = (
    Traffic("own rules, busy", "claude-sonnet-4-6", 1_200, 3),
    Traffic("own rules, quiet", "claude-sonnet-4-6", 1_200, 40),
    Traffic("preset only, busy", "claude-sonnet-4-6", 60, 3),
    Traffic("long rules, busy", "claude-haiku-5-5", 4_500, 3),
)


def asked(dialogues: Sequence[Dialogue], traffic: Traffic) -> list[Asked]:
    """The questions of all conversations in order of time.

    A visitor takes 45 s for the next question, in the middle; one in twelve times half an hour.
    """
    rng, tokens = random.Random(traffic.seed), TokenCounter(tokenizer_path(None))
    found: list[Asked] = []
    begins_s = 0.0
    for dialogue in dialogues:
        begins_s += rng.expovariate(1 / (traffic.minutes_between * 60))
        at_s, conversation_id = begins_s, UUID(int=rng.getrandbits(128))
        turns = _turns(tokens, dialogue)
        for number, (from_visitor, text) in enumerate(dialogue):
            if not from_visitor:
                continue
            found.append(Asked(at_s, conversation_id, _window(tokens, turns[:number]), text))
            away = rng.random() < 1 / 12
            at_s += rng.uniform(600, 3000) if away else rng.lognormvariate(3.8, 0.7)
    return sorted(found, key=lambda one: one.at_s)


def _turns(tokens: TokenCounter, dialogue: Dialogue) -> list[TurnRow]:
    return [
        TurnRow(
            message_id=UUID(int=number),
            author="visitor" if from_visitor else "agent",
            text=text,
            token_count=tokens.count(text),
            create_time=_EPOCH + timedelta(seconds=number),
        )
        for number, (from_visitor, text) in enumerate(dialogue)
    ]


def _window(tokens: TokenCounter, said: Sequence[TurnRow]) -> tuple[pb.HistoryTurn, ...]:
    return tuple(
        pb.HistoryTurn(from_visitor=turn.author == "visitor", text=turn.text)
        for turn in fit(said, _WINDOW, tokens).turns
    )


async def drive(
    running: Running,
    claude: FakeAnthropic,
    tenant_id: UUID,
    traffic: Traffic,
    todo: Sequence[Asked],
) -> list[Sent]:
    """Asks all questions, each at its time by the clocks of the fleet and of the provider."""
    stub = running.stub(LlmGatewayServiceStub, caller="conversation")
    # What it says does not matter here: the history is the dialogue's.
    claude.always(Answer([Block("Yes.", ((0, 0, 1),))]))
    agent_id = uuid4()
    instructions = (_SENTENCE * (traffic.instructions_tokens * 4 // len(_SENTENCE))).strip()
    at_s = 0.0
    sent: list[Sent] = []
    for one in todo:
        running.advance(one.at_s - at_s)
        claude.advance(one.at_s - at_s)
        at_s = one.at_s
        for_whom = Attribution(
            purpose="turn", conversation_id=one.conversation_id, agent_id=agent_id
        )
        request = pb.AnswerRequest(
            model=f"anthropic/{traffic.model}",
            instructions=instructions,
            history=one.history,
            passages=_PASSAGES,
            question=one.question,
            prompt_caching=True,
        )
        with background(tenant_id, for_whom):
            await ask(stub, request, _PATIENCE_S)
        body = claude.requests[-1]
        own = len(_PASSAGES) + 1
        sent.append(Sent(at_s, [*blocks(body)][:-own], body, claude.usages[-1]))
    return sent


def outcome(sent: Sequence[Sent], model: str, minimum: int, reserved: int = 0) -> Outcome:
    """The sums of a run; `reserved` tokens of prompts in all."""
    period = pricing.load().models[f"anthropic/{model}"].periods[-1]
    price = {Unit(kind): nanos / 1e6 for kind, nanos in period.tiers[0].prices.items()}
    eligible = [one.prefix[-1].tokens_to_here for one in sent if _reaches(one, minimum)]
    return Outcome(
        requests=len(sent),
        eligible=sum(eligible),
        read=sum(one.usage["cache_read_input_tokens"] for one in sent),
        paid=sum(_paid(one.usage, price) for one in sent),
        uncached=sum(_total(one.usage) * price[Unit.INPUT] for one in sent),
        always=sum(_paid(usage, price) for usage in _always_marked(sent, minimum)),
        oracle=_oracle(sent, minimum, price),
        reserved=reserved / sum(_total(one.usage) for one in sent),
    )


def _reaches(one: Sent, minimum: int) -> bool:
    return one.prefix[-1].tokens_to_here >= minimum


def _total(usage: dict[str, Any]) -> int:
    return (
        usage["input_tokens"]
        + usage["cache_read_input_tokens"]
        + usage["cache_creation_input_tokens"]
    )


def _paid(usage: dict[str, Any], price: dict[Unit, float]) -> float:
    written = usage["cache_creation"]
    return (
        usage["input_tokens"] * price[Unit.INPUT]
        + usage["cache_read_input_tokens"] * price[Unit.CACHE_READ]
        + written["ephemeral_5m_input_tokens"] * price[Unit.CACHE_WRITE_5M]
        + written["ephemeral_1h_input_tokens"] * price[Unit.CACHE_WRITE_1H]
    )


def _always_marked(sent: Sequence[Sent], minimum: int) -> Iterator[dict[str, Any]]:
    """The usages with a five-minute breakpoint after the system prompt and after the history."""
    now = [0.0]
    cache = PrefixCache(lambda: now[0], minimum)
    for one in sent:
        now[0] = one.at_s
        body = json.loads(json.dumps(one.body))
        parts = [*body["system"], *(part for m in body["messages"] for part in m["content"])]
        for part in parts:
            part.pop("cache_control", None)
        own = len(_PASSAGES) + 1
        for part in (body["system"][-1], *parts[:-own][-1:]):
            part["cache_control"] = {"type": "ephemeral"}
        usage: PromptUsage = cache.look_up("", body)
        cache.write("", usage)
        yield usage.as_usage()


def _oracle(sent: Sequence[Sent], minimum: int, price: dict[Unit, float]) -> float:
    """The least that any plan can pay: each block for itself, its uses known beforehand."""
    uses: dict[str, list[tuple[float, bool]]] = {}
    tokens: dict[str, int] = {}
    own_tokens = 0
    for one in sent:
        before = 0
        for block in one.prefix:
            uses.setdefault(block.prefix, []).append((one.at_s, _reaches(one, minimum)))
            tokens[block.prefix] = block.tokens_to_here - before
            before = block.tokens_to_here
        own_tokens += _total(one.usage) - before
    costs = sum(tokens[prefix] * _least(times, price) for prefix, times in uses.items())
    return costs + own_tokens * price[Unit.INPUT]


def _least(uses: Sequence[tuple[float, bool]], price: dict[Unit, float]) -> float:
    """The least cost of a token over its uses: in full, read, or written for one of the times."""
    writes = {"5m": price[Unit.CACHE_WRITE_5M], "1h": price[Unit.CACHE_WRITE_1H]}
    # The least so far, by the entry that the last use left.
    least: dict[str, float] = {"": 0.0}
    last_s = 0.0
    for at_s, may_cache in uses:
        after: dict[str, float] = {}
        for entry, cost in least.items():
            alive = entry and at_s - last_s < TTL_S[entry]
            if alive and may_cache:
                ways = {entry: price[Unit.CACHE_READ]}
            else:
                ways = {"": price[Unit.INPUT]} | (writes if may_cache else {})
            for left, paid in ways.items():
                after[left] = min(after.get(left, float("inf")), cost + paid)
        least, last_s = after, at_s
    return min(least.values())


def dialogues_of(data: Path, count: int) -> Sequence[Dialogue]:
    """Dialogues of the archive with at least two questions, by a fixed draw."""
    with tarfile.open(data / _ARCHIVE) as archive:
        file = archive.extractfile(_MEMBER)
        lines = file.read().decode().splitlines() if file else []
    random.Random(3).shuffle(lines)
    whole = (
        [(turn["role"] == "customer", turn["text"]) for turn in json.loads(line)["turns"]]
        for line in lines
    )
    return [dialogue for dialogue in whole if len(dialogue) in _TURNS][:count]


def print_table(found: Sequence[tuple[Traffic, int, Outcome]]) -> None:
    """A row for each kind of traffic."""
    header = ["agent", "model", "minimum", "conversation every", "requests", "eligible tokens"]
    header += ["of these read", "no caching $", "paid $", "net saving", "always marked", "oracle"]
    header += ["regret", "reserved"]
    rows = [
        [
            traffic.name,
            traffic.model.removeprefix("claude-"),
            f"{minimum:,}",
            f"{traffic.minutes_between:g} min",
            f"{out.requests:,}",
            f"{out.eligible:,}",
            f"{out.read_share:.1%}" if out.eligible else "-",
            f"{out.uncached / 1e9:.4f}",
            f"{out.paid / 1e9:.4f}",
            *(f"{1 - cost / out.uncached:.1%}" for cost in (out.paid, out.always, out.oracle)),
            f"{out.regret:.1%}",
            f"{out.reserved:.2f} ×",
        ]
        for traffic, minimum, out in found
    ]
    print(table(header, rows))


async def measure(
    services: FleetServices, traffic: Traffic, dialogues: Sequence[Dialogue]
) -> tuple[Traffic, int, Outcome]:
    """One kind of traffic, by a service and a provider of its own."""
    minimum = pricing.load().facts(f"anthropic/{traffic.model}").cache_minimum_tokens or 0
    claude = await FakeAnthropic(cache_minimum_tokens=minimum).start()
    running = await services.start(
        "llm-gateway",
        anthropic_api_key=SecretStr("sk-eval"),
        anthropic_base_url=claude.url,
        answer_model=f"anthropic/{traffic.model}",
        embed_workers=0,
    )
    try:
        sent = await drive(running, claude, uuid4(), traffic, asked(dialogues, traffic))
        (row,) = await running.rows(
            "select sum((item->>'units')::bigint)::bigint as units from usage_call,"
            " jsonb_array_elements(reserved) item where item->>'kind' <> 'output_token'"
        )
    finally:
        await claude.stop()
    return traffic, minimum, outcome(sent, traffic.model, minimum, row["units"])


async def main(options: argparse.Namespace, folder: Path, run: Run) -> None:
    """Measures each kind of traffic and prints a table."""
    logging.configure("eval", "error")
    server = NatsServer(folder)
    server.start()
    generate_keys(folder / "keys", SERVICES)
    services = FleetServices(Databases(run), server, folder / "keys", folder)
    dialogues = dialogues_of(options.data, options.conversations)
    try:
        found = [await measure(services, traffic, dialogues) for traffic in TRAFFIC]
    finally:
        await services.stop_all()
        server.stop()
    print(f"{len(dialogues)} conversations; prices of the price book, input tokens only\n")
    print_table(found)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--conversations", type=int, default=200)
    shared = Run.begin()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            asyncio.run(main(arguments.parse_args(), Path(scratch), shared))
    finally:
        shared.end()
