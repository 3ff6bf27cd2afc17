"""The list of conversations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleetdesk.conversation.v1 import conversation_pb2 as conv

from gateway.views.format import Money, When, count, money, when_of
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
_LABELS = {
    "title": "First question",
    "outcome": "Outcome",
    "messages": "Messages",
    "cost": "Cost",
    "updated": "Last activity",
}


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """One conversation as a row; `cost` is None where nothing is known of it."""

    conversation_id: str
    title: str
    detail: str
    badges: tuple[Badge, ...]
    messages: int
    cost: Money | None
    updated: When
    href: str


@dataclass(frozen=True, slots=True)
class ConversationList:
    """A page of conversations."""

    rows: tuple[ConversationRow, ...]
    headline: str
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
    page_token: str = ""
    sort: str = ""
    descending: bool = False

    def href(self, **changes: str) -> str:
        """The list's address with changes; a changed filter begins at the first page."""
        state = {
            "outcome": self.outcome,
            "status": self.status,
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


def conversation_row(
    conversation: conv.Conversation, costs: Mapping[str, int], now: datetime
) -> ConversationRow:
    """A conversation as a row; `costs` has nano-dollars by conversation id."""
    identifier = conversation.conversation_id
    nanos = costs.get(identifier)
    return ConversationRow(
        conversation_id=identifier,
        title=conversation.title or "No question yet",
        detail=f"Agent version {conversation.agent_version}",
        badges=badges_of(conversation),
        messages=conversation.message_count,
        cost=None if nanos is None else money(nanos),
        updated=when_of(conversation.update_time, now),
        href=f"/conversations/{identifier}",
    )


def headline(conversations: Sequence[conv.Conversation], *, more: bool, filtered: bool) -> str:
    """How these conversations went, in a sentence with numbers."""
    total = len(conversations)
    if total == 0:
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


def conversation_list(
    conversations: Sequence[conv.Conversation],
    next_page_token: str,
    costs: Mapping[str, int],
    asked: Asked,
    now: datetime,
) -> ConversationList:
    """The page of conversations as asked for."""
    ordered = list(conversations)
    if key := _SORT_KEYS.get(asked.sort):
        ordered.sort(key=lambda item: key(item, costs), reverse=asked.descending)
    filtered = bool(asked.outcome or asked.status)
    more = bool(next_page_token or asked.page_token)
    return ConversationList(
        rows=tuple(conversation_row(item, costs, now) for item in ordered),
        headline=headline(conversations, more=more, filtered=filtered),
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
        )
        for row in view.rows
    ]


CSV_HEAD = ("conversation_id", "title", "outcome", "messages", "amount_nanos", "update_time")
