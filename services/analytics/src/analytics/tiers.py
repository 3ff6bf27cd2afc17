"""Which models of their ladders answered, and what an answer of each cost, beside the plan."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from uuid import UUID

from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database

from analytics.costs import LONGEST
from analytics.store import tiers as store

_TIERS = 3


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier of a period; shares in thousandths of the answers by models.

    `planned_share_millis` and `planned_nanos` are what the plan says of it.
    """

    tier: int
    answers: int
    share_millis: int
    per_answer_nanos: int
    planned_share_millis: int
    planned_nanos: int


# The plan of attempts: most are answered by the first model, and the dear ones are for the rest.
_PLANNED = {1: (600, 60_000_000), 2: (250, 80_000_000), 3: (150, 400_000_000)}


async def get_tiers(
    db: Database, tenant_id: UUID, start: datetime, end: datetime, agent_id: UUID | None
) -> list[Tier]:
    """All three tiers, also those that answered nothing."""
    if start >= end:
        raise InvalidArgument("the period ends before it has begun", field="start_time")
    if end - start > LONGEST:
        raise InvalidArgument(f"ask for at most {LONGEST.days} days", field="end_time")
    async with db.tenant(tenant_id) as conn:
        rows = await store.count_tiers(conn, tenant_id, start, end, agent_id)
    answers = {row.tier: row.answers for row in rows}
    amounts = {row.tier: row.amount_nanos for row in rows}
    total = sum(answers.values())
    return [
        Tier(
            tier=tier,
            answers=answers.get(tier, 0),
            share_millis=_ratio(answers.get(tier, 0) * 1000, total),
            per_answer_nanos=_ratio(amounts.get(tier, 0), answers.get(tier, 0)),
            planned_share_millis=_PLANNED[tier][0],
            planned_nanos=_PLANNED[tier][1],
        )
        for tier in range(1, _TIERS + 1)
    ]


def _ratio(part: int, whole: int) -> int:
    """Rounded half-even; 0 of nothing."""
    return round(Fraction(part, whole)) if whole else 0
