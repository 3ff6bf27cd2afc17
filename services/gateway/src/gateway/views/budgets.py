"""Budgets: what may be spent on models, what of it is, and what will be by the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from fleetdesk.llm_gateway.v1 import budget_pb2
from fleetkit.errors import InvalidArgument

from gateway.shapes.budgets import CreateBudgetRequest, UpdateBudgetRequest
from gateway.shapes.common import label_of
from gateway.views.format import Money, When, count, money, nanos_typed, percent, when_of
from gateway.views.frame import Badge, link

LEVELS = {
    "tenant": "Everything together",
    "agent": "Each agent",
    "conversation": "Each conversation",
    "visitor": "Each visitor",
}
PERIODS = {"month": "A month", "day": "A day"}
KINDS = {
    "hard": "Refuse the call that could exceed it, and hand over to a person",
    "soft": "Only warn",
}
CREATE_FIELDS = ("scope", "period", "dollars", "kind")
CHANGE_FIELDS = ("dollars", "kind")
# As the API names what the form asks for.
_FIELDS = {"level": "scope", "target_id": "scope", "limit_nanos": "dollars", "hard": "kind"}
_ONE = {"agent": "One agent", "conversation": "One conversation", "visitor": "One visitor"}
_WARNINGS = (80, 90, 100)
_MOST_NANOS = 10**17


@dataclass(frozen=True, slots=True)
class Bar:
    """The current window of one target.

    `spent_end`, `reserved_end`, `forecast_end` and `limit_at` are where the parts of the bar end,
    0–100; `share` and `forecast_share` are of the limit.
    """

    label: str
    href: str
    spent: Money
    reserved: Money
    left: Money
    forecast: Money
    share: float
    forecast_share: float
    spent_end: float
    reserved_end: float
    forecast_end: float
    limit_at: float
    state: Badge
    warned: tuple[tuple[int, bool], ...]
    refused: When | None

    @property
    def said(self) -> str:
        """The bar in words."""
        return (
            f"{percent(self.share)} spent, {self.reserved.short} reserved,"
            f" {percent(self.forecast_share)} by the end at this rate"
        )


@dataclass(frozen=True, slots=True)
class BudgetCard:
    """A budget; `left_out` counts windows beside those shown, `anew` says when it begins anew."""

    budget_id: str
    title: str
    hard: bool
    limit: Money
    bars: tuple[Bar, ...]
    left_out: int
    anew: str


@dataclass(frozen=True, slots=True)
class BudgetsPage:
    """The page."""

    headline: str
    cards: tuple[BudgetCard, ...]
    time_zone: str


@dataclass(frozen=True, slots=True)
class BudgetSheet:
    """The form: of a new budget when there is no id. `typed` is what stands in its fields."""

    budget_id: str
    title: str
    typed: Mapping[str, str]
    scopes: Mapping[str, str]


def budgets_page(
    items: Sequence[budget_pb2.BudgetStatus],
    time_zone: str,
    agents: Mapping[str, str],
    now: datetime,
) -> BudgetsPage:
    """The page; `agents` are names by id."""
    cards = tuple(_card(item, time_zone, agents, now) for item in items)
    return BudgetsPage(_headline(cards), cards, time_zone)


def new_sheet(agents: Mapping[str, str]) -> BudgetSheet:
    """The form of a new budget."""
    scopes = dict(LEVELS)
    scopes |= {f"agent:{agent_id}": f"Agent {name}" for agent_id, name in agents.items()}
    typed = {"scope": "tenant", "period": "month", "kind": "hard"}
    return BudgetSheet("", "New budget", typed, scopes)


def budget_sheet(budget: budget_pb2.Budget, agents: Mapping[str, str]) -> BudgetSheet:
    """The form of a budget that there is."""
    dollars = money(budget.limit_nanos).exact.removeprefix("$").replace(",", "")
    typed = {"dollars": _short(dollars), "kind": "hard" if budget.hard else "soft"}
    return BudgetSheet(budget.budget_id, _title(budget, agents), typed, {})


def budget_typed(typed: Mapping[str, str]) -> CreateBudgetRequest:
    """What was typed into the form of a new budget; InvalidArgument names the field."""
    level, _, target = typed["scope"].partition(":")
    if level not in LEVELS or (target and level != "agent"):
        raise InvalidArgument("choose whose spending it limits", field="scope")
    try:
        target_id = UUID(target) if target else None
    except ValueError as error:
        raise InvalidArgument("choose one of the agents", field="scope") from error
    if typed["period"] not in PERIODS:
        raise InvalidArgument("choose a day or a month", field="period")
    changed = change_typed(typed)
    return CreateBudgetRequest(
        level=level,  # pyright: ignore[reportArgumentType]
        target_id=target_id,
        period=typed["period"],  # pyright: ignore[reportArgumentType]
        limit_nanos=changed.limit_nanos,
        hard=changed.hard,
    )


def change_typed(typed: Mapping[str, str]) -> UpdateBudgetRequest:
    """What was typed into the form of a budget that there is; InvalidArgument names the field."""
    nanos = nanos_typed(typed["dollars"])
    if nanos is None or not 1 <= nanos <= _MOST_NANOS:
        raise InvalidArgument(
            "write an amount in dollars above 0, such as 25 or 0.50, up to 100 million",
            field="dollars",
        )
    if typed["kind"] not in KINDS:
        raise InvalidArgument("choose what happens when it is used up", field="kind")
    return UpdateBudgetRequest(nanos, typed["kind"] == "hard")


def field_asked(field: str | None) -> str | None:
    """The form's field for one of the API's."""
    return _FIELDS.get(field or "", field)


def _card(
    item: budget_pb2.BudgetStatus, time_zone: str, agents: Mapping[str, str], now: datetime
) -> BudgetCard:
    budget = item.budget
    anew = ""
    if item.windows:
        end = item.windows[0].end_time.ToDatetime(tzinfo=UTC).astimezone(ZoneInfo(time_zone))
        anew = f"{end.day} {end:%B %Y, %H:%M}"
    return BudgetCard(
        budget_id=budget.budget_id,
        title=_title(budget, agents),
        hard=budget.hard,
        limit=money(budget.limit_nanos),
        bars=tuple(_bar(window, budget, agents, now) for window in item.windows),
        left_out=item.window_count - len(item.windows),
        anew=anew,
    )


def _title(budget: budget_pb2.Budget, agents: Mapping[str, str]) -> str:
    level = label_of(budget_pb2.BudgetLevel, budget.level, "BUDGET_LEVEL_") or ""
    whom = LEVELS.get(level, level)
    if budget.target_id:
        whom = agents.get(budget.target_id) or f"{_ONE[level]} ({budget.target_id[:8]}…)"
    period = label_of(budget_pb2.BudgetPeriod, budget.period, "BUDGET_PERIOD_") or ""
    return f"{whom}, {PERIODS.get(period, period).lower()}"


def _bar(
    window: budget_pb2.BudgetWindow,
    budget: budget_pb2.Budget,
    agents: Mapping[str, str],
    now: datetime,
) -> Bar:
    limit, spent = budget.limit_nanos, window.spent_nanos
    reserved_end = spent + window.reserved_nanos
    scale = max(limit, reserved_end, min(window.forecast_nanos, 2 * limit)) / 100
    each = window.target_id and not budget.target_id
    return Bar(
        label=(agents.get(window.target_id) or f"{window.target_id[:8]}…") if each else "",
        href=_href(budget, window.target_id) if each else "",
        spent=money(spent),
        reserved=money(window.reserved_nanos),
        left=money(max(limit - reserved_end, 0)),
        forecast=money(window.forecast_nanos),
        share=spent / limit,
        forecast_share=window.forecast_nanos / limit,
        spent_end=spent / scale,
        reserved_end=reserved_end / scale,
        forecast_end=min(max(window.forecast_nanos, reserved_end) / scale, 100.0),
        limit_at=limit / scale,
        state=_state(window, budget),
        warned=tuple((share, window.warned_percent >= share) for share in _WARNINGS),
        refused=when_of(window.refuse_time, now) if window.HasField("refuse_time") else None,
    )


def _href(budget: budget_pb2.Budget, target_id: str) -> str:
    is_talk = budget.level == budget_pb2.BUDGET_LEVEL_CONVERSATION
    return link(f"/conversations/{target_id}") if is_talk else ""


def _state(window: budget_pb2.BudgetWindow, budget: budget_pb2.Budget) -> Badge:
    if window.spent_nanos >= budget.limit_nanos:
        return Badge("Used up", "circle-alert", "bad")
    if window.HasField("refuse_time"):
        return Badge("Refuses calls", "circle-alert", "bad")
    if window.warned_percent:
        return Badge(f"Over {window.warned_percent} %", "triangle-alert", "warn")
    if window.forecast_nanos > budget.limit_nanos:
        return Badge("Will not last", "triangle-alert", "warn")
    return Badge("Within", "circle-check", "good")


def _headline(cards: Sequence[BudgetCard]) -> str:
    if not cards:
        return "Nothing limits what models may cost yet."
    bars = [(card, bar) for card in cards for bar in card.bars]
    full = [card for card, bar in bars if bar.state.tone == "bad"]
    if full:
        return f"{count(len(full), 'budget')} used up for now: {full[0].title.lower()}."
    over = [card for card, bar in bars if bar.forecast_share > 1]
    if over:
        return f"At this rate {over[0].title.lower()} will not last to its end."
    if not bars:
        return f"{count(len(cards), 'budget')}, nothing spent in any yet."
    card, bar = max(bars, key=lambda each: each[1].share)
    return f"All is within; the fullest, {card.title.lower()}, is at {percent(bar.share)}."


def _short(dollars: str) -> str:
    """An amount without the zeros that say nothing: "25", "0.50", "0.000012"."""
    whole, _, decimals = dollars.partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals.ljust(2, '0')}" if decimals else whole
