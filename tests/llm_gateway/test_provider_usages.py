"""What providers report, against rows of the ledger that were worked out by hand.

A usage is as its provider writes it. Amounts are in nano-dollars: tokens × dollars per million
× 1,000, for example 1,234 tokens at $2 are 2,468,000.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from anthropic.types import Usage
from fleetkit.errors import FailedPrecondition
from llm_gateway import pricing
from llm_gateway.entries import Meter, Prices, entries_of, reservation
from llm_gateway.pricing import Unit
from llm_gateway.providers.anthropic_usage import report_prompt
from llm_gateway.providers.openai_compatible import report_usage
from llm_gateway.store.ledger import CallRow
from openai.types import CompletionUsage

DAY = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOOK = pricing.load()


class Case(NamedTuple):
    """`rows`: kind of unit → units, amount, saved by caching."""

    model: str
    usage: dict[str, Any]
    rows: dict[str, tuple[int, int, int]]
    at: datetime = DAY


def claude(tokens: int, output: int, read: int = 0, **written: int) -> dict[str, Any]:
    usage = {"input_tokens": tokens, "output_tokens": output, "cache_read_input_tokens": read}
    if not written:
        return usage
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    split |= {f"ephemeral_{ttl[1:]}_input_tokens": count for ttl, count in written.items()}
    total = sum(written.values())
    return {**usage, "cache_creation_input_tokens": total, "cache_creation": split}


def chat(tokens: int, output: int, **details: int) -> dict[str, Any]:
    total = {"prompt_tokens": tokens, "completion_tokens": output, "total_tokens": tokens + output}
    return {**total, "prompt_tokens_details": details or None}


SONNET, HAIKU = "anthropic/claude-sonnet-5-5", "anthropic/claude-haiku-5-5"
LUNA = "openai/gpt-6-luna"
EVERY_CLASS = claude(100, 10, read=5_000, _5m=2_000, _1h=1_000)
# Of $2 a million: a write for 5 minutes costs $2.50, for an hour $4.
WRITTEN = {
    "input_token": (100, 200_000, 0),
    "cache_write_5m_token": (2_000, 5_000_000, -1_000_000),
    "cache_write_1h_token": (1_000, 4_000_000, -2_000_000),
    "output_token": (10, 100_000, 0),
}
CASES = {
    "a plain answer": Case(
        SONNET,
        claude(1_234, 56),
        {"input_token": (1_234, 2_468_000, 0), "output_token": (56, 560_000, 0)},
    ),
    "every class of a cache": Case(
        SONNET, EVERY_CLASS, {**WRITTEN, "cache_read_token": (5_000, 500_000, 9_500_000)}
    ),
    "the last moment before reads became cheaper": Case(
        SONNET,
        EVERY_CLASS,
        {**WRITTEN, "cache_read_token": (5_000, 1_000_000, 9_000_000)},
        datetime(2026, 10, 6, 23, 59, 59, 999_999, tzinfo=UTC),
    ),
    "the midnight at which they did": Case(
        SONNET,
        EVERY_CLASS,
        {**WRITTEN, "cache_read_token": (5_000, 500_000, 9_500_000)},
        datetime(2026, 10, 7, tzinfo=UTC),
    ),
    "a write that does not tell for how long": Case(
        SONNET,
        {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 400},
        {
            "input_token": (1, 2_000, 0),
            "cache_write_5m_token": (400, 1_000_000, -200_000),
            "output_token": (1, 10_000, 0),
        },
    ),
    "the longest prompt at the lower prices": Case(
        HAIKU,
        claude(90_000, 20, read=10_000),
        {
            "input_token": (90_000, 9_000_000, 0),
            "cache_read_token": (10_000, 100_000, 900_000),
            "output_token": (20, 10_000, 0),
        },
    ),
    "one token more, and all of it is dearer": Case(
        HAIKU,
        claude(90_001, 20, read=10_000),
        {
            "input_token": (90_001, 45_000_500, 0),
            "cache_read_token": (10_000, 500_000, 4_500_000),
            "output_token": (20, 50_000, 0),
        },
    ),
    "a prompt that includes what was cached and pictures": Case(
        LUNA,
        chat(5_000, 100, cached_tokens=3_000, cache_write_tokens=1_000, image_tokens=500),
        {
            "input_token": (500, 50_000, 0),
            "cache_read_token": (3_000, 30_000, 270_000),
            "cache_write_30m_token": (1_000, 125_000, -25_000),
            "image_token": (500, 50_000, 0),
            "output_token": (100, 50_000, 0),
        },
    ),
    "pictures that were cached are counted once": Case(
        LUNA,
        chat(1_000, 0, cached_tokens=900, image_tokens=500),
        {"cache_read_token": (900, 9_000, 81_000), "image_token": (100, 10_000, 0)},
    ),
    "a long prompt of another provider": Case(
        LUNA,
        chat(272_001, 10),
        {"input_token": (272_001, 54_400_200, 0), "output_token": (10, 7_500, 0)},
    ),
    "a write without a price of its own costs as input": Case(
        "openai/gpt-4o",
        chat(2_000, 1, cached_tokens=1_000, cache_write_tokens=600),
        {
            "input_token": (400, 1_000_000, 0),
            "cache_read_token": (1_000, 1_250_000, 1_250_000),
            "cache_write_30m_token": (600, 1_500_000, 0),
            "output_token": (1, 10_000, 0),
        },
    ),
    "a read without a price of its own costs as input": Case(
        "gemini/gemini-3.1-flash-lite",
        chat(1_000, 2, cached_tokens=800),
        {
            "input_token": (200, 50_000, 0),
            "cache_read_token": (800, 200_000, 0),
            "output_token": (2, 3_000, 0),
        },
    ),
    "the last second of an introductory price": Case(
        "gemini/gemini-3.8-flash",
        chat(1_000, 10),
        {"input_token": (1_000, 750_000, 0), "output_token": (10, 37_500, 0)},
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
    ),
    "the first of the price after it": Case(
        "gemini/gemini-3.8-flash",
        chat(1_000, 10),
        {"input_token": (1_000, 1_500_000, 0), "output_token": (10, 75_000, 0)},
        datetime(2027, 1, 1, tzinfo=UTC),
    ),
    "embedded tokens": Case(
        "voyage/voyage-4-large",
        {Unit.EMBEDDING: 12_345},
        {"embedding_token": (12_345, 1_481_400, 0)},
    ),
    "a search": Case(
        "cohere/rerank-4-fast", {Unit.RERANK_SEARCH: 1}, {"rerank_search": (1, 2_000_000, 0)}
    ),
    "reranked tokens": Case(
        "voyage/rerank-2.5", {Unit.RERANK: 1_001}, {"rerank_token": (1_001, 50_050, 0)}
    ),
    # 1.5 nano-dollars, and 2.5: half to even.
    "a hundred and fifty microseconds": Case(
        "local/extractive", {Unit.COMPUTE_US: 150}, {"compute_us": (150, 2, 0)}
    ),
    "two hundred and fifty": Case(
        "local/extractive", {Unit.COMPUTE_US: 250}, {"compute_us": (250, 2, 0)}
    ),
}


def reported(model: str, usage: dict[str, Any]) -> Meter:
    meter = Meter()
    match model.partition("/")[0]:
        case "anthropic":
            report_prompt(meter, Usage.model_validate(usage))
            meter.report(Unit.OUTPUT, usage["output_tokens"])
        case "openai" | "gemini":
            report_usage(meter, CompletionUsage.model_validate(usage))
        case _:
            for kind, units in usage.items():
                meter.report(Unit(kind), units)
    meter.complete = True
    return meter


def row(model: str, at: datetime, reserved: list[dict[str, Any]]) -> CallRow:
    provider, _, name = model.partition("/")
    nothing: Any = dict.fromkeys(
        ("message_id", "conversation_id", "agent_id", "visitor_id", "knowledge_document_id")
    )
    return CallRow(
        call_id=UUID(int=1),
        tenant_id=UUID(int=2),
        create_time=at,
        service="conversation",
        operation="answer",
        provider=provider,
        model=name,
        purpose="turn",
        price_book_version=BOOK.version,
        reserved=reserved,
        reserved_nanos=0,
        tier=0,
        tier_reason="",
        **nothing,
    )


@pytest.mark.parametrize("name", CASES)
def test_is_on_the_ledger_to_the_nano_dollar(name: str) -> None:
    case = CASES[name]
    meter = reported(case.model, case.usage)
    period = BOOK.period(case.model, case.at)
    entries = entries_of(row(case.model, case.at, []), Prices(period), meter)
    assert {e.kind: (e.units, e.amount_nanos, e.saved_nanos) for e in entries} == case.rows
    assert {entry.status for entry in entries} == {"settled"}


@pytest.mark.parametrize(("prompt_tokens", "output_nanos"), [(4_000, 50_000), (300_000, 250_000)])
def test_what_was_not_reported_is_unconfirmed_at_the_dearest_price_of_such_a_prompt(
    prompt_tokens: int, output_nanos: int
) -> None:
    period = BOOK.period(HAIKU, DAY)
    meter = Meter()
    report_prompt(meter, Usage.model_validate(claude(10, 0)))
    reserved = reservation(period, {Unit.INPUT: prompt_tokens, Unit.OUTPUT: 100})
    entries = entries_of(row(HAIKU, DAY, reserved), Prices(period), meter)
    # The prompt is known; of 100 tokens of output none is, which cost $0.50 a million, and $2.50
    # where the prompt may be a long one.
    assert [(e.kind, e.units, e.amount_nanos, e.status) for e in entries] == [
        ("input_token", 10, 1_000, "settled"),
        ("output_token", 100, output_nanos, "unconfirmed"),
    ]


@pytest.mark.parametrize(
    ("model", "at"),
    [
        ("anthropic/claude-unknown-9", DAY),
        # Not sold before.
        ("anthropic/claude-opus-5-5", datetime(2026, 9, 21, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_model_without_a_price_is_refused(model: str, at: datetime) -> None:
    with pytest.raises(FailedPrecondition, match="has no price"):
        BOOK.period(model, at)
