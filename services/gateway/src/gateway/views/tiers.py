"""Which models of their ladders answered, beside the plan, and the most an answer can cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetdesk.analytics.v1.tier_pb2 import TierFigures
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2 import EstimateAnswerResponse

from gateway.views.format import Money, money


@dataclass(frozen=True, slots=True)
class TierLine:
    """A tier in the time shown; shares are 0–1 of the answers by models."""

    tier: int
    answers: int
    share: float
    planned_share: float
    per_answer: Money
    planned: Money


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most that one answer of an agent can cost, and how it compares with a resolution."""

    agent: str
    models: tuple[str, ...]
    most: Money
    share: float
    difficult_share: float


@dataclass(frozen=True, slots=True)
class TiersSection:
    """The section; `price` is what a resolution is sold at."""

    lines: tuple[TierLine, ...]
    worst: tuple[WorstCase, ...]
    price: Money


@dataclass(frozen=True, slots=True)
class Estimated:
    """An agent that has a ladder: its name, planned share of difficult questions, and bounds."""

    agent: str
    difficult_share_millis: int
    estimate: EstimateAnswerResponse


def tiers_section(
    figures: Sequence[TierFigures], estimated: Sequence[Estimated], price_nanos: int
) -> TiersSection | None:
    """None when there is no ladder and none answered: one model has no shares to compare."""
    if not estimated and not any(each.answers for each in figures if each.tier > 1):
        return None
    return TiersSection(
        lines=tuple(
            TierLine(
                each.tier,
                each.answers,
                each.share_millis / 1000,
                each.planned_share_millis / 1000,
                money(each.per_answer_nanos),
                money(each.planned_nanos),
            )
            for each in figures
        ),
        worst=tuple(
            WorstCase(
                each.agent,
                tuple(tier.model for tier in each.estimate.tiers),
                money(each.estimate.most_nanos),
                each.estimate.most_nanos / price_nanos if price_nanos > 0 else 0.0,
                each.difficult_share_millis / 1000,
            )
            for each in estimated
        ),
        price=money(max(price_nanos, 0)),
    )
