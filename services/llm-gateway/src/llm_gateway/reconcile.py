"""Holding the ledger against what a provider says was used, to the token.

Only what went by the fleet's key is compared. What is unconfirmed on the ledger may have been used
or not: a provider may report that much more, and no more.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import Database
from fleetkit.postgres.tenants import known_tenants

from llm_gateway.pricing import PROMPT
from llm_gateway.store import reconciling as store
from llm_gateway.store.reconciling import UnconfirmedRow

# Units by model and kind.
Used = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A kind of a model's tokens on the ledger, and as its provider reports them.

    `unconfirmed_units` may have been used beyond the ledger's: of a prompt, in any of its kinds.
    """

    model: str
    kind: str
    ledger_units: int
    provider_units: int
    unconfirmed_units: int

    @property
    def is_explained(self) -> bool:
        """Whether what is unconfirmed can be the whole difference."""
        return 0 <= self.provider_units - self.ledger_units <= self.unconfirmed_units


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How many kinds of models' tokens were compared, what differs, and what is unconfirmed."""

    compared: int
    differences: Sequence[Difference]
    unconfirmed: Sequence[tuple[UUID, UnconfirmedRow]]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs that is not explained."""
        return all(difference.is_explained for difference in self.differences)


async def reconcile(
    db: Database, provider: str, reported: Used, start: datetime, end: datetime
) -> Reconciled:
    """Compares the ledgers of all tenants, calls reserved in [start, end), with `reported`."""
    ledger: Used = Counter()
    unconfirmed: list[tuple[UUID, UnconfirmedRow]] = []
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            async with db.tenant(tenant_id) as conn:
                for row in await store.settled_units(conn, tenant_id, provider, start, end):
                    ledger[row.model, row.kind] += row.units
                rows = await store.unconfirmed_units(conn, tenant_id, provider, start, end)
            unconfirmed += [(tenant_id, row) for row in rows]
        after = tenants[-1]
    bounds: Used = Counter()
    for _, row in unconfirmed:
        bounds[row.model, _group(row.kind)] += row.units
    keys = sorted({key for key in {*ledger, *reported} if ledger[key] or reported[key]})
    differences = [
        Difference(*key, ledger[key], reported[key], bounds[key[0], _group(key[1])])
        for key in keys
        if ledger[key] != reported[key]
    ]
    return Reconciled(len(keys), differences, unconfirmed)


def _group(kind: str) -> str:
    """What a reservation of one of them may turn out to be."""
    return "prompt" if kind in PROMPT else kind
