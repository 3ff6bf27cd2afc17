"""What a call's units come to: the rows of the ledger that its meter, or its reservation, makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetkit.ids import new_id

from llm_gateway.pricing import PROMPT, Period, Tier, Unit, amount_nanos
from llm_gateway.store.ledger import CallRow, EntryRow

# A provider's count is an estimate, a close one ("may differ by a small amount", Anthropic).
_MARGIN_PERCENT = 2
_MARGIN_TOKENS = 50


@dataclass(slots=True)
class Meter:
    """What a call has used so far, written by its provider.

    `begun` is set before the first byte that may be billed leaves; from then on a kind of unit
    that is never reported is unconfirmed at its reservation. Reports replace earlier ones.
    """

    begun: bool = False
    complete: bool = False
    units: dict[Unit, int] = field(default_factory=dict)

    def report(self, kind: Unit, units: int) -> None:
        """Says how many units of a kind the provider reports for the whole call so far."""
        self.begun = True
        self.units[kind] = units


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices that hold for a call, and those of the price book's baseline model, if any."""

    period: Period
    baseline: Period | None = None


def most_tokens(counted: int) -> int:
    """An upper bound of the tokens of what its provider counted."""
    return counted + counted * _MARGIN_PERCENT // 100 + _MARGIN_TOKENS


def counted_bound(at_most: Mapping[Unit, int], counted: int) -> Mapping[Unit, int]:
    """The bound of a call whose prompt its provider counted, as dear as its kinds can be."""
    left = most_tokens(counted)
    bound = dict(at_most)
    # Input is the cheapest that a prompt is reserved as: what may be written comes first.
    for kind in sorted(set(PROMPT) & set(bound), key=lambda kind: kind is Unit.INPUT):
        bound[kind] = min(bound[kind], left)
        left -= bound[kind]
    return bound


def reservation(period: Period, at_most: Mapping[Unit, int]) -> list[dict[str, Any]]:
    """The most that each kind of unit can cost: at the dearest tier that the prompt can be of."""
    tiers = period.reachable(sum(at_most.get(kind, 0) for kind in PROMPT))
    return [_reserved(tiers, kind, units) for kind, units in at_most.items()]


def entries_of(row: CallRow, prices: Prices, meter: Meter) -> list[EntryRow]:
    """What was reported, settled; what may have been billed and was not, unconfirmed."""
    prompt_tokens = sum(meter.units.get(kind, 0) for kind in PROMPT)
    tier = prices.period.tier(prompt_tokens)
    baseline = prices.baseline.tier(prompt_tokens) if prices.baseline else None
    entries = [
        _entry(row, kind, units, tier.price(kind), "settled", _saved(kind, units, tier), baseline)
        for kind, units in meter.units.items()
        if units
    ]
    if meter.begun and not meter.complete:
        entries += reservation_entries(
            row, [item for item in row.reserved if item["kind"] not in meter.units]
        )
    return entries


def reservation_entries(
    row: CallRow, reserved: Sequence[Mapping[str, Any]] | None = None
) -> list[EntryRow]:
    """Unconfirmed rows at the whole reservation, or at some items of it."""
    return [
        _entry(row, item["kind"], item["units"], item["price_nanos_per_million"], "unconfirmed")
        for item in (row.reserved if reserved is None else reserved)
        if item["units"]
    ]


def hit_entry(row: CallRow, saved_nanos: int, baseline_nanos: int) -> EntryRow:
    """The row of an answer that was there already: one unit, free."""
    return EntryRow(
        usage_id=new_id(),
        tenant_id=row.tenant_id,
        call_id=row.call_id,
        create_time=row.create_time,
        status="settled",
        service=row.service,
        provider=row.provider,
        model=row.model,
        kind=Unit.RESPONSE_CACHE_HIT,
        purpose=row.purpose,
        units=1,
        price_nanos_per_million=0,
        price_book_version=row.price_book_version,
        amount_nanos=0,
        saved_nanos=saved_nanos,
        baseline_nanos=baseline_nanos,
        message_id=row.message_id,
        conversation_id=row.conversation_id,
        agent_id=row.agent_id,
        visitor_id=row.visitor_id,
        tier=row.tier,
        tier_reason=row.tier_reason,
        paid_by=row.paid_by,
    )


def _reserved(tiers: Sequence[Tier], kind: Unit, units: int) -> dict[str, Any]:
    price = max(tier.price(kind) for tier in tiers)
    return {
        "kind": kind.value,
        "units": units,
        "price_nanos_per_million": price,
        "amount_nanos": amount_nanos(units, price),
    }


def _saved(kind: Unit, units: int, tier: Tier) -> int:
    if kind not in PROMPT or kind in (Unit.INPUT, Unit.IMAGE):
        return 0
    uncached = amount_nanos(units, tier.price(Unit.INPUT))
    return uncached - amount_nanos(units, tier.price(kind))


def _baseline(kind: str, units: int, own_nanos: int, baseline: Tier | None) -> int:
    """The units at the baseline model, uncached; what is no token of an answer, as it is."""
    if baseline is None or kind not in (*PROMPT, Unit.OUTPUT):
        return own_nanos
    price = baseline.price(Unit.OUTPUT if kind == Unit.OUTPUT else Unit.INPUT)
    return amount_nanos(units, price)


def _entry(
    row: CallRow,
    kind: str,
    units: int,
    price: int,
    status: str,
    saved_nanos: int = 0,
    baseline: Tier | None = None,
) -> EntryRow:
    amount = amount_nanos(units, price)
    return EntryRow(
        usage_id=new_id(),
        tenant_id=row.tenant_id,
        call_id=row.call_id,
        create_time=row.create_time,
        status=status,
        service=row.service,
        provider=row.provider,
        model=row.model,
        kind=str(kind),
        purpose=row.purpose,
        units=units,
        price_nanos_per_million=price,
        price_book_version=row.price_book_version,
        amount_nanos=amount,
        saved_nanos=saved_nanos,
        baseline_nanos=_baseline(kind, units, amount + saved_nanos, baseline),
        message_id=row.message_id,
        conversation_id=row.conversation_id,
        agent_id=row.agent_id,
        visitor_id=row.visitor_id,
        tier=row.tier,
        tier_reason=row.tier_reason,
        paid_by=row.paid_by,
    )
