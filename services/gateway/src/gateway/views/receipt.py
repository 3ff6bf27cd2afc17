"""A receipt as a tree: service → provider/model → units × price = amount."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fleetdesk.llm_gateway.v1 import usage_pb2 as usage

from gateway.views.format import Money, money, price_per_million

_UNITS = {
    "input_token": "input tokens",
    "output_token": "output tokens",
    "cache_read_token": "tokens read from cache",
    "cache_write_5m_token": "tokens written to cache for 5 min",
    "cache_write_30m_token": "tokens written to cache for 30 min",
    "cache_write_1h_token": "tokens written to cache for 1 h",
    "image_token": "tokens of pictures",
    "compute_us": "µs of compute",
}

# Why the model before did not answer, or did not come first.
_WHY = {
    "difficult": "a difficult question",
    "rephrased": "asked again",
    "not_answered": "the one before found no answer",
    "not_supported": "the one before went beyond the passages",
    "provider_failed": "the provider before failed",
    "provider_refused": "the provider before refused",
    "rate_limited": "the provider before had a rate limit",
    "too_slow": "the one before was too slow",
    "cooling_down": "the one before had failed lately",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the ledger. `how` is "1,204 input tokens × $1.00 a million"."""

    how: str
    amount: Money
    saved: Money | None
    unconfirmed: bool
    price_book: str


@dataclass(frozen=True, slots=True)
class Model:
    """What one model cost for one service. `attempt` says which one of an answer it was, or ""."""

    name: str
    attempt: str
    amount: Money
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """What one service caused."""

    name: str
    amount: Money
    models: tuple[Model, ...]


@dataclass(frozen=True, slots=True)
class ReceiptTree:
    """The ledger's rows of one message."""

    total: Money
    saved: Money | None
    services: tuple[Service, ...]
    unconfirmed: bool


def receipt_tree(receipt: usage.Receipt) -> ReceiptTree:
    """The rows as a tree; services and models in the order in which they were first called."""
    rows = list(receipt.items)
    saved = sum(row.saved_nanos for row in rows)
    return ReceiptTree(
        total=money(receipt.total_nanos),
        saved=money(saved) if saved else None,
        services=tuple(
            _service(name, part) for name, part in _grouped(rows, lambda row: row.service).items()
        ),
        unconfirmed=any(_unconfirmed(row) for row in rows),
    )


def _service(name: str, rows: list[usage.UsageEntry]) -> Service:
    models = _grouped(rows, lambda row: f"{row.tier} {_name(row)}")
    return Service(
        name=name,
        amount=_sum(rows),
        models=tuple(
            Model(
                f"{part[0].provider}/{part[0].model}", _attempt(part[0]), _sum(part), _lines(part)
            )
            for part in models.values()
        ),
    )


def _name(row: usage.UsageEntry) -> str:
    return f"{row.provider}/{row.model}"


def _attempt(row: usage.UsageEntry) -> str:
    """As "tier 2: asked again"; "" for the first model of an answer and for other calls."""
    if not row.tier_reason:
        return ""
    return f"tier {row.tier}: {_WHY.get(row.tier_reason, row.tier_reason.replace('_', ' '))}"


def _grouped(
    rows: Iterable[usage.UsageEntry], key: Callable[[usage.UsageEntry], str]
) -> dict[str, list[usage.UsageEntry]]:
    """The rows by key, keys in order of first appearance."""
    groups: dict[str, list[usage.UsageEntry]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _lines(rows: list[usage.UsageEntry]) -> tuple[Line, ...]:
    return tuple(
        Line(
            how=f"{row.units:,} {_UNITS.get(row.kind, row.kind.replace('_', ' '))}"
            f" × {price_per_million(row.price_nanos_per_million)} a million",
            amount=money(row.amount_nanos),
            saved=money(row.saved_nanos) if row.saved_nanos else None,
            unconfirmed=_unconfirmed(row),
            price_book=row.price_book_version,
        )
        for row in rows
    )


def _unconfirmed(row: usage.UsageEntry) -> bool:
    return row.status == usage.USAGE_STATUS_UNCONFIRMED


def _sum(rows: list[usage.UsageEntry]) -> Money:
    return money(sum(row.amount_nanos for row in rows))
