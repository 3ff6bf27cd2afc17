"""The ledger as a file: CSV with our own columns, or FOCUS 1.2.

FOCUS (FinOps Open Cost and Usage Specification, version 1.2): its mandatory columns and those
conditional ones that apply, as that version names them; columns of our own begin with x_. Money
is in dollars with all of its digits: never a float.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database

from llm_gateway.store import ledger as store
from llm_gateway.store.ledger import EntryRow, Selection

FORMATS = ("csv", "focus")
_PAGE = 1_000
_MOST_DAYS = 366
_OPERATOR = "Fleetdesk"
_PUBLISHERS = {
    "anthropic": "Anthropic",
    "cohere": "Cohere",
    "gemini": "Google",
    "local": _OPERATOR,
    "openai": "OpenAI",
    "voyage": "Voyage AI",
}
_UNITS = {"compute_us": "Microseconds", "rerank_search": "Searches"}


@dataclass(frozen=True, slots=True)
class _Decimal:
    """An integer of 10^-digits, written out without an exponent."""

    value: int
    digits: int

    def __str__(self) -> str:
        whole, part = divmod(abs(self.value), 10**self.digits)
        decimals = f"{part:0{self.digits}d}".rstrip("0")
        sign = "-" if self.value < 0 else ""
        return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


Cell = str | int | _Decimal


async def export_usage(
    db: Database,
    tenant_id: UUID,
    file_format: str,
    start: datetime | None,
    end: datetime | None,
    now: datetime,
) -> AsyncIterator[bytes]:
    """The rows from `start` to before `end` (the current month if unset), oldest first, in pieces.

    InvalidArgument for more than 366 days. What is settled later than its page was read is not in
    the file: export a period that is over.
    """
    start = start or now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = end or now
    if end < start:
        raise InvalidArgument("the period ends before it has begun", field="start_time")
    if end - start > timedelta(days=_MOST_DAYS):
        raise InvalidArgument(f"a file has at most {_MOST_DAYS} days", field="end_time")
    columns = _COLUMNS[file_format]
    yield _lines([list(columns)])
    selection = Selection(start_time=start, end_time=end)
    after: tuple[datetime, UUID] | None = None
    while True:
        async with db.tenant(tenant_id) as conn:
            rows = await store.list_entries(conn, tenant_id, selection, after, _PAGE)
        if rows:
            yield _lines([[make(row) for make in columns.values()] for row in rows])
        if len(rows) < _PAGE:
            return
        after = (rows[-1].create_time, rows[-1].usage_id)


def _lines(rows: list[list[Cell]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _safe(cell: Cell) -> Cell:
    """A text that no spreadsheet takes for a formula; numbers are ours and stay numbers."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return cell


def _text(value: object) -> str:
    return "" if value is None else str(value)


_PLAIN: Mapping[str, Callable[[EntryRow], Cell]] = {
    "usage_id": lambda row: str(row.usage_id),
    "call_id": lambda row: str(row.call_id),
    "create_time": lambda row: row.create_time.astimezone(UTC).isoformat(),
    "status": lambda row: row.status,
    "service": lambda row: row.service,
    "provider": lambda row: row.provider,
    "model": lambda row: row.model,
    "kind": lambda row: row.kind,
    "purpose": lambda row: row.purpose,
    "units": lambda row: row.units,
    "price_nanos_per_million": lambda row: row.price_nanos_per_million,
    "price_book_version": lambda row: row.price_book_version,
    "amount_nanos": lambda row: row.amount_nanos,
    "saved_nanos": lambda row: row.saved_nanos,
    "paid_by": lambda row: row.paid_by,
    "message_id": lambda row: _text(row.message_id),
    "conversation_id": lambda row: _text(row.conversation_id),
    "agent_id": lambda row: _text(row.agent_id),
    "visitor_id": lambda row: _text(row.visitor_id),
}


def _dollars(row: EntryRow) -> _Decimal:
    return _Decimal(row.amount_nanos, 9)


def _list_cost(row: EntryRow) -> _Decimal:
    """Price × quantity before rounding to the nano-dollar."""
    return _Decimal(row.units * row.price_nanos_per_million, 15)


def _unit_price(row: EntryRow) -> _Decimal:
    return _Decimal(row.price_nanos_per_million, 9)


def _unit(row: EntryRow) -> str:
    return _UNITS.get(row.kind, "Requests" if row.kind.endswith("hit") else "Tokens")


def _second(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _month(time: datetime, ahead: int) -> str:
    month = time.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return _second((month + timedelta(days=32 * ahead)).replace(day=1))


def _publisher(row: EntryRow) -> str:
    return _PUBLISHERS.get(row.provider, row.provider)


def _subcategory(row: EntryRow) -> str:
    answers = row.kind.endswith("_token") and not row.kind.startswith(("embedding", "rerank"))
    return "Generative AI" if answers else "Other (AI and Machine Learning)"


def _tags(row: EntryRow) -> str:
    tags = {
        "fleetdesk/purpose": row.purpose,
        "fleetdesk/service": row.service,
        "fleetdesk/conversation_id": _text(row.conversation_id),
        "fleetdesk/message_id": _text(row.message_id),
    }
    return json.dumps({key: value for key, value in tags.items() if value}, sort_keys=True)


_FOCUS: Mapping[str, Callable[[EntryRow], Cell]] = {
    "BilledCost": _dollars,
    "BillingAccountId": lambda row: str(row.tenant_id),
    "BillingAccountName": lambda _: "",
    "BillingAccountType": lambda _: "Tenant",
    "BillingCurrency": lambda _: "USD",
    "BillingPeriodEnd": lambda row: _month(row.create_time, 1),
    "BillingPeriodStart": lambda row: _month(row.create_time, 0),
    "ChargeCategory": lambda _: "Usage",
    "ChargeClass": lambda _: "",
    "ChargeDescription": lambda row: f"{row.model}: {row.kind} for {row.purpose}",
    "ChargeFrequency": lambda _: "Usage-Based",
    "ChargePeriodEnd": lambda row: _second(row.create_time + timedelta(seconds=1)),
    "ChargePeriodStart": lambda row: _second(row.create_time),
    "ConsumedQuantity": lambda row: row.units,
    "ConsumedUnit": _unit,
    "ContractedCost": _list_cost,
    "ContractedUnitPrice": _unit_price,
    "EffectiveCost": _dollars,
    # A call by a key of the tenant's own is on its provider's invoice, any other on the fleet's.
    "InvoiceIssuerName": lambda row: _publisher(row) if row.paid_by == "tenant" else _OPERATOR,
    "ListCost": _list_cost,
    "ListUnitPrice": _unit_price,
    "PricingCategory": lambda _: "Standard",
    "PricingQuantity": lambda row: _Decimal(row.units, 6),
    "PricingUnit": lambda row: f"1000000 {_unit(row)}",
    "ProviderName": _publisher,
    "PublisherName": _publisher,
    "ServiceCategory": lambda _: "AI and Machine Learning",
    "ServiceName": lambda row: f"{_publisher(row)} {row.model}",
    "ServiceSubcategory": _subcategory,
    "SkuId": lambda row: f"{row.provider}/{row.model}/{row.kind}",
    "SkuMeter": lambda row: row.kind,
    "SkuPriceId": lambda row: (
        f"{row.provider}/{row.model}/{row.kind}/{row.price_nanos_per_million}"
    ),
    "SubAccountId": lambda row: _text(row.agent_id),
    "SubAccountName": lambda _: "",
    "SubAccountType": lambda row: "Agent" if row.agent_id else "",
    "Tags": _tags,
    "x_CallId": lambda row: str(row.call_id),
    "x_PaidBy": lambda row: row.paid_by,
    "x_PriceBookVersion": lambda row: row.price_book_version,
    "x_SavedCost": lambda row: _Decimal(row.saved_nanos, 9),
    "x_Status": lambda row: row.status,
    "x_UsageId": lambda row: str(row.usage_id),
}

_COLUMNS = {"csv": _PLAIN, "focus": _FOCUS}
