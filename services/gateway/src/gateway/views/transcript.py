"""One conversation: its messages, and why the agent answered as it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fleetdesk.conversation.v1 import conversation_pb2 as conv
from fleetdesk.retrieval.v1 import document_pb2 as doc
from markupsafe import Markup

from gateway.views.answer_html import answer_html, plain_html
from gateway.views.conversations import REASONS, STATUSES, badges_of, outcome_badge, since_of
from gateway.views.document import Segment
from gateway.views.format import Money, When, money, percent, when_of
from gateway.views.frame import Badge, link
from gateway.views.receipt import ReceiptTree, receipt_tree

_CONTEXT_CHARS = 180
_ROLES: dict[int, tuple[str, str, str]] = {
    conv.MESSAGE_ROLE_VISITOR: ("Visitor", "user-round", "visitor"),
    conv.MESSAGE_ROLE_AGENT: ("AI agent", "bot", "agent"),
    conv.MESSAGE_ROLE_PERSON: ("Person", "headset", "person"),
}
_STATES: dict[int, Badge] = {
    conv.MESSAGE_STATUS_ANSWERING: Badge("Being written", "loader-circle", "busy"),
    conv.MESSAGE_STATUS_CANCELED: Badge("Stopped by the visitor", "circle-stop"),
    conv.MESSAGE_STATUS_FAILED: Badge("Failed", "circle-alert", "bad"),
}
_TRIAL = Badge("Trial of a draft", "flask-conical")
_WOULD_HAND_OVER = Badge("Would hand over", "headset", "warn")
_STATUSES = {status: name for name, status in STATUSES.items()}
_RATINGS = {
    1: Badge("Helpful", "thumbs-up", "good"),
    -1: Badge("Not helpful", "thumbs-down", "warn"),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message in the transcript; `why_href` is set for the agent's."""

    message_id: str
    author: str
    icon: str
    role: str
    body: Markup
    at: When
    badges: tuple[Badge, ...]
    confidence: str
    cost: Money | None
    why_href: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that an answer was made from, with what of it was cited."""

    numbers: tuple[int, ...]
    chunk_id: str
    title: str
    headings: tuple[str, ...]
    score: str
    segments: tuple[Segment, ...]
    href: str
    gone: bool


@dataclass(frozen=True, slots=True)
class Why:
    """The pane beside one answer."""

    message_id: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    cited: tuple[Passage, ...]
    others: tuple[Passage, ...]
    receipt: ReceiptTree | None
    question: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation to be read."""

    conversation_id: str
    title: str
    badges: tuple[Badge, ...]
    started: When
    erase_href: str
    cost: Money
    answers: int
    turns: tuple[Turn, ...]
    why: Why | None
    status: str
    person: str
    since: When | None
    self_href: str
    agent_href: str
    is_trial: bool

    @property
    def is_live(self) -> bool:
        """Whether a person answers or is waited for: what the visitor writes is shown at once."""
        return self.status in ("waiting", "taken_over")


def opened(messages: Sequence[conv.Message], message_id: str) -> conv.Message | None:
    """The answer whose pane is shown: the one asked for, else the last."""
    answers = [item for item in messages if item.role == conv.MESSAGE_ROLE_AGENT]
    asked = (item for item in answers if item.message_id == message_id)
    return next(asked, answers[-1] if answers else None)


def transcript(
    conversation: conv.Conversation,
    messages: Sequence[conv.Message],
    answer: conv.Message | None,
    chunks: Mapping[str, doc.SearchResult],
    now: datetime,
    *,
    person: str = "",
) -> Transcript:
    """The conversation, with the pane of `answer`; `chunks` are its passages by id.

    `person` is what whoever has taken over is called.
    """
    total = sum(item.receipt.total_nanos for item in messages if item.HasField("receipt"))
    return Transcript(
        conversation_id=conversation.conversation_id,
        title=conversation.title or "No question yet",
        badges=(_TRIAL,) if conversation.trial else badges_of(conversation),
        started=when_of(conversation.create_time, now),
        erase_href=link("/settings/erasure", visitor=conversation.visitor_id),
        cost=money(total),
        answers=sum(item.role == conv.MESSAGE_ROLE_AGENT for item in messages),
        turns=tuple(_turn(item, answer, now, is_trial=conversation.trial) for item in messages),
        why=why(answer, messages, chunks, is_trial=conversation.trial) if answer else None,
        status=_STATUSES.get(conversation.status, "open"),
        person=person,
        since=since_of(conversation, now),
        self_href=link(
            f"/conversations/{conversation.conversation_id}",
            answer=answer.message_id if answer else "",
        ),
        agent_href=link("/agent", agent=conversation.agent_id, trial=conversation.conversation_id),
        is_trial=conversation.trial,
    )


def _turn(
    message: conv.Message, open_answer: conv.Message | None, now: datetime, *, is_trial: bool
) -> Turn:
    author, icon, role = _ROLES.get(message.role, ("Someone", "user-round", "visitor"))
    is_agent = message.role == conv.MESSAGE_ROLE_AGENT
    href = link(f"/conversations/{message.conversation_id}", answer=message.message_id)
    answered = message.outcome == conv.OUTCOME_ANSWERED
    return Turn(
        message_id=message.message_id,
        author=author,
        icon=icon,
        role=role,
        body=answer_html(message, href) if is_agent else plain_html(message.text),
        at=when_of(message.create_time, now),
        badges=message_badges(message, is_trial=is_trial),
        confidence=percent(message.confidence) if is_agent and answered else "",
        cost=money(message.receipt.total_nanos) if message.HasField("receipt") else None,
        why_href=f"{href}#why" if is_agent else "",
        is_open=open_answer is not None and message.message_id == open_answer.message_id,
    )


def message_badges(message: conv.Message, *, is_trial: bool = False) -> tuple[Badge, ...]:
    """What became of a message, and what the visitor thought of it."""
    outcome = outcome_badge(message.outcome)
    if is_trial and message.outcome == conv.OUTCOME_HANDOFF:
        outcome = _WOULD_HAND_OVER
    found = (_STATES.get(message.status), outcome, _RATINGS.get(message.rating))
    return tuple(badge for badge in found if badge)


def why(
    message: conv.Message,
    messages: Sequence[conv.Message],
    chunks: Mapping[str, doc.SearchResult],
    *,
    is_trial: bool = False,
) -> Why:
    """The pane beside `message`."""
    passages = [_passage(used, message.citations, chunks) for used in message.passages]
    question = next((item.text for item in messages if item.message_id == message.question_id), "")
    return Why(
        message_id=message.message_id,
        sentence=why_sentence(message, is_trial=is_trial),
        facts=_facts(message),
        cited=tuple(sorted((item for item in passages if item.numbers), key=_first_number)),
        others=tuple(item for item in passages if not item.numbers),
        receipt=receipt_tree(message.receipt) if message.HasField("receipt") else None,
        question=question,
    )


def why_sentence(message: conv.Message, *, is_trial: bool = False) -> str:
    """Why an answer came to what it did."""
    if message.status == conv.MESSAGE_STATUS_ANSWERING:
        return "The answer is still being written."
    if message.status == conv.MESSAGE_STATUS_FAILED:
        return "The answer could not be finished; what it cost until then is on the receipt."
    if message.status == conv.MESSAGE_STATUS_CANCELED:
        return "The visitor stopped the answer; what had been sent was kept."
    relevance = percent(message.relevance)
    if message.outcome == conv.OUTCOME_HANDOFF:
        reason = REASONS.get(message.handoff_reason, "no reason was recorded")
        return f"{'Would hand' if is_trial else 'Handed'} over because {reason}."
    if message.outcome == conv.OUTCOME_CLARIFY:
        return (
            f"Asked back: two topics fit, and the passages were only {relevance} likely to answer."
        )
    support = percent(message.confidence)
    return (
        f"Answered: the passages were {relevance} likely to answer the question, and confidence"
        f" in the answer is {support}."
    )


def _facts(message: conv.Message) -> tuple[tuple[str, str], ...]:
    facts = [("Relevance of the passages", percent(message.relevance))]
    if message.outcome == conv.OUTCOME_ANSWERED:
        facts.append(("Confidence in the answer", percent(message.confidence)))
    if message.model:
        facts.append(("Model", message.model))
    if message.tier:
        facts.append(("Tier", f"{message.tier} of the model ladder"))
    if message.first_token_ms:
        facts.append(("First words after", f"{message.first_token_ms:,} ms"))
    if message.error_reason:
        facts.append(("Reason", message.error_reason))
    return tuple(facts)


def _passage(
    used: conv.PassageUsed,
    citations: Sequence[conv.MessageCitation],
    chunks: Mapping[str, doc.SearchResult],
) -> Passage:
    mine = [
        (number, citation)
        for number, citation in enumerate(citations, start=1)
        if citation.chunk_id == used.chunk_id
    ]
    chunk = chunks.get(used.chunk_id)
    first = mine[0][1] if mine else None
    quotes = [(citation.start, citation.end) for _, citation in mine]
    span = {"start": str(first.start), "end": str(first.end)} if first else {}
    return Passage(
        numbers=tuple(number for number, _ in mine),
        chunk_id=used.chunk_id,
        title=used.title or "Untitled",
        headings=tuple(chunk.heading_path) if chunk else (),
        score=f"{used.score:.2f}",
        segments=excerpt(chunk.text, quotes) if chunk else _kept(mine),
        href=link(f"/documents/{used.document_id}", chunk=used.chunk_id, **span) + "#quote",
        gone=chunk is None,
    )


def _first_number(passage: Passage) -> int:
    return passage.numbers[0]


def _kept(mine: Sequence[tuple[int, conv.MessageCitation]]) -> tuple[Segment, ...]:
    """What is left of a passage that was deleted: its quotes."""
    return tuple(Segment(citation.quote, quote=True) for _, citation in mine)


def excerpt(text: str, quotes: Sequence[tuple[int, int]]) -> tuple[Segment, ...]:
    """The quotes of a passage with some text around them, "…" where something is left out."""
    if not quotes:
        cut = text[: 2 * _CONTEXT_CHARS]
        return (Segment(cut + ("…" if len(cut) < len(text) else "")),)
    first = max(min(start for start, _ in quotes) - _CONTEXT_CHARS, 0)
    last = min(max(end for _, end in quotes) + _CONTEXT_CHARS, len(text))
    pieces, position = [Segment("…")] if first else [], first
    for begin, end in sorted(quotes):
        start = max(begin, position)
        if end <= start:
            continue
        pieces += [Segment(text[position:start]), Segment(text[start:end], quote=True)]
        position = end
    pieces.append(Segment(text[position:last] + ("…" if last < len(text) else "")))
    return tuple(piece for piece in pieces if piece.text)
