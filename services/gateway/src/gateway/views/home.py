"""Home: how it is going, in a sentence, five figures and a chart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fleetdesk.analytics.v1.analytics_service_pb2 import GetKpisResponse
from fleetdesk.analytics.v1.kpi_pb2 import ConversationCounts, KpiPoint, Kpis, KpiTargets
from fleetdesk.conversation.v1 import conversation_pb2 as conv

from gateway.views.format import count, midnight, money, percent
from gateway.views.frame import Tab, Tone, link

RANGES = {"7d": 7, "30d": 30}
SERIES = ("Answered without a person", "Asked back", "Handed over", "Unanswered")
_NOTHING = "nothing to compare with"
_REASONS = {
    conv.HANDOFF_REASON_MISSING_KNOWLEDGE: "The knowledge held nothing relevant",
    conv.HANDOFF_REASON_LOW_CONFIDENCE: "No sentence of it supported an answer",
    conv.HANDOFF_REASON_VISITOR_REQUEST: "The visitor asked for a person",
    conv.HANDOFF_REASON_POLICY: "A rule of yours",
    conv.HANDOFF_REASON_TOOL_FAILURE: "A tool failed",
    conv.HANDOFF_REASON_USAGE_LIMIT: "The plan's allowance was used up",
    conv.HANDOFF_REASON_UNSPECIFIED: "A person took over unasked",
}


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure beside its goal, both as parts of 100."""

    value: int
    goal: int


@dataclass(frozen=True, slots=True)
class Card:
    """A key figure: its change against the period before, and whether it meets its goal."""

    label: str
    value: str
    title: str
    href: str
    change: str
    arrow: str
    goal: str
    verdict: str
    tone: Tone
    gauge: Gauge | None


@dataclass(frozen=True, slots=True)
class DayRow:
    """One bar: conversations in the order of the series."""

    day: str
    amounts: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """Why people were asked for, and how often."""

    label: str
    conversations: int
    share: float


@dataclass(frozen=True, slots=True)
class NextStep:
    """What a company that has just begun does next: one button."""

    icon: str
    title: str
    text: str
    label: str
    href: str


@dataclass(frozen=True, slots=True)
class HomePage:
    """The page; `next_step` takes the place of the figures until there are some."""

    headline: str
    ranges: tuple[Tab, ...] = ()
    range_label: str = ""
    compared: str = ""
    cards: tuple[Card, ...] = ()
    series: tuple[str, ...] = SERIES
    days: tuple[DayRow, ...] = ()
    totals: tuple[int, ...] = ()
    total: int = 0
    reasons: tuple[ReasonRow, ...] = ()
    next_step: NextStep | None = None


def period_of(asked: str, now: datetime) -> tuple[datetime, datetime]:
    """The range up to now, from the midnight (UTC) that begins its first day."""
    today = midnight(now)
    return today - timedelta(days=RANGES[asked] - 1), now


def home_page(found: GetKpisResponse, asked: str) -> HomePage:
    """The page of a company that has had conversations."""
    current, previous = found.current, found.previous
    days = RANGES[asked]
    rows = tuple(_day(point) for point in found.series)
    return HomePage(
        headline=headline(current, previous, days),
        ranges=tuple(
            Tab(f"{number} days", link("/", range=key if key != "7d" else ""), key == asked)
            for key, number in RANGES.items()
        ),
        range_label=f"the last {days} days",
        compared=f"Changes are against the {days} days before.",
        cards=_cards(current, previous, found.targets, days),
        days=rows,
        totals=tuple(sum(row.amounts[index] for row in rows) for index in range(len(SERIES))),
        total=sum(row.total for row in rows),
        reasons=tuple(
            ReasonRow(
                _REASONS.get(each.reason, "Another reason"),
                each.conversations,
                each.conversations / current.conversations.handed_over,
            )
            for each in current.handoffs
        ),
    )


def first_page(*, knows_something: bool, may_edit: bool) -> HomePage:
    """The page of a company without conversations: what to do next."""
    if not knows_something and may_edit:
        step = NextStep(
            "book-open",
            "Give your agent something to say",
            "It answers from your documents only, and cites them. One page of help is enough to"
            " begin with.",
            "Add knowledge",
            "/knowledge",
        )
    else:
        step = NextStep(
            "message-circle",
            "Ask the first question",
            "The try-out page has the widget as your visitors will see it. What you ask there"
            " counts here.",
            "Try the widget",
            "/widget-preview",
        )
    return HomePage(headline="Nobody has asked anything yet.", next_step=step)


def headline(current: Kpis, previous: Kpis, days: int) -> str:
    """How it is going, in a sentence with numbers."""
    begun, before = current.conversations, previous.conversations
    if not begun.total:
        told = count(before.total, "conversation")
        return f"No conversation in the last {days} days; {told} in the {days} before."
    share = percent(begun.answered_alone / begun.total)
    told = (
        f"{share} of {count(begun.total, 'conversation')} answered without a person"
        f" in the last {days} days"
    )
    if before.total:
        points = _points(begun.answered_alone / begun.total, before.answered_alone / before.total)
        told += f", {_moved(points, 'point')}"
    handed = begun.handed_over
    if not handed:
        return f"{told}; none handed over."
    return f"{told}; {handed:,} handed over."


def _cards(current: Kpis, previous: Kpis, targets: KpiTargets, days: int) -> tuple[Card, ...]:
    return (
        _conversations_card(current, previous, targets, days),
        _share_card(current, previous, targets.answered_alone_millis, alone=True),
        _share_card(current, previous, targets.handed_over_millis, alone=False),
        _speed_card(current, previous, targets.first_token_p95_ms),
        _cost_card(current, previous, targets.per_conversation_nanos),
    )


def _conversations_card(current: Kpis, previous: Kpis, targets: KpiTargets, days: int) -> Card:
    value, before = current.conversations.total, previous.conversations.total
    goal = round(targets.conversations_per_week * days / 7)
    return Card(
        label="Conversations",
        value=f"{value:,}",
        title="Conversations in which a visitor wrote",
        href="/conversations",
        change=_change(value - before, before, lambda by: f"{by:,}", ("fewer", "more")),
        arrow=_arrow(value - before if before else 0),
        goal=f"Goal: {goal:,} in {days} days",
        verdict="Reached" if value >= goal else "Not reached yet",
        tone="good" if value >= goal else "",
        gauge=_gauge(value, goal),
    )


def _share_card(current: Kpis, previous: Kpis, goal_millis: int, *, alone: bool) -> Card:
    share, before = (_share(kpis.conversations, alone) for kpis in (current, previous))
    goal = goal_millis / 1000
    fine = share is not None and (share >= goal if alone else share < goal)
    points = _points(share, before) if share is not None and before is not None else None
    return Card(
        label="Answered alone" if alone else "Handed over",
        value="–" if share is None else percent(share),
        title=(
            "Answered at least once, and nobody was asked for."
            " Whether the visitor was helped is not checked yet."
            if alone
            else "A person was asked for, or took over"
        ),
        href=link("/conversations", outcome="answered" if alone else "handoff"),
        change=_NOTHING if points is None else _moved(points, "point"),
        arrow=_arrow(points or 0),
        goal=f"Goal: {percent(goal)} or more" if alone else f"Goal: under {percent(goal)}",
        verdict=_verdict(fine=fine, known=share is not None),
        tone=_tone(fine=fine, known=share is not None),
        gauge=None if share is None else Gauge(round(100 * share), round(100 * goal)),
    )


def _speed_card(current: Kpis, previous: Kpis, goal_ms: int) -> Card:
    value, before = current.first_token, previous.first_token
    known, fine = bool(value.count), value.p95_ms <= goal_ms
    by = value.p95_ms - before.p95_ms if value.count and before.count else 0
    return Card(
        label="First words within",
        value=duration(value.p95_ms) if known else "–",
        title=(
            "95 of 100 answers began within this time; half within"
            f" {duration(value.p50_ms)}, 99 within {duration(value.p99_ms)}."
            f" Whole answers: 95 of 100 within {duration(current.full_answer.p95_ms)}."
        ),
        href="",
        change=_change(by, before.count and known, duration, ("faster", "slower")),
        arrow=_arrow(by),
        goal=f"Goal: {duration(goal_ms)} for 95 of 100",
        verdict=_verdict(fine=fine, known=known),
        tone=_tone(fine=fine, known=known),
        gauge=_gauge(value.p95_ms, goal_ms) if known else None,
    )


def _cost_card(current: Kpis, previous: Kpis, goal_nanos: int) -> Card:
    nanos, before = current.per_conversation_nanos, previous.per_conversation_nanos
    known, fine = bool(current.conversations.total), nanos < goal_nanos
    compared = previous.conversations.total and known
    by = nanos - before if compared else 0
    return Card(
        label="Cost of a conversation",
        value=dollars(nanos) if known else "–",
        title=f"{money(nanos).exact} on average; {money(current.conversations_nanos).exact} in all",
        href="/costs",
        change=_change(by, compared, dollars, ("less", "more")),
        arrow=_arrow(by),
        goal=f"Goal: under {money(goal_nanos).short}",
        verdict=_verdict(fine=fine, known=known),
        tone=_tone(fine=fine, known=known),
        gauge=_gauge(nanos, goal_nanos) if known else None,
    )


def dollars(nanos: int) -> str:
    """To the cent, or to three digits where that says nothing: "$0.00000312"."""
    nanos = abs(nanos)
    if nanos == 0 or nanos >= 10_000_000:
        return money(nanos).short
    shown = round(nanos, 3 - len(str(nanos)))
    return "$" + f"{shown / 1_000_000_000:.9f}".rstrip("0")


def duration(ms: int) -> str:
    """Whole milliseconds below a second, hundredths of seconds from there: "410 ms", "1.24 s"."""
    ms = abs(ms)
    return f"{ms} ms" if ms < 1_000 else f"{ms / 1_000:.2f} s"


def _share(counts: ConversationCounts, alone: bool) -> float | None:
    part = counts.answered_alone if alone else counts.handed_over
    return part / counts.total if counts.total else None


def _points(share: float, before: float) -> int:
    return round(100 * share) - round(100 * before)


def _moved(points: int, noun: str) -> str:
    if not points:
        return "no change"
    return f"{'up' if points > 0 else 'down'} {count(abs(points), noun)}"


def _change(by: int, comparable: int, told: Callable[[int], str], words: tuple[str, str]) -> str:
    if not comparable:
        return _NOTHING
    if not by:
        return "no change"
    return f"{told(abs(by))} {words[by > 0]}"


def _arrow(by: int) -> str:
    return "arrow-up" if by > 0 else "arrow-down" if by < 0 else ""


def _verdict(*, fine: bool, known: bool) -> str:
    return ("On target" if fine else "Off target") if known else "No figure yet"


def _tone(*, fine: bool, known: bool) -> Tone:
    return ("good" if fine else "warn") if known else ""


def _gauge(value: int, goal: int) -> Gauge:
    most = max(value, goal) * 5 / 4
    return Gauge(round(100 * value / most), round(100 * goal / most))


def _day(point: KpiPoint) -> DayRow:
    begun = point.conversations
    amounts: Sequence[int] = (
        begun.answered_alone,
        begun.clarify,
        begun.handed_over,
        begun.unanswered,
    )
    day = point.start_time.ToDatetime(tzinfo=UTC).date().isoformat()
    return DayRow(day, tuple(amounts), begun.total)
