"""Bodies of savings and of prompt caching. Amounts are integer nano-dollars."""

from datetime import datetime
from uuid import UUID

from fleetdesk.analytics.v1 import analytics_service_pb2, saving_pb2
from msgspec import Struct

from gateway.shapes.common import optional_id, time_of


class SavingLine(Struct, frozen=True):
    """What the ledger has of one kind of unit of one model at one price.

    `uncached_nanos` is what the same model would have cost without any cache, `baseline_nanos` the
    baseline model.
    """

    model: str
    kind: str
    price_nanos_per_million: int
    units: int
    amount_nanos: int
    uncached_nanos: int
    baseline_nanos: int

    @classmethod
    def of(cls, line: saving_pb2.SavingLine) -> "SavingLine":
        """From the proto."""
        return cls(**{name: getattr(line, name) for name in cls.__struct_fields__})


class FrameSaving(Struct, frozen=True):
    """Frames of shared screens that were not read: duplicates and superseded ones.

    Each at `read_nanos` ÷ `read_count`.
    """

    captured_count: int
    duplicate_count: int
    superseded_count: int
    read_count: int
    read_nanos: int
    saved_nanos: int

    @classmethod
    def of(cls, frames: saving_pb2.FrameSaving) -> "FrameSaving":
        """From the proto."""
        return cls(**{name: getattr(frames, name) for name in cls.__struct_fields__})


class Savings(Struct, frozen=True):
    """A period beside its baseline: every answer by one model, no cache, every frame read.

    `baseline_nanos` is the sum of `actual_nanos` and the four savings, to the nano-dollar.
    """

    baseline_model: str
    baseline_nanos: int
    actual_nanos: int
    unconfirmed_nanos: int
    routing_nanos: int
    prompt_caching_nanos: int
    response_cache_nanos: int
    frames_nanos: int
    lines: list[SavingLine]
    frames: FrameSaving

    @classmethod
    def of(cls, savings: saving_pb2.Savings, baseline_model: str) -> "Savings":
        """From the proto."""
        return cls(
            baseline_model=baseline_model,
            baseline_nanos=savings.baseline_nanos,
            actual_nanos=savings.actual_nanos,
            unconfirmed_nanos=savings.unconfirmed_nanos,
            routing_nanos=savings.routing_nanos,
            prompt_caching_nanos=savings.prompt_caching_nanos,
            response_cache_nanos=savings.response_cache_nanos,
            frames_nanos=savings.frames_nanos,
            lines=[SavingLine.of(line) for line in savings.lines],
            frames=FrameSaving.of(savings.frames),
        )


class CachingFigures(Struct, frozen=True):
    """Prompt tokens by what the cache had to do with them.

    `hit_rate` is read ÷ (read + written), null where neither; `saved_nanos` is `read_saved_nanos`
    less `premium_nanos`.
    """

    agent_id: UUID | None
    model: str | None
    read_tokens: int
    written_5m_tokens: int
    written_1h_tokens: int
    uncached_tokens: int
    hit_rate: float | None
    premium_nanos: int
    read_saved_nanos: int
    saved_nanos: int

    @classmethod
    def of(cls, figures: saving_pb2.CachingFigures) -> "CachingFigures":
        """From the proto."""
        used = figures.read_tokens + figures.written_5m_tokens + figures.written_1h_tokens
        return cls(
            agent_id=optional_id(figures.agent_id),
            model=figures.model or None,
            read_tokens=figures.read_tokens,
            written_5m_tokens=figures.written_5m_tokens,
            written_1h_tokens=figures.written_1h_tokens,
            uncached_tokens=figures.uncached_tokens,
            hit_rate=figures.hit_rate_millis / 1000 if used else None,
            premium_nanos=figures.premium_nanos,
            read_saved_nanos=figures.read_saved_nanos,
            saved_nanos=figures.saved_nanos,
        )


class CachingAlert(Struct, frozen=True):
    """Since when the hit rate of a day's prompts is below the goal, and what it was then."""

    begin_time: datetime
    hit_rate: float


class Caching(Struct, frozen=True):
    """How prompt caching fares: all together, and by agent and model, the most tokens first.

    `alert` is of now, whatever the period: null unless the last day is below the goal.
    """

    total: CachingFigures
    items: list[CachingFigures]
    target_hit_rate: float
    alert: CachingAlert | None

    @classmethod
    def of(cls, found: analytics_service_pb2.GetCachingResponse) -> "Caching":
        """From the proto."""
        return cls(
            total=CachingFigures.of(found.total),
            items=[CachingFigures.of(item) for item in found.items],
            target_hit_rate=found.target_hit_rate_millis / 1000,
            alert=CachingAlert(time_of(found.alert.begin_time), found.alert.hit_rate_millis / 1000)
            if found.HasField("alert")
            else None,
        )
