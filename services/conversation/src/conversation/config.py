"""Settings of conversation, from the environment."""

from typing import ClassVar, Self

from fleetkit.config import FleetSettings
from pydantic import Field, model_validator


class Settings(FleetSettings):
    """What conversation needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "conversation"

    turn_deadline_s: float = Field(default=60.0, gt=0, le=110)
    """The longest a turn may take; below the 120 s that any RPC of a listener may last."""
    max_concurrent_turns: int = Field(default=64, ge=1, le=10_000)
    """Turns this process answers at once; more are refused with a time to try again."""
    turn_lease_s: float = Field(default=6.0, ge=0.3, le=120)
    """How long a turn counts as alive after its process was last heard of."""
    turn_sweep_interval_s: float = Field(default=5.0, gt=0)
    """How often turns of dead processes are looked for."""
    delta_interval_ms: int = Field(default=50, ge=1, le=5_000)
    """The pause between two writes of streamed text; the first text is written at once."""
    delta_max_chars: int = Field(default=400, ge=1, le=100_000)
    """Streamed text that is written without waiting for the pause to end."""
    watch_poll_s: float = Field(default=2.0, gt=0, le=60)
    """How often a listener looks at the table although nothing was notified."""
    turn_events_days: int = Field(default=7, ge=1, le=3_650)
    """How long listeners can resume; the messages' text is kept apart from this."""
    answer_threshold_millis: int = Field(default=500, ge=0, le=1_000)
    """Relevance from which an agent answers, in thousandths, unless it has its own."""
    handoff_threshold_millis: int = Field(default=300, ge=0, le=1_000)
    """Relevance below which an agent hands over at once, in thousandths, unless it has its own."""
    rerank_turns: bool = False
    """Have the passages of a turn reranked: worth its time with a hosted reranker."""

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> Self:
        if self.handoff_threshold_millis > self.answer_threshold_millis:
            raise ValueError("handoff_threshold_millis is above answer_threshold_millis")
        return self
