"""What answers cost: a sentence, a chart by day, a table by conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fleetdesk.analytics.v1.cost_pb2 import CostGroup

from gateway.views.format import Money, count, money
from gateway.views.frame import Tab, link
from gateway.views.tables import Column, columns

RANGES = {"7d": "7 days", "month": "This month", "90d": "90 days"}
SPLITS = {"model": "Model", "service": "Service", "purpose": "Purpose"}
_OTHER = "Reading documents, and other work that serves no conversation"
_MAX_SERIES = 8


@dataclass(frozen=True, slots=True)
class CostDay:
    """One bar: amounts in the order of the series."""

    day: str
    amounts: tuple[Money, ...]
    total: Money


@dataclass(frozen=True, slots=True)
class Stack:
    """The chart and its table."""

    series: tuple[str, ...]
    days: tuple[CostDay, ...]
    totals: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class CostRow:
    """What one conversation cost; no link for what serves no conversation."""

    key: str
    title: str
    href: str
    amount: Money
    saved: Money | None
    share: float


@dataclass(frozen=True, slots=True)
class CostsPage:
    """The page."""

    headline: str
    today: Money
    month: Money
    total: Money
    unconfirmed: Money | None
    range_label: str
    ranges: tuple[Tab, ...]
    splits: tuple[Tab, ...]
    split_label: str
    stack: Stack
    rows: tuple[CostRow, ...]
    columns: tuple[Column, ...]
    csv_href: str
    exact: bool
    exact_href: str
    left_out: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address bar asks of the page."""

    range: str = "month"
    by: str = "model"
    sort: str = "amount"
    descending: bool = True
    exact: bool = False

    def href(self, **changes: str) -> str:
        """The page's address with changes; defaults are left out."""
        state = {
            "range": self.range if self.range != "month" else "",
            "by": self.by if self.by != "model" else "",
            "sort": self.sort if self.sort != "amount" else "",
            "dir": "desc" if self.descending else "asc",
            "exact": "1" if self.exact else "",
        }
        state |= changes
        if (state["sort"] or "amount", state["dir"]) == ("amount", "desc"):
            state["sort"] = state["dir"] = ""
        return link("/costs", **state)


def start_of(asked_range: str, now: datetime) -> datetime:
    """The first moment of a range, UTC; by day, so that bars are whole days."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if asked_range == "7d":
        return today - timedelta(days=6)
    if asked_range == "90d":
        return today - timedelta(days=89)
    return today.replace(day=1)


def stack(groups: Sequence[CostGroup], start: date, end: date) -> Stack:
    """Groups by day and a second key as bars, a bar for every day from `start` to `end`.

    The dearest series come first; beyond eight they are added up as "Other".
    """
    totals: dict[str, int] = {}
    by_day: dict[str, dict[str, int]] = {}
    for group in groups:
        name = group.split_key or "Unknown"
        totals[name] = totals.get(name, 0) + group.amount_nanos
        cell = by_day.setdefault(group.key, {})
        cell[name] = cell.get(name, 0) + group.amount_nanos
    ranked = sorted(totals, key=lambda name: (-totals[name], name))
    kept = ranked if len(ranked) <= _MAX_SERIES else ranked[: _MAX_SERIES - 1]
    series = (*kept, "Other") if len(kept) < len(ranked) else tuple(kept)
    days = tuple(
        _day(str(start + timedelta(days=offset)), by_day, kept, series)
        for offset in range((end - start).days + 1)
    )
    return Stack(series, days, _column_totals(days, len(series)))


def _day(
    day: str, by_day: Mapping[str, Mapping[str, int]], kept: Sequence[str], series: Sequence[str]
) -> CostDay:
    cells = by_day.get(day, {})
    amounts = [cells.get(name, 0) for name in kept]
    if len(series) > len(kept):
        amounts.append(sum(cells.values()) - sum(amounts))
    return CostDay(day, tuple(money(amount) for amount in amounts), money(sum(amounts)))


def _column_totals(days: Sequence[CostDay], width: int) -> tuple[Money, ...]:
    return tuple(money(sum(day.amounts[index].nanos for day in days)) for index in range(width))


def cost_rows(
    groups: Sequence[CostGroup], titles: Mapping[str, str], total_nanos: int
) -> list[CostRow]:
    """What each conversation cost; `titles` by conversation id, where they are known."""
    return [
        CostRow(
            key=group.key,
            title=titles.get(group.key, f"Conversation {group.key[:8]}…") if group.key else _OTHER,
            href=f"/conversations/{group.key}" if group.key else "",
            amount=money(group.amount_nanos),
            saved=money(group.saved_nanos) if group.saved_nanos else None,
            share=group.amount_nanos / total_nanos if total_nanos else 0.0,
        )
        for group in groups
    ]


def headline(today: int, month: int, groups: Sequence[CostGroup]) -> str:
    """The spending in a sentence; `groups` are the month's by conversation."""
    conversations = [group for group in groups if group.key]
    if not month:
        return "Nothing spent this month: no model has been called yet."
    spent = f"{money(today).short} today, {money(month).short} this month"
    if not conversations:
        return f"{spent}, all of it for reading documents; no conversation yet."
    answers = sum(group.amount_nanos for group in conversations)
    mean = money(round(answers / len(conversations)))
    each = mean.exact if mean.nanos < 10_000_000 else mean.short
    talks = count(len(conversations), "conversation")
    return f"{spent}: {talks} at {each} each on average, the rest for reading documents."


_LABELS = {"title": "Conversation", "amount": "Cost", "share": "Share"}


@dataclass(frozen=True, slots=True)
class Sums:
    """What the ledger says: nano-dollars of today, of the month, of the range."""

    today: int
    month: int
    month_groups: Sequence[CostGroup]
    range_total: int
    range_groups: Sequence[CostGroup]
    day_groups: Sequence[CostGroup]


def costs_page(
    sums: Sums, titles: Mapping[str, str], asked: Asked, now: datetime, row_limit: int = 200
) -> CostsPage:
    """The page as asked for."""
    rows = _sorted(cost_rows(sums.range_groups, titles, sums.range_total), asked)
    unconfirmed = sum(group.unconfirmed_nanos for group in sums.range_groups)
    start = start_of(asked.range, now)
    return CostsPage(
        headline=headline(sums.today, sums.month, sums.month_groups),
        today=money(sums.today),
        month=money(sums.month),
        total=money(sums.range_total),
        unconfirmed=money(unconfirmed) if unconfirmed else None,
        range_label=RANGES[asked.range].lower(),
        ranges=tuple(
            Tab(label, asked.href(range=key if key != "month" else ""), key == asked.range)
            for key, label in RANGES.items()
        ),
        splits=tuple(
            Tab(label, asked.href(by=key if key != "model" else ""), key == asked.by)
            for key, label in SPLITS.items()
        ),
        split_label=SPLITS[asked.by].lower(),
        stack=stack(sums.day_groups, start.date(), now.astimezone(UTC).date()),
        rows=tuple(rows[:row_limit]),
        columns=columns(_LABELS, link_to=asked.href, sort=asked.sort, descending=asked.descending),
        csv_href=asked.href(format="csv"),
        exact=asked.exact,
        exact_href=asked.href(exact="" if asked.exact else "1"),
        left_out=max(len(rows) - row_limit, 0),
    )


def _sorted(rows: list[CostRow], asked: Asked) -> list[CostRow]:
    if asked.sort == "title":
        return sorted(rows, key=lambda row: row.title.casefold(), reverse=asked.descending)
    return sorted(rows, key=lambda row: row.amount.nanos, reverse=asked.descending)


CSV_HEAD = ("conversation_id", "title", "amount_nanos", "saved_nanos")


def csv_rows(rows: Sequence[CostRow]) -> list[tuple[str | int, ...]]:
    """The table as CSV rows; amounts in nano-dollars."""
    return [
        (row.key, row.title, row.amount.nanos, row.saved.nanos if row.saved else 0) for row in rows
    ]
