"""What answers cost: a sentence, a chart by day, a table by conversation."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fleetdesk.analytics.v1.cost_pb2 import CostGroup

from gateway.views.format import Money, count, midnight, money
from gateway.views.frame import Tab, link
from gateway.views.models import provider_name
from gateway.views.tables import Column, columns

RANGES = {"7d": "7 days", "month": "This month", "90d": "90 days"}
SPLITS = {"model": "Model", "service": "Service", "agent": "Agent", "purpose": "Purpose"}
_OTHER = "Reading documents, and other work that serves no conversation"
_MAX_SERIES = 8


@dataclass(frozen=True, slots=True)
class CostDay:
    """One bar: amounts in the order of the series; the link leads to that day alone."""

    day: str
    href: str
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
class Paid:
    """What was paid to whom, in words."""

    whom: str
    amount: Money


@dataclass(frozen=True, slots=True)
class CostsPage:
    """The page."""

    headline: str
    today: Money
    today_href: str
    month: Money
    month_href: str
    total: Money
    saved: Money | None
    unconfirmed: Money | None
    paid: tuple[Paid, ...]
    range_label: str
    ranges: tuple[Tab, ...]
    splits: tuple[Tab, ...]
    split_label: str
    stack: Stack
    rows: tuple[CostRow, ...]
    columns: tuple[Column, ...]
    exports: tuple[Tab, ...]
    exact: bool
    exact_href: str
    left_out: int
    unlisted: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address bar asks of the page."""

    range: str = "month"
    day: date | None = None
    by: str = "model"
    sort: str = "amount"
    descending: bool = True
    exact: bool = False

    def href(self, **changes: str) -> str:
        """The page's address with changes; defaults are left out."""
        state = {
            "range": self.range if self.range != "month" else "",
            "day": str(self.day or ""),
            "by": self.by if self.by != "model" else "",
            "sort": self.sort if self.sort != "amount" else "",
            "dir": "desc" if self.descending else "asc",
            "exact": "1" if self.exact else "",
        }
        state |= changes
        if (state["sort"] or "amount", state["dir"]) == ("amount", "desc"):
            state["sort"] = state["dir"] = ""
        return link("/costs", **state)


def period_of(asked: Asked, now: datetime) -> tuple[datetime, datetime]:
    """The first moment and the end of what is asked for: the day, else the range up to today."""
    if asked.day is not None:
        start = datetime.combine(asked.day, datetime.min.time(), UTC)
        return start, start + timedelta(days=1)
    return start_of(asked.range, now), start_of("today", now) + timedelta(days=1)


def day_asked(text: str, now: datetime) -> date | None:
    """The day that an address names, if it is one of the last three years up to today."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    today = now.astimezone(UTC).date()
    return day if today - timedelta(days=3 * 366) <= day <= today else None


def start_of(asked_range: str, now: datetime) -> datetime:
    """The first moment of a range, UTC; by day, so that bars are whole days."""
    today = midnight(now)
    if asked_range == "today":
        return today
    if asked_range == "7d":
        return today - timedelta(days=6)
    if asked_range == "90d":
        return today - timedelta(days=89)
    return today.replace(day=1)


def stack(
    groups: Sequence[CostGroup],
    start: date,
    end: date,
    asked: Asked | None = None,
    names: Mapping[str, str] | None = None,
) -> Stack:
    """Groups by day and a second key as bars, a bar for every day from `start` to `end`.

    The dearest series come first; beyond eight they are added up as "Other". `names` are of keys
    that are ids.
    """
    named = names or {}
    totals: dict[str, int] = {}
    by_day: dict[str, dict[str, int]] = {}
    for group in groups:
        name = named.get(group.split_key, group.split_key) or "None"
        totals[name] = totals.get(name, 0) + group.amount_nanos
        cell = by_day.setdefault(group.key, {})
        cell[name] = cell.get(name, 0) + group.amount_nanos
    ranked = sorted(totals, key=lambda name: (-totals[name], name))
    kept = ranked if len(ranked) <= _MAX_SERIES else ranked[: _MAX_SERIES - 1]
    series = (*kept, "Other") if len(kept) < len(ranked) else tuple(kept)
    days = tuple(
        _day(start + timedelta(days=offset), by_day, kept, series, asked or Asked())
        for offset in range((end - start).days + 1)
    )
    return Stack(series, days, _column_totals(days, len(series)))


def _day(
    day: date,
    by_day: Mapping[str, Mapping[str, int]],
    kept: Sequence[str],
    series: Sequence[str],
    asked: Asked,
) -> CostDay:
    cells = by_day.get(str(day), {})
    amounts = [cells.get(name, 0) for name in kept]
    if len(series) > len(kept):
        amounts.append(sum(cells.values()) - sum(amounts))
    href = asked.href(range="", day=str(day))
    return CostDay(str(day), href, tuple(map(money, amounts)), money(sum(amounts)))


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


def headline(today: int, month: int, groups: Sequence[CostGroup], left_out: int) -> str:
    """The spending in a sentence; `groups` are the month's by conversation, but for `left_out`."""
    conversations = sum(bool(group.key) for group in groups) + left_out
    if not month:
        return "Nothing spent this month: no model has been called yet."
    spent = f"{money(today).short} today, {money(month).short} this month"
    if not conversations:
        return f"{spent}, all of it for reading documents; no conversation yet."
    answers = month - sum(group.amount_nanos for group in groups if not group.key)
    mean = money(round(answers / conversations))
    each = mean.exact if mean.nanos < 10_000_000 else mean.short
    talks = count(conversations, "conversation")
    return f"{spent}: {talks} at {each} each on average, the rest for reading documents."


def paid_to(groups: Sequence[CostGroup]) -> tuple[Paid, ...]:
    """What went by Fleetdesk's keys and what by each of your own; nothing where you have none.

    `groups` are by model, as "provider/model".
    """
    direct: Counter[str] = Counter()
    for group in groups:
        direct[provider_name(group.key.partition("/")[0])] += group.direct_nanos
    direct = +direct
    if not direct:
        return ()
    through = sum(group.amount_nanos for group in groups) - direct.total()
    return (
        Paid("Through Fleetdesk", money(through)),
        *(Paid(f"Directly to {name}", money(nanos)) for name, nanos in direct.most_common()),
    )


_LABELS = {"title": "Conversation", "amount": "Cost", "share": "Share"}


@dataclass(frozen=True, slots=True)
class Sums:
    """What the ledger says: nano-dollars of today, of the month, of what is asked for.

    `month_groups` and `range_groups` are by conversation, the largest; the others are left out.
    """

    today: int
    month: int
    month_groups: Sequence[CostGroup]
    month_left_out: int
    range_total: int
    range_groups: Sequence[CostGroup]
    range_left_out: int
    day_groups: Sequence[CostGroup]
    model_groups: Sequence[CostGroup]


@dataclass(frozen=True, slots=True)
class Names:
    """What is called how, by id: first questions of conversations, and agents."""

    conversations: Mapping[str, str]
    agents: Mapping[str, str]


def costs_page(
    sums: Sums, names: Names, asked: Asked, now: datetime, row_limit: int = 200
) -> CostsPage:
    """The page as asked for."""
    titles = names.conversations
    rows = _sorted(cost_rows(sums.range_groups, titles, sums.range_total), asked)
    unconfirmed = sum(group.unconfirmed_nanos for group in sums.model_groups)
    saved = sum(group.saved_nanos for group in sums.model_groups)
    start, end = period_of(asked, now)
    last = (end - timedelta(days=1)).date()
    label = f"{last.day} {last:%B %Y}" if asked.day else RANGES[asked.range].lower()
    return CostsPage(
        headline=headline(sums.today, sums.month, sums.month_groups, sums.month_left_out),
        today=money(sums.today),
        today_href=asked.href(range="", day=str(now.astimezone(UTC).date())),
        month=money(sums.month),
        month_href=asked.href(range="", day=""),
        total=money(sums.range_total),
        saved=money(saved) if saved > 0 else None,
        unconfirmed=money(unconfirmed) if unconfirmed else None,
        paid=paid_to(sums.model_groups),
        range_label=label,
        ranges=_ranges(asked, label),
        splits=tuple(
            Tab(label, asked.href(by=key if key != "model" else ""), key == asked.by)
            for key, label in SPLITS.items()
        ),
        split_label=SPLITS[asked.by].lower(),
        stack=stack(
            sums.day_groups,
            start.date(),
            last,
            asked,
            {**names.agents, "": "No agent"} if asked.by == "agent" else None,
        ),
        rows=tuple(rows[:row_limit]),
        columns=columns(_LABELS, link_to=asked.href, sort=asked.sort, descending=asked.descending),
        exports=_exports(asked, start, end),
        exact=asked.exact,
        exact_href=asked.href(exact="" if asked.exact else "1"),
        left_out=max(len(rows) - row_limit, 0),
        unlisted=sums.range_left_out,
    )


def _exports(asked: Asked, start: datetime, end: datetime) -> tuple[Tab, ...]:
    """Files of the time shown: the table, and the rows that it is made of."""
    times = {"from": f"{start:%Y-%m-%dT%H:%M:%SZ}", "to": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    ledger = "/v1/costs/export"
    return (
        Tab("By conversation, CSV", asked.href(format="csv"), current=False),
        Tab("Every call, CSV", link(ledger, format="csv", **times), current=False),
        Tab("Every call, FOCUS 1.2", link(ledger, format="focus", **times), current=False),
    )


def _ranges(asked: Asked, label: str) -> tuple[Tab, ...]:
    tabs = [
        Tab(
            name,
            asked.href(range=key if key != "month" else "", day=""),
            asked.day is None and key == asked.range,
        )
        for key, name in RANGES.items()
    ]
    if asked.day:
        tabs.append(Tab(label, asked.href(), current=True))
    return tuple(tabs)


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
