"""How the models that this process calls fare: last success, last failure, how long calls take."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

_LATEST_CALLS = 256
_MOST_MODELS = 256


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """A model ("provider/model") since this process began; times by the real clock.

    `p50_ms` and `p95_ms` are of the latest 256 calls that succeeded, 0 before the first.
    """

    model: str
    calls: int
    failures: int
    last_success_time: datetime | None
    last_failure_time: datetime | None
    last_reason: str
    p50_ms: int
    p95_ms: int


@dataclass(slots=True)
class _Model:
    calls: int = 0
    failures: int = 0
    last_success_time: datetime | None = None
    last_failure_time: datetime | None = None
    last_reason: str = ""
    latest_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST_CALLS))


class Health:
    """Notes how calls ended. Models are those of the price book, so they are few."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}

    def note(self, model: str, seconds: float, failure: str) -> None:
        """A call's end; `failure` is the reason of its error, "" when there was none."""
        if model not in self._models and len(self._models) >= _MOST_MODELS:
            return
        noted = self._models.setdefault(model, _Model())
        noted.calls += 1
        if failure:
            noted.failures += 1
            noted.last_failure_time, noted.last_reason = datetime.now(UTC), failure
        else:
            noted.last_success_time = datetime.now(UTC)
            noted.latest_s.append(seconds)

    def models(self) -> list[ModelHealth]:
        """The models that were called, by name."""
        return [_health(name, noted) for name, noted in sorted(self._models.items())]


def _health(name: str, noted: _Model) -> ModelHealth:
    ordered = sorted(noted.latest_s)
    return ModelHealth(
        model=name,
        calls=noted.calls,
        failures=noted.failures,
        last_success_time=noted.last_success_time,
        last_failure_time=noted.last_failure_time,
        last_reason=noted.last_reason,
        p50_ms=_at(ordered, 50),
        p95_ms=_at(ordered, 95),
    )


def _at(ordered: list[float], percent: int) -> int:
    """The value that so many per cent are at or below, in milliseconds; 0 of none."""
    if not ordered:
        return 0
    return round(ordered[-(-len(ordered) * percent // 100) - 1] * 1000)
