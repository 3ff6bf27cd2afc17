"""The list of conversations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fleetdesk.conversation.v1 import conversation_pb2 as conv

from gateway.views.format import Money, When, count, midnight, money, when_of
from gateway.views.frame import Badge, Tab, link
from gateway.views.tables import Column, columns

OUTCOMES = {
    "answered": conv.OUTCOME_ANSWERED,
    "clarify": conv.OUTCOME_CLARIFY,
    "handoff": conv.OUTCOME_HANDOFF,
}
STATUSES = {
    "waiting": conv.CONVERSATION_STATUS_WAITING,
    "taken_over": conv.CONVERSATION_STATUS_TAKEN_OVER,
    "resolved": conv.CONVERSATION_STATUS_RESOLVED,
}
REASONS: dict[int, str] = {
    conv.HANDOFF_REASON_MISSING_KNOWLEDGE: "nothing in your knowledge answers it",
    conv.HANDOFF_REASON_LOW_CONFIDENCE: "no sentence of the passages supports an answer",
    conv.HANDOFF_REASON_VISITOR_REQUEST: "the visitor asked for a person",
    conv.HANDOFF_REASON_POLICY: "a rule of yours says so",
    conv.HANDOFF_REASON_TOOL_FAILURE: "a tool failed",
    conv.HANDOFF_REASON_USAGE_LIMIT: "your plan's allowance is used up",
}
_OUTCOME_BADGES: dict[int, Badge] = {
    conv.OUTCOME_ANSWERED: Badge("Answered", "circle-check", "good"),
    conv.OUTCOME_CLARIFY: Badge("Asked back", "circle-question-mark"),
    conv.OUTCOME_HANDOFF: Badge("Handed over", "headset", "warn"),
}
_STATUS_BADGES: dict[int, Badge] = {
    conv.CONVERSATION_STATUS_WAITING: Badge("Waiting for a person", "headset", "warn"),
    conv.CONVERSATION_STATUS_TAKEN_OVER: Badge("With a person", "user-round"),
    conv.CONVERSATION_STATUS_RESOLVED: Badge("Resolved", "check"),
}
_FILTERS = (
    ("All", "", ""),
    ("Answered", "outcome", "answered"),
    ("Asked back", "outcome", "clarify"),
    ("Handed over", "outcome", "handoff"),
    ("Waiting for a person", "status", "waiting"),
    ("With a person", "status", "taken_over"),
    ("Resolved", "status", "resolved"),
)
# By when they changed last: so many days with today, UTC.
PERIODS = {"today": 1, "7d": 7, "30d": 30}
_PERIOD_LABELS = (("", "Any time"), ("today", "Today"), ("7d", "7 days"), ("30d", "30 days"))
_GONE = "Somebody who has left"
_LABELS = {
    "title": "First question",
    "outcome": "Outcome",
    "messages": "Messages",
    "cost": "Cost",
    "updated": "Last activity",
}


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """One conversation as a row; `cost` is None where nothing is known of it.

    `since` is when a visitor asked for a person, or `person` took over: `since_said` has the words
    before it. None for others.
    """

    conversation_id: str
    title: str
    detail: str
    badges: tuple[Badge, ...]
    visitor: str
    person: str
    since: When | None
    since_said: str
    messages: int
    cost: Money | None
    updated: When
    href: str


@dataclass(frozen=True, slots=True)
class ConversationList:
    """A page of conversations; beside those who wait, the latest that are `with_person`."""

    rows: tuple[ConversationRow, ...]
    with_person: tuple[ConversationRow, ...]
    title: str
    headline: str
    asked: "Asked"
    periods: tuple[tuple[str, str], ...]
    filters: tuple[Tab, ...]
    filtered: bool
    columns: tuple[Column, ...]
    partial: bool
    next_href: str
    first_href: str
    csv_href: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address bar asks of the list."""

    outcome: str = ""
    status: str = ""
    filter: str = ""
    period: str = ""
    page_token: str = ""
    sort: str = ""
    descending: bool = False

    @property
    def is_filtered(self) -> bool:
        """Whether some are left out."""
        return bool(self.outcome or self.status or self.filter or self.period)

    @property
    def only_waiting(self) -> bool:
        """Whether it is the page Waiting: all who wait, and nobody else."""
        return self == Asked(status="waiting", sort=self.sort, descending=self.descending)

    def start(self, now: datetime) -> datetime | None:
        """The first moment of the period, None for any time."""
        if not self.period:
            return None
        today = midnight(now)
        return today - timedelta(days=PERIODS[self.period] - 1)

    def href(self, **changes: str) -> str:
        """The list's address with changes; a changed filter begins at the first page."""
        state = {
            "outcome": self.outcome,
            "status": self.status,
            "filter": self.filter,
            "period": self.period,
            "page_token": self.page_token,
            "sort": self.sort,
            "dir": "desc" if self.descending else "",
        }
        return link("/conversations", **{**state, **changes})


def badges_of(conversation: conv.Conversation) -> tuple[Badge, ...]:
    """Outcome of the last answer, and who is answering now where that is not the agent."""
    outcome = _OUTCOME_BADGES.get(conversation.last_outcome)
    status = _STATUS_BADGES.get(conversation.status)
    if conversation.status == conv.CONVERSATION_STATUS_WAITING:
        outcome = None  # Who waits for a person was handed over: said once.
    badges = tuple(badge for badge in (outcome, status) if badge)
    return badges or (Badge("No answer yet", "clock"),)


def outcome_badge(outcome: int) -> Badge | None:
    """An outcome in an icon and a word; None before there is one."""
    return _OUTCOME_BADGES.get(outcome)


def person_of(conversation: conv.Conversation, names: Mapping[str, str]) -> str:
    """What the person is called who has taken over; "" when nobody has, or it was not noted."""
    person = conversation.taken_over_by
    return names.get(person, _GONE) if person else ""


def since_of(conversation: conv.Conversation, now: datetime) -> When | None:
    """Since when a visitor waits or a person answers; None for others."""
    with_people = conversation.status in (STATUSES["waiting"], STATUSES["taken_over"])
    if not with_people or not conversation.HasField("status_time"):
        return None
    return when_of(conversation.status_time, now)


def since_said(conversation: conv.Conversation, names: Mapping[str, str]) -> str:
    """What happened at `since_of`, in words: "maria@acme.example took over"."""
    if conversation.status == STATUSES["waiting"]:
        return "Asked"
    person = person_of(conversation, names)
    return f"{person} took over" if person else "Taken over"


def conversation_row(
    conversation: conv.Conversation,
    costs: Mapping[str, int],
    names: Mapping[str, str],
    now: datetime,
) -> ConversationRow:
    """A conversation as a row; `costs` has nano-dollars by conversation id."""
    identifier = conversation.conversation_id
    nanos = costs.get(identifier)
    visitor = conversation.visitor_external_id
    version = f"Agent version {conversation.agent_version}"
    return ConversationRow(
        conversation_id=identifier,
        title=conversation.title or "No question yet",
        detail=f"{visitor} · {version}" if visitor else version,
        badges=badges_of(conversation),
        visitor=visitor,
        person=person_of(conversation, names),
        since=since_of(conversation, now),
        since_said=since_said(conversation, names),
        messages=conversation.message_count,
        cost=None if nanos is None else money(nanos),
        updated=when_of(conversation.update_time, now),
        href=f"/conversations/{identifier}",
    )


def waiting_headline(
    waiting: Sequence[ConversationRow], with_person: Sequence[ConversationRow]
) -> str:
    """How many wait, and for how long; `waiting` begins with who waits longest."""
    beside = f"{len(with_person):,} {'is' if len(with_person) == 1 else 'are'} with a person."
    if not waiting:
        return f"Nobody waits for a person. {beside}" if with_person else "Nobody waits."
    verb = "waits" if len(waiting) == 1 else "wait"
    since = waiting[0].since
    asked = " and asked" if len(waiting) == 1 else "; the first asked"
    first = f"{asked} {since.ago}" if since else ""
    return f"{count(len(waiting), 'visitor')} {verb} for a person{first}. {beside}"


def headline(conversations: Sequence[conv.Conversation], *, more: bool, filtered: bool) -> str:
    """How these conversations went, in a sentence with numbers."""
    total = len(conversations)
    if total == 0:
        if more:
            return "None of those looked at match; there are older ones."
        return "None match." if filtered else "No visitor has asked anything yet."
    which = f"Of the last {count(total, 'conversation')}" if more else count(total, "conversation")
    answered = sum(item.last_outcome == conv.OUTCOME_ANSWERED for item in conversations)
    handed = sum(item.last_outcome == conv.OUTCOME_HANDOFF for item in conversations)
    waiting = sum(item.status == conv.CONVERSATION_STATUS_WAITING for item in conversations)
    facts = f"{answered:,} answered, {handed:,} handed over, {waiting:,} waiting for a person"
    return f"{which}, {facts}." if more else f"{which}: {facts}."


_SORT_KEYS: dict[str, Callable[[Any, Mapping[str, int]], Any]] = {
    "title": lambda item, _: item.title.casefold(),
    "outcome": lambda item, _: (item.last_outcome, item.status),
    "messages": lambda item, _: item.message_count,
    "cost": lambda item, costs: costs.get(item.conversation_id, 0),
    "updated": lambda item, _: item.update_time.ToNanoseconds(),
}


def _waited(conversation: conv.Conversation) -> int:
    has_time = conversation.HasField("status_time")
    return (conversation.status_time if has_time else conversation.update_time).ToNanoseconds()


def conversation_list(
    conversations: Sequence[conv.Conversation],
    next_page_token: str,
    costs: Mapping[str, int],
    asked: Asked,
    now: datetime,
    *,
    names: Mapping[str, str] | None = None,
    with_person: Sequence[conv.Conversation] = (),
) -> ConversationList:
    """The page of conversations as asked for; those who wait longest stand first.

    `names` has what people are called by id; `with_person` stands beside those who wait.
    """
    names = names or {}
    ordered = list(conversations)
    if asked.status == "waiting":
        ordered.sort(key=_waited)
    if key := _SORT_KEYS.get(asked.sort):
        ordered.sort(key=lambda item: key(item, costs), reverse=asked.descending)
    filtered = asked.is_filtered
    more = bool(next_page_token or asked.page_token)
    rows = tuple(conversation_row(item, costs, names, now) for item in ordered)
    beside = tuple(conversation_row(item, costs, names, now) for item in with_person)
    said = headline(conversations, more=more, filtered=filtered)
    return ConversationList(
        rows=rows,
        with_person=beside,
        title="Waiting for a person" if asked.only_waiting else "Conversations",
        headline=waiting_headline(rows, beside) if asked.only_waiting else said,
        asked=asked,
        periods=_PERIOD_LABELS,
        filters=tuple(_filter_tab(asked, *entry) for entry in _FILTERS),
        filtered=filtered,
        columns=columns(_LABELS, link_to=asked.href, sort=asked.sort, descending=asked.descending),
        partial=more,
        next_href=asked.href(page_token=next_page_token) if next_page_token else "",
        first_href=asked.href(page_token="") if asked.page_token else "",
        csv_href=asked.href(format="csv"),
    )


def _filter_tab(asked: Asked, label: str, field: str, value: str) -> Tab:
    state = {"outcome": "", "status": "", "page_token": ""}
    if field:
        state[field] = value
    current = (asked.outcome, asked.status) == (state["outcome"], state["status"])
    return Tab(label, asked.href(**state), current)


def csv_rows(view: ConversationList) -> list[tuple[str | int, ...]]:
    """The page as CSV rows; amounts in nano-dollars."""
    return [
        (
            row.conversation_id,
            row.title,
            ", ".join(badge.label for badge in row.badges),
            row.messages,
            row.cost.nanos if row.cost else "",
            row.updated.iso,
            row.visitor,
            row.person,
            row.since.iso if row.since else "",
        )
        for row in view.rows
    ]


CSV_HEAD = (
    "conversation_id",
    "title",
    "outcome",
    "messages",
    "amount_nanos",
    "update_time",
    "visitor",
    "taken_over_by",
    "status_time",
)
