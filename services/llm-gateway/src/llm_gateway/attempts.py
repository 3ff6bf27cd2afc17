"""The attempts of one answer: the next model takes over where one fails.

An attempt fails when its model does not answer from the passages, when its text is not carried by
them, or when its provider refuses, breaks off or is too slow. As long as another attempt may
follow, text goes out through a `Gate`: what the visitor has seen is sound, and the next attempt
goes on after it. The last attempt of an answer that shows nothing yet streams as it comes.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from fleetkit import context
from fleetkit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FleetError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from fleetkit.logging import get_logger
from fleetkit.telemetry import counter

from llm_gateway.breaker import Breaker, CircuitView
from llm_gateway.caching.planner import Planner
from llm_gateway.caching.prefixes import PrefixCounts
from llm_gateway.gate import Gate, NotSupported, Shown
from llm_gateway.ledger import Attempt
from llm_gateway.metering import Metered, Metering
from llm_gateway.models import AnswerModel, Tier
from llm_gateway.question import Cited, Finished, FinishReason, Piece, Question, TextDelta

# With less time left a further attempt would only cost.
_LEAST_LEFT_S = 2.0
_SLOW = ("FIRST_TOKEN_TIMEOUT", "STREAM_SILENT")
# What a provider has against our configuration or this prompt; another one may not.
_REFUSALS = (
    "PROVIDER_CREDENTIALS",
    "PROVIDER_REFUSED",
    "MODEL_NOT_FOUND",
    "PROMPT_TOO_LONG",
    "CONTENT_FILTERED",
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an attempt may keep a visitor waiting while another could take over, in seconds.

    Until its first text that may be shown, and between two pieces after that.
    """

    first_text_s: float
    silence_s: float


@dataclass(frozen=True, slots=True)
class Completed:
    """The end of an answer; the attempt that ended it stands on the ledger as `call_id`."""

    reason: FinishReason
    support: float
    model: str
    call_id: UUID
    tier: int
    tier_reason: str


@dataclass(slots=True)
class _Attempt:
    """One attempt. `failure` says why the next one is made, `reason` why this one is."""

    tier: Tier
    reason: str
    follows: bool
    metered: Metered | None = None
    finished: Finished | None = None
    failure: str = ""
    error: FleetError | None = None

    def completed(self, reason: FinishReason, support: float) -> Completed:
        if self.metered is None:
            raise AssertionError("an attempt that came to an end was on the ledger")
        return Completed(
            reason,
            support,
            self.tier.model.name,
            self.metered.call.call_id,
            self.tier.tier,
            self.reason,
        )


class Attempts:
    """Makes answers, each by as many attempts as it takes."""

    def __init__(
        self,
        metering: Metering,
        prefixes: PrefixCounts,
        planner: Planner,
        breaker: Breaker,
        patience: Patience,
    ) -> None:
        self._metering = metering
        self._prefixes = prefixes
        self._planner = planner
        self._breaker = breaker
        self._patience = patience

    async def answer(
        self, tenant_id: UUID, question: Question, tiers: Sequence[Tier], reason: str = ""
    ) -> AsyncGenerator[TextDelta | Cited | Completed, None]:
        """The answer by the first of `tiers` that makes one; `reason`: why not by tier 1.

        Tiers below the first one given are asked only where the others' providers fail.

        When none does and no model has judged the question, the last provider's error passes;
        Unavailable (MODELS_COOLING_DOWN) when all of them are being left alone.
        """
        shown = Shown()
        made: list[_Attempt] = []
        for place, tier in enumerate(tiers):
            if not self._may_be_asked(tenant_id, tier):
                reason = reason if made else "cooling_down"
                continue
            if made and (not _time_left() or _is_spare(tier, tiers[0], made)):
                break
            attempt = _Attempt(tier, reason, follows=bool(made))
            more = any(self._may_be_asked(tenant_id, later) for later in tiers[place + 1 :])
            async with aclosing(self._run(tenant_id, question, attempt, shown, more)) as pieces:
                async for piece in pieces:
                    shown.add(piece)
                    yield piece
            if attempt.metered is None:
                break
            _count(attempt)
            if attempt.finished is not None and not attempt.failure:
                yield _whole(attempt, attempt.finished, shown)
                return
            made.append(attempt)
            reason = attempt.failure
        if not made:
            raise self._cooling_down(tenant_id, tiers)
        yield _given_up(made, shown)

    def circuits(self, tenant_id: UUID) -> list[CircuitView]:
        """How the providers and models fare that were asked, by name.

        Those by the tenant's own key stand in place of the fleet's.
        """
        views = {view.name: view for view in self._breaker.views()}
        scope = f"{tenant_id}:"
        own = {
            name.removeprefix(scope): replace(view, name=name.removeprefix(scope))
            for name, view in views.items()
            if name.startswith(scope)
        }
        fleets = {name: view for name, view in views.items() if ":" not in name.partition("/")[0]}
        return [view for _, view in sorted({**fleets, **own}.items())]

    async def _run(
        self, tenant_id: UUID, question: Question, attempt: _Attempt, shown: Shown, more: bool
    ) -> AsyncGenerator[TextDelta | Cited, None]:
        """One attempt, on the ledger whatever comes of it; errors that end the answer pass."""
        model = attempt.tier.model
        asked = replace(
            question,
            model=model.model,
            shown=shown.text,
            prefix_tokens=self._prefixes.tokens(tenant_id, model.name, model.provider, question),
        )
        asked = await self._planner.planned(tenant_id, model.name, model.provider.kinds, asked)
        at_most = model.provider.at_most(asked)
        paid_by = "tenant" if model.is_own else "fleet"
        which = Attempt(attempt.tier.tier, attempt.reason, paid_by)
        count = partial(model.provider.count, asked)
        call = self._metering.call(tenant_id, "answer", model.name, at_most, which, count)
        try:
            async with (
                call as attempt.metered,
                aclosing(
                    self._pieces(tenant_id, asked, attempt, attempt.metered, shown, more)
                ) as pieces,
            ):
                async for piece in pieces:
                    yield piece
        except FleetError as error:
            if attempt.metered is None and attempt.follows:
                # No budget is left for it, or the ledger is away: the answer ends as it is.
                return
            attempt.error, attempt.failure = error, _failure(error)
            if attempt.metered is None or not attempt.failure:
                raise

    async def _pieces(
        self,
        tenant_id: UUID,
        asked: Question,
        attempt: _Attempt,
        metered: Metered,
        shown: Shown,
        more: bool,
    ) -> AsyncGenerator[TextDelta | Cited, None]:
        """What of the attempt may be shown; tells the circuit how it went."""
        gate = Gate(asked, shown) if more or shown.text else None
        model = attempt.tier.model
        with self._breaker.trying(_circuit(tenant_id, model)) as trial:
            try:
                async with aclosing(model.provider.answer(asked, metered.meter)) as pieces:
                    limit_s = self._patience.first_text_s if more else None
                    while not isinstance(piece := await _next(pieces, limit_s), Finished):
                        for each in [piece] if gate is None else gate.take(piece):
                            limit_s = self._patience.silence_s if more else None
                            yield each
                trial.succeeded()
                attempt.finished = piece
                if piece.reason is FinishReason.UNSUPPORTED:
                    attempt.failure = "not_answered"
                elif gate is not None:
                    for each in gate.end():
                        yield each
                    for each in gate.remark():
                        yield each
            except NotSupported:
                attempt.failure = "not_supported"
            except FleetError as error:
                if _is_fault(error):
                    trial.failed(error, limited=isinstance(error, ResourceExhausted))
                raise

    def _may_be_asked(self, tenant_id: UUID, tier: Tier) -> bool:
        return self._breaker.wait_s(_circuit(tenant_id, tier.model)) == 0

    def _cooling_down(self, tenant_id: UUID, tiers: Sequence[Tier]) -> FleetError:
        wait_s = min(self._breaker.wait_s(_circuit(tenant_id, tier.model)) for tier in tiers)
        return Unavailable(
            "the models failed lately and are left alone for a moment: ask again then",
            reason="MODELS_COOLING_DOWN",
            retry_after_s=max(wait_s, 0.1),
        )


def _circuit(tenant_id: UUID, model: AnswerModel) -> str:
    """A tenant's own key has circuits of its own: a bad one is no fault of the fleet's."""
    return f"{tenant_id}:{model.name}" if model.is_own else model.name


async def _next(pieces: AsyncGenerator[Piece, None], limit_s: float | None) -> Piece:
    """The next piece. DeadlineExceeded after `limit_s`, Unavailable at an end that is none."""
    try:
        if limit_s is None:
            return await anext(pieces)
        async with asyncio.timeout(limit_s):
            return await anext(pieces)
    except TimeoutError as error:
        raise DeadlineExceeded(
            "the model was too slow, and another one is there", reason="STREAM_SILENT"
        ) from error
    except StopAsyncIteration as error:
        raise Unavailable("the answer broke off", reason="ANSWER_TRUNCATED") from error


def _failure(error: FleetError) -> str:
    """Why another model may do better; "" when it would not."""
    match error:
        case ResourceExhausted() if not error.reason.startswith("BUDGET"):
            return "rate_limited"
        case DeadlineExceeded() if error.reason in _SLOW:
            return "too_slow"
        case Unavailable() | FailedPrecondition() | InvalidArgument() if error.reason in _REFUSALS:
            return "provider_refused"
        case Unavailable():
            return "provider_failed"
        case _:
            return ""


def _is_fault(error: FleetError) -> bool:
    """Whether it says that the provider is not well, rather than that the request is not."""
    return _failure(error) in ("rate_limited", "too_slow", "provider_failed")


def _whole(attempt: _Attempt, finished: Finished, shown: Shown) -> Completed:
    support = finished.support
    if attempt.follows and shown.text:
        # Two models' measures in one: the part that rests on citations is what both mean.
        support = min(support, shown.support)
    return attempt.completed(finished.reason, support)


def _given_up(made: Sequence[_Attempt], shown: Shown) -> Completed:
    """How an answer ends that no attempt made whole; raises what the last one failed with."""
    errors = [attempt.error for attempt in made if attempt.error is not None]
    judged = [attempt for attempt in made if attempt.error is None]
    if shown.text and judged:
        return judged[-1].completed(FinishReason.PARTIAL, shown.support)
    if judged:
        return judged[-1].completed(FinishReason.UNSUPPORTED, 0.0)
    raise errors[-1]


def _is_spare(tier: Tier, first: Tier, made: Sequence[_Attempt]) -> bool:
    """Whether a model further down has nothing to add: a better one has judged the question."""
    return tier.tier < first.tier and any(attempt.error is None for attempt in made)


def _time_left() -> bool:
    left_s = context.remaining_s()
    return left_s is None or left_s >= _LEAST_LEFT_S


def _count(attempt: _Attempt) -> None:
    if attempt.failure:
        get_logger().info(
            "attempt_failed",
            tier=attempt.tier.tier,
            model=attempt.tier.model.name,
            why=attempt.failure,
            reason=attempt.error.reason if attempt.error else "",
        )
    counter(
        "fleetdesk_llm_attempts",
        "Attempts of answers by their place in the ladder and how they went.",
        ("tier", "outcome"),
    ).labels(str(attempt.tier.tier), attempt.failure or "ok").inc()
