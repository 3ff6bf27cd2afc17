"""The goals shown beside the figures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Targets:
    """Shares in thousandths, times in milliseconds, amounts in nano-dollars."""

    conversations_per_week: int = 50
    answered_alone_millis: int = 600
    handed_over_millis: int = 250
    first_token_p95_ms: int = 1_000
    per_conversation_nanos: int = 100_000_000
    cache_hit_rate_millis: int = 800


TARGETS = Targets()
