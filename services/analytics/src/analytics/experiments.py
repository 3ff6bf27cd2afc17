"""What became of the turns of an experiment, arm by arm, and how sure that is.

A conversation keeps its arm, and its turns are alike. So a mean over turns is the ratio of two sums
over conversations, with the variance of a ratio (Cochran, Sampling Techniques, 1977, section 6.4).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from fleetkit.postgres import Database

from analytics.store import experiments as store
from analytics.store.experiments import SumsRow

MEASURES = ("answered", "handed_over", "relevance", "citations", "duration_ms", "cost")
# Of 95 % on both sides of a normal distribution.
_NORMAL = 1.96


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and its standard error; None below two conversations."""

    mean: float
    error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval."""
        if self.error is None:
            return None
        return self.mean - _NORMAL * self.error, self.mean + _NORMAL * self.error


@dataclass(frozen=True, slots=True)
class Arm:
    """The figures of an arm by measure; nothing where no turn has ended."""

    conversations: int
    turns: int
    estimates: Mapping[str, Estimate]


async def get_experiment(db: Database, tenant_id: UUID, experiment_id: UUID) -> tuple[Arm, Arm]:
    """The control and the challenger; both empty for what nobody knows."""
    async with db.tenant(tenant_id) as conn:
        rows = await store.sums(conn, tenant_id, experiment_id)
    return _arm([row for row in rows if not row.challenger]), _arm(
        [row for row in rows if row.challenger]
    )


def difference(control: Arm, challenger: Arm) -> Mapping[str, Estimate]:
    """The challenger less the control, by measure; empty unless both have turns."""
    found: dict[str, Estimate] = {}
    for name, after in challenger.estimates.items():
        before = control.estimates.get(name)
        if before is None:
            continue
        known = after.error is not None and before.error is not None
        error = math.hypot(after.error or 0.0, before.error or 0.0) if known else None
        found[name] = Estimate(after.mean - before.mean, error)
    return found


def estimate(row: SumsRow) -> Estimate:
    """The mean over turns with the standard error over conversations."""
    mean = row.sum_y / row.turns
    if row.conversations < 2:
        return Estimate(mean, None)
    spread = row.sum_yy - 2 * mean * row.sum_yn + mean * mean * row.sum_nn
    scale = row.conversations / (row.conversations - 1)
    return Estimate(mean, math.sqrt(max(scale * spread, 0.0)) / row.turns)


def _arm(rows: list[SumsRow]) -> Arm:
    if not rows:
        return Arm(0, 0, {})
    return Arm(rows[0].conversations, rows[0].turns, {row.measure: estimate(row) for row in rows})
