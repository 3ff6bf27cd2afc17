"""Rows of the ledger, of budgets and prices as protos have them."""

from collections.abc import Collection, Iterable
from uuid import UUID

from fleetdesk.llm_gateway.v1 import budget_pb2, usage_pb2
from fleetdesk.llm_gateway.v1 import model_settings_service_pb2 as settings_pb
from fleetkit.rpc.fields import timestamp

from llm_gateway.prices import ListedPrice
from llm_gateway.pricing import Tier
from llm_gateway.store.budgets import BudgetRow
from llm_gateway.store.ledger import EntryRow
from llm_gateway.store.model_settings import ProviderKeyRow

_STATUSES = {
    "settled": usage_pb2.USAGE_STATUS_SETTLED,
    "unconfirmed": usage_pb2.USAGE_STATUS_UNCONFIRMED,
}


def to_entry(row: EntryRow) -> usage_pb2.UsageEntry:
    """An entry of the ledger."""
    return usage_pb2.UsageEntry(
        usage_id=str(row.usage_id),
        call_id=str(row.call_id),
        create_time=timestamp(row.create_time),
        service=row.service,
        provider=row.provider,
        model=row.model,
        kind=row.kind,
        purpose=row.purpose,
        units=row.units,
        price_nanos_per_million=row.price_nanos_per_million,
        price_book_version=row.price_book_version,
        amount_nanos=row.amount_nanos,
        saved_nanos=row.saved_nanos,
        baseline_nanos=row.baseline_nanos,
        status=_STATUSES[row.status],
        message_id=_text(row.message_id),
        conversation_id=_text(row.conversation_id),
        agent_id=_text(row.agent_id),
        visitor_id=_text(row.visitor_id),
        tier=row.tier,
        tier_reason=row.tier_reason,
        paid_by=row.paid_by,
    )


def to_budget(row: BudgetRow) -> budget_pb2.Budget:
    """A budget."""
    return budget_pb2.Budget(
        budget_id=str(row.budget_id),
        level=budget_pb2.BudgetLevel.Value(f"BUDGET_LEVEL_{row.level.upper()}"),
        target_id=_text(row.target_id),
        period=budget_pb2.BudgetPeriod.Value(f"BUDGET_PERIOD_{row.period.upper()}"),
        limit_nanos=row.limit_nanos,
        hard=row.hard,
        create_time=timestamp(row.create_time),
    )


def to_price(price: ListedPrice, configured: Collection[str]) -> settings_pb.ModelPrice:
    """A model's price; `configured` are the providers that are."""
    model = price.priced.model
    return settings_pb.ModelPrice(
        model=model,
        serves=price.priced.serves,
        source=price.of_book.source,
        source_date=price.of_book.date.isoformat(),
        tiers=_tiers(price.holding.tiers),
        book_tiers=_tiers(price.of_book.tiers),
        is_own=price.own is not None,
        own_since=timestamp(price.own.since) if price.own else None,
        is_configured=model.partition("/")[0] in configured,
    )


def to_provider_key(row: ProviderKeyRow) -> settings_pb.ProviderKey:
    """A tenant's key, as far as it is shown."""
    return settings_pb.ProviderKey(
        provider=row.provider, last_four=row.last_four, create_time=timestamp(row.create_time)
    )


def _tiers(tiers: Iterable[Tier]) -> list[settings_pb.PriceTier]:
    return [
        settings_pb.PriceTier(
            above_prompt_tokens=tier.above_prompt_tokens, prices=dict(tier.prices)
        )
        for tier in tiers
    ]


def _text(value: UUID | None) -> str:
    return str(value) if value else ""
