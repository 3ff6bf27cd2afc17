"""What was saved, and how that is reckoned: from the ledger's entries and the counts of frames."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from uuid import UUID

from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database

from analytics import costs, hours
from analytics.costs import LONGEST
from analytics.store import savings as store
from analytics.store.costs import CostFilter
from analytics.store.savings import FrameCountRow, UnitRow

HIT = "response_cache_hit"
_READ = "cache_read_token"
_WRITTEN_5M = "cache_write_5m_token"
# Beside an hour, as long as the provider chooses (OpenAI's 30 minutes): for what lasts.
_WRITTEN_LONG = ("cache_write_1h_token", "cache_write_30m_token")
_UNCACHED = "input_token"
_CACHE = "cache_"
# What vision-agent has read of shared screens, as the ledger calls it.
_SCREEN = "screen"


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a period, what reading cost, and what it would have cost to read all of them."""

    counts: FrameCountRow
    read_nanos: int
    saved_nanos: int


@dataclass(frozen=True, slots=True)
class Savings:
    """baseline = actual + routing + prompt_caching + response_cache + frames, exactly."""

    actual_nanos: int
    unconfirmed_nanos: int
    routing_nanos: int
    prompt_caching_nanos: int
    response_cache_nanos: int
    lines: list[UnitRow]
    frames: Frames

    @property
    def baseline_nanos(self) -> int:
        """What would have been paid."""
        return sum(line.baseline_nanos for line in self.lines) + self.frames.saved_nanos


@dataclass(frozen=True, slots=True)
class Caching:
    """How prompt caching fares; tokens of prompts, `premium` and `read_saved` against input."""

    agent_id: UUID | None
    model: str
    read_tokens: int
    written_5m_tokens: int
    written_1h_tokens: int
    uncached_tokens: int
    premium_nanos: int
    read_saved_nanos: int

    @property
    def cached_tokens(self) -> int:
        """Read or written."""
        return self.read_tokens + self.written_5m_tokens + self.written_1h_tokens

    @property
    def hit_rate_millis(self) -> int:
        """Read ÷ (read + written), in thousandths; 0 where neither."""
        used = self.cached_tokens
        return round(Fraction(self.read_tokens * 1000, used)) if used else 0

    @property
    def saved_nanos(self) -> int:
        """What is left of the saving once the writes are paid."""
        return self.read_saved_nanos - self.premium_nanos


async def get_savings(db: Database, tenant_id: UUID, start: datetime, end: datetime) -> Savings:
    """The comparison of a period."""
    lines = await _units(db, tenant_id, start, end, by_agent=False)
    async with db.tenant(tenant_id) as conn:
        counts = await store.sum_frames(conn, tenant_id, start, end)
    read = await costs.summarize(
        db,
        tenant_id,
        "purpose",
        "",
        CostFilter(start_time=start, end_time=end, purpose=_SCREEN),
    )
    actual = sum(line.amount_nanos for line in lines)
    caching = sum(line.saved_nanos for line in lines if line.kind.startswith(_CACHE))
    again = sum(line.saved_nanos for line in lines if line.kind == HIT)
    baseline = sum(line.baseline_nanos for line in lines)
    return Savings(
        actual_nanos=actual,
        unconfirmed_nanos=sum(line.unconfirmed_nanos for line in lines),
        routing_nanos=baseline - actual - caching - again,
        prompt_caching_nanos=caching,
        response_cache_nanos=again,
        lines=lines,
        frames=frames_saved(counts, read.total_nanos),
    )


async def get_caching(
    db: Database, tenant_id: UUID, start: datetime, end: datetime
) -> tuple[Caching, list[Caching]]:
    """All together, and by agent and model those that read or wrote a cache, the most first."""
    rows = await _units(db, tenant_id, start, end, by_agent=True)
    by_model: dict[tuple[UUID | None, str], list[UnitRow]] = {}
    for row in rows:
        by_model.setdefault((row.agent_id, row.model), []).append(row)
    items = [
        _caching(agent_id, model, units)
        for (agent_id, model), units in by_model.items()
        if any(unit.kind.startswith(_CACHE) for unit in units)
    ]
    items.sort(key=lambda item: -item.cached_tokens)
    cached = {(item.agent_id, item.model) for item in items}
    counted = [row for row in rows if (row.agent_id, row.model) in cached]
    return _caching(None, "", counted), items


def frames_saved(counts: FrameCountRow, read_nanos: int) -> Frames:
    """Frames that were not read, at what one that was read cost on average; nothing without one."""
    not_read = counts.duplicate_count + counts.superseded_count
    saved = round(Fraction(not_read * read_nanos, counts.read_count)) if counts.read_count else 0
    return Frames(counts, read_nanos, saved)


def _caching(agent_id: UUID | None, model: str, units: list[UnitRow]) -> Caching:
    def tokens(*kinds: str) -> int:
        return sum(unit.units for unit in units if unit.kind in kinds)

    of_cache = [unit for unit in units if unit.kind.startswith(_CACHE)]
    return Caching(
        agent_id=agent_id,
        model=model,
        read_tokens=tokens(_READ),
        written_5m_tokens=tokens(_WRITTEN_5M),
        written_1h_tokens=tokens(*_WRITTEN_LONG),
        uncached_tokens=tokens(_UNCACHED),
        premium_nanos=-sum(unit.saved_nanos for unit in of_cache if unit.kind != _READ),
        read_saved_nanos=sum(unit.saved_nanos for unit in of_cache if unit.kind == _READ),
    )


async def _units(
    db: Database, tenant_id: UUID, start: datetime, end: datetime, *, by_agent: bool
) -> list[UnitRow]:
    if start >= end:
        raise InvalidArgument("the period ends before it has begun", field="start_time")
    if end - start > LONGEST:
        raise InvalidArgument(f"ask for at most {LONGEST.days} days", field="end_time")
    async with db.tenant(tenant_id) as conn:
        await hours.refresh(conn, tenant_id)
        parts = hours.parts(tenant_id, start, end)
        return await store.sum_units(conn, tenant_id, parts, by_agent=by_agent)
