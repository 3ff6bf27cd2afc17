"""Circuit breakers: a provider or model that fails is left alone for a while.

One state for each provider and each of its models, in this process. Five failures in a row open
a model's circuit, ten a provider's; a time to come back (Retry-After) opens the model's at once.
When the time is over one request tries; only its success closes the circuit again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from fleetkit.errors import FleetError

State = Literal["closed", "open", "trying"]

_MODEL_FAILURES = 5
_PROVIDER_FAILURES = 10
_FIRST_COOLDOWN_S = 5.0
_LONGEST_COOLDOWN_S = 120.0
# A provider's own time to come back is believed up to here.
_LONGEST_RETRY_S = 600.0
# A request that tries and is never heard of again must not keep the others out.
_TRY_LASTS_S = 60.0
# Tenants' own keys have circuits, too; closed ones are forgotten when there are so many.
_MOST_CIRCUITS = 10_000


@dataclass(frozen=True, slots=True)
class CircuitView:
    """How a provider ("provider") or model ("provider/model") fares; times by the real clock."""

    name: str
    state: State
    failures: int
    last_reason: str
    last_failure_time: datetime | None
    last_success_time: datetime | None
    retry_after_s: float


@dataclass(slots=True)
class _Circuit:
    opens_at_failures: int
    failures: int = 0
    open_until: float | None = None
    trying_until: float = 0.0
    cooldown_s: float = _FIRST_COOLDOWN_S
    last_reason: str = ""
    last_failure_time: datetime | None = None
    last_success_time: datetime | None = None

    def wait_s(self, now: float) -> float:
        """Seconds until it may be asked; 0 when it may."""
        if self.open_until is None:
            return 0.0
        return max(self.open_until - now, self.trying_until - now, 0.0)

    def succeed(self) -> None:
        self.failures = 0
        self.open_until = None
        self.cooldown_s = _FIRST_COOLDOWN_S
        self.last_success_time = datetime.now(UTC)

    def fail(self, reason: str, retry_after_s: float | None, now: float) -> None:
        tried = self.open_until is not None
        self.failures += 1
        self.last_reason = reason
        self.last_failure_time = datetime.now(UTC)
        if retry_after_s is not None:
            self.open_until = now + min(retry_after_s, _LONGEST_RETRY_S)
        elif tried or self.failures >= self.opens_at_failures:
            self.open_until = now + self.cooldown_s
            self.cooldown_s = min(self.cooldown_s * 2, _LONGEST_COOLDOWN_S)


class Trial:
    """One request to a model; say how it went, or nothing when that is not known."""

    def __init__(self, circuits: tuple[_Circuit, _Circuit], now: Callable[[], float]) -> None:
        self._provider, self._model = circuits
        self._now = now

    def succeeded(self) -> None:
        """The model answered, whatever it said."""
        self._provider.succeed()
        self._model.succeed()

    def failed(self, error: FleetError, *, limited: bool) -> None:
        """It failed. `limited`: it says that it is asked too often, which is the model's alone."""
        now = self._now()
        retry_after_s = error.retry_after_s if limited else None
        self._model.fail(error.reason, retry_after_s, now)
        if not limited:
            self._provider.fail(error.reason, None, now)


class Breaker:
    """The circuits of this process; `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._circuits: dict[str, _Circuit] = {}

    def wait_s(self, model: str) -> float:
        """Seconds until "provider/model" may be asked; 0 when it may."""
        now = self._now()
        return max(circuit.wait_s(now) for circuit in self._of(model))

    @contextmanager
    def trying(self, model: str) -> Iterator[Trial]:
        """A request to "provider/model". While a circuit is open it is the one that tries."""
        circuits = self._of(model)
        opened = [circuit for circuit in circuits if circuit.open_until is not None]
        for circuit in opened:
            circuit.trying_until = self._now() + _TRY_LASTS_S
        try:
            yield Trial(circuits, self._now)
        finally:
            for circuit in opened:
                circuit.trying_until = 0.0

    def views(self) -> list[CircuitView]:
        """Every provider and model that was asked, by name."""
        now = self._now()
        return [_view(name, circuit, now) for name, circuit in sorted(self._circuits.items())]

    def _of(self, model: str) -> tuple[_Circuit, _Circuit]:
        provider = model.partition("/")[0]
        if model not in self._circuits and len(self._circuits) >= _MOST_CIRCUITS:
            closed = [name for name, each in self._circuits.items() if each.open_until is None]
            for name in closed:
                del self._circuits[name]
        return (
            self._circuits.setdefault(provider, _Circuit(_PROVIDER_FAILURES)),
            self._circuits.setdefault(model, _Circuit(_MODEL_FAILURES)),
        )


def _view(name: str, circuit: _Circuit, now: float) -> CircuitView:
    wait_s = circuit.wait_s(now)
    state: State = "closed"
    if circuit.open_until is not None:
        state = "open" if now < circuit.open_until else "trying"
    return CircuitView(
        name,
        state,
        circuit.failures,
        circuit.last_reason,
        circuit.last_failure_time,
        circuit.last_success_time,
        wait_s,
    )
