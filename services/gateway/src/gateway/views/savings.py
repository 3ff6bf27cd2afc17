"""What was saved, with the arithmetic open, and how prompt caching fares."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from fleetdesk.analytics.v1.analytics_service_pb2 import GetCachingResponse
from fleetdesk.analytics.v1.saving_pb2 import CachingFigures, FrameSaving, SavingLine, Savings

from gateway.views.format import (
    Money,
    When,
    count,
    money,
    percent,
    price_per_million,
    when_of,
)
from gateway.views.models import kind_name

_HIT = "response_cache_hit"
_MILLION = 1_000_000
# A hundredth of a cent.
_SHOWN_NANOS = 100_000


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the arithmetic: units, what they would have cost and did, and at which prices."""

    model: str
    units: str
    would: Money
    would_price: str
    paid: Money
    paid_price: str
    saved: Money


@dataclass(frozen=True, slots=True)
class Saving:
    """One of the savings; `steps` and `note` say how it is reckoned."""

    key: str
    label: str
    amount: Money
    note: str
    would_label: str
    paid_label: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class SavingsSection:
    """The section: baseline − the savings = what was paid."""

    headline: str
    baseline: Money
    baseline_model: str
    savings: tuple[Saving, ...]
    paid: Money


@dataclass(frozen=True, slots=True)
class CachingRow:
    """Prompt caching of one agent and model; the rate is 0–1."""

    title: str
    rate: float
    read: str
    written_5m: str
    written_1h: str
    uncached: str
    premium: Money
    saved: Money


@dataclass(frozen=True, slots=True)
class CachingSection:
    """The section; `below` says since when the goal is missed."""

    headline: str
    below: When | None
    target: float
    rows: tuple[CachingRow, ...]


def savings_section(savings: Savings, baseline_model: str) -> SavingsSection | None:
    """None when nothing differs from the baseline."""
    if savings.baseline_nanos == savings.actual_nanos:
        return None
    saved = savings.baseline_nanos - savings.actual_nanos
    share = percent(abs(saved) / savings.baseline_nanos)
    headline = (
        f"{money(saved).short} less than the baseline: {share}."
        if saved >= 0
        else f"{money(-saved).short} more than the baseline."
    )
    return SavingsSection(
        headline=headline,
        baseline=money(savings.baseline_nanos),
        baseline_model=baseline_model,
        savings=(
            _routing(savings, baseline_model),
            _caching(savings),
            _given_again(savings),
            _frames(savings.frames),
        ),
        paid=money(savings.actual_nanos),
    )


def caching_section(
    found: GetCachingResponse, agents: Mapping[str, str], label: str, now: datetime
) -> CachingSection | None:
    """None when no cache was read or written."""
    total = found.total
    if not found.items:
        return None
    rate, target = total.hit_rate_millis / 1000, found.target_hit_rate_millis / 1000
    saved = money(abs(total.saved_nanos)).short
    verb = "Saved" if total.saved_nanos >= 0 else "Lost"
    return CachingSection(
        headline=(
            f"{verb} {saved} ({label}) through prompt caching, at a hit rate of {percent(rate)}."
        ),
        below=when_of(found.alert.begin_time, now) if found.HasField("alert") else None,
        target=target,
        rows=tuple(_caching_row(item, agents) for item in found.items),
    )


def _routing(savings: Savings, baseline_model: str) -> Saving:
    lines = [line for line in savings.lines if line.baseline_nanos != line.uncached_nanos]
    return Saving(
        key="routing",
        label="Routing",
        amount=money(savings.routing_nanos),
        note=(
            f"Every token at the prices of {baseline_model or 'the baseline model'} without a"
            " cache, less the same tokens at the model that was asked, without a cache."
        ),
        would_label="At the baseline",
        paid_label="At the model asked",
        steps=tuple(_step(line, line.baseline_nanos, line.uncached_nanos) for line in lines),
    )


def _caching(savings: Savings) -> Saving:
    lines = [line for line in savings.lines if line.kind.startswith("cache_")]
    return Saving(
        key="caching",
        label="Prompt caching",
        amount=money(savings.prompt_caching_nanos),
        note=(
            "Prompt tokens at the price of plain input, less what reading them from the cache or"
            " writing them to it cost. A write is dearer than input: its line is a loss."
        ),
        would_label="As plain input",
        paid_label="Paid",
        steps=tuple(_step(line, line.uncached_nanos, line.amount_nanos) for line in lines),
    )


def _given_again(savings: Savings) -> Saving:
    lines = [line for line in savings.lines if line.kind == _HIT]
    return Saving(
        key="again",
        label="Answers given again",
        amount=money(savings.response_cache_nanos),
        note="What the first answer to the very same question cost; giving it again is free.",
        would_label="The first answers",
        paid_label="Paid",
        steps=tuple(_step(line, line.uncached_nanos, line.amount_nanos) for line in lines),
    )


def _frames(frames: FrameSaving) -> Saving:
    not_sent = frames.duplicate_count + frames.superseded_count
    if not frames.captured_count:
        note = "No screen was shared."
    elif not frames.read_count:
        note = (
            f"{count(not_sent, 'frame')} not sent, but none was read: what one costs is not known."
        )
    else:
        note = (
            f"Of {count(frames.captured_count, 'frame')} {frames.duplicate_count:,} showed nothing"
            f" new and {frames.superseded_count:,} gave way to a newer one: {not_sent:,} not sent."
            f" {count(frames.read_count, 'frame')} read cost {money(frames.read_nanos).exact}."
            f" {not_sent:,} × {money(frames.read_nanos).exact} ÷ {frames.read_count:,} ="
            f" {money(frames.saved_nanos).exact}."
        )
    return Saving("frames", "Frames not sent", money(frames.saved_nanos), note, "", "", ())


def _step(line: SavingLine, would_nanos: int, paid_nanos: int) -> Step:
    is_hit = line.kind == _HIT
    return Step(
        model=line.model,
        units=count(line.units, "answer") if is_hit else f"{line.units:,} {_kind(line.kind)}",
        would=money(would_nanos),
        would_price="" if is_hit else _price(would_nanos, line.units),
        paid=money(paid_nanos),
        paid_price="" if is_hit else _price(paid_nanos, line.units),
        saved=money(would_nanos - paid_nanos),
    )


def _kind(kind: str) -> str:
    name = kind_name(kind)
    return name[0].lower() + name[1:]


def _price(nanos: int, units: int) -> str:
    """What a million of them cost on average: amounts are rounded call by call."""
    if not units:
        return ""
    shown = round(Fraction(nanos * _MILLION, units * _SHOWN_NANOS)) * _SHOWN_NANOS
    return f"{price_per_million(shown)} per million"


def _caching_row(item: CachingFigures, agents: Mapping[str, str]) -> CachingRow:
    agent = agents.get(item.agent_id, "An agent") if item.agent_id else "No agent"
    return CachingRow(
        title=f"{agent}: {item.model}",
        rate=item.hit_rate_millis / 1000,
        read=f"{item.read_tokens:,}",
        written_5m=f"{item.written_5m_tokens:,}",
        written_1h=f"{item.written_1h_tokens:,}",
        uncached=f"{item.uncached_tokens:,}",
        premium=money(item.premium_nanos),
        saved=money(item.saved_nanos),
    )
