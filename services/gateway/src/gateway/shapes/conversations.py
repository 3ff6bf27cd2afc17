"""Bodies of conversations, messages and receipts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2 as pb
from fleetdesk.llm_gateway.v1 import usage_pb2
from msgspec import Meta, Struct

from gateway.shapes.common import SomeText, described, label_of, optional_time, time_of

MAX_TEXT_BYTES = 16_000
_JWT = r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"


class ReceiptItem(Struct, frozen=True):
    """A row of the cost ledger: units of one kind that one call used. Amounts are nano-dollars."""

    service: str
    provider: str
    model: str
    kind: str
    purpose: str
    units: int
    price_nanos_per_million: int
    amount_nanos: int
    saved_nanos: int
    status: str | None
    price_book_version: str
    call_id: str
    tier: int
    tier_reason: str

    @classmethod
    def of(cls, entry: usage_pb2.UsageEntry) -> "ReceiptItem":
        """From the proto."""
        return cls(
            service=entry.service,
            provider=entry.provider,
            model=entry.model,
            kind=entry.kind,
            purpose=entry.purpose,
            units=entry.units,
            price_nanos_per_million=entry.price_nanos_per_million,
            amount_nanos=entry.amount_nanos,
            saved_nanos=entry.saved_nanos,
            status=label_of(usage_pb2.UsageStatus, entry.status, "USAGE_STATUS_"),
            price_book_version=entry.price_book_version,
            call_id=entry.call_id,
            tier=entry.tier,
            tier_reason=entry.tier_reason,
        )


class Receipt(Struct, frozen=True):
    """What an answer cost: the ledger's rows of its message, no more and no less."""

    total_nanos: int
    items: list[ReceiptItem]

    @classmethod
    def of(cls, receipt: usage_pb2.Receipt) -> "Receipt":
        """From the proto."""
        return cls(receipt.total_nanos, [ReceiptItem.of(entry) for entry in receipt.items])


class Citation(Struct, frozen=True):
    """A part of an answer and what it rests on.

    `start` and `end` count Unicode code points of the chunk's text, `answer_start` and
    `answer_end` those of the answer.
    """

    document_id: str
    chunk_id: str
    title: str
    url: str
    start: int
    end: int
    quote: str
    answer_start: int
    answer_end: int

    @classmethod
    def of(cls, citation: pb.MessageCitation) -> "Citation":
        """From the proto."""
        return cls(
            document_id=citation.document_id,
            chunk_id=citation.chunk_id,
            title=citation.title,
            url=citation.url,
            start=citation.start,
            end=citation.end,
            quote=citation.quote,
            answer_start=citation.answer_start,
            answer_end=citation.answer_end,
        )


class Passage(Struct, frozen=True):
    """A passage that an answer was made from."""

    chunk_id: str
    document_id: str
    title: str
    score: float
    cited: bool

    @classmethod
    def of(cls, passage: pb.PassageUsed) -> "Passage":
        """From the proto."""
        return cls(
            passage.chunk_id, passage.document_id, passage.title, passage.score, passage.cited
        )


class Message(Struct, frozen=True, omit_defaults=True):
    """A message. Passages, model and receipt are shown to the tenant's people and keys only."""

    message_id: str
    conversation_id: str
    role: str | None
    text: str
    status: str | None
    create_time: datetime
    complete_time: datetime | None = None
    outcome: str | None = None
    handoff_reason: str | None = None
    confidence: float | None = None
    relevance: float | None = None
    tier: int | None = None
    question_id: str | None = None
    citations: list[Citation] = []
    rating: int = 0
    author: str | None = None
    error_reason: str | None = None
    first_token_ms: int | None = None
    model: str | None = None
    passages: list[Passage] = []
    receipt: Receipt | None = None


def message_of(message: pb.Message, *, for_visitor: bool) -> Message:
    """From the proto, without what is the tenant's own when a visitor asks."""
    is_answer = message.role == pb.MESSAGE_ROLE_AGENT
    inside = is_answer and not for_visitor
    return Message(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        role=label_of(pb.MessageRole, message.role, "MESSAGE_ROLE_"),
        text=message.text,
        status=label_of(pb.MessageStatus, message.status, "MESSAGE_STATUS_"),
        create_time=time_of(message.create_time),
        complete_time=optional_time(message, "complete_time"),
        outcome=outcome_of(message.outcome),
        handoff_reason=reason_of(message.handoff_reason),
        confidence=message.confidence if is_answer else None,
        relevance=message.relevance if inside else None,
        tier=message.tier or None,
        question_id=message.question_id or None,
        citations=[Citation.of(citation) for citation in message.citations],
        rating=message.rating,
        author=(message.author or None) if not for_visitor else None,
        error_reason=message.error_reason or None,
        first_token_ms=message.first_token_ms if inside else None,
        model=(message.model or None) if inside else None,
        passages=[Passage.of(passage) for passage in message.passages] if inside else [],
        receipt=Receipt.of(message.receipt) if inside and message.HasField("receipt") else None,
    )


class Conversation(Struct, frozen=True):
    """A visitor talking with an agent."""

    conversation_id: str
    agent_id: str
    agent_version: int
    visitor_id: str
    status: str | None
    handoff_reason: str | None
    last_outcome: str | None
    message_count: int
    title: str
    create_time: datetime
    update_time: datetime

    @classmethod
    def of(cls, conversation: pb.Conversation) -> "Conversation":
        """From the proto."""
        return cls(
            conversation_id=conversation.conversation_id,
            agent_id=conversation.agent_id,
            agent_version=conversation.agent_version,
            visitor_id=conversation.visitor_id,
            status=status_of(conversation.status),
            handoff_reason=reason_of(conversation.handoff_reason),
            last_outcome=outcome_of(conversation.last_outcome),
            message_count=conversation.message_count,
            title=conversation.title,
            create_time=time_of(conversation.create_time),
            update_time=time_of(conversation.update_time),
        )


class ConversationDetail(Struct, frozen=True):
    """A conversation with its last messages; watch its events from `position`."""

    conversation: Conversation
    messages: list[Message]
    position: int


class ConversationList(Struct, frozen=True):
    """Conversations, last changed first."""

    items: list[Conversation]
    next_page_token: str


class CreateConversationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which agent to talk with; `visitor` is a JWT signed with the agent's identity secret."""

    agent_id: UUID
    visitor: Annotated[str, described(pattern=_JWT)] | None = None


class CreatedConversation(Struct, frozen=True):
    """A conversation and the token that its visitor's requests carry."""

    conversation_id: str
    visitor_token: str


class TextRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A text of at most 16,000 bytes of UTF-8."""

    text: SomeText


class Answer(Struct, frozen=True):
    """An answer, whole. `outcome` is null when a person has taken over and the agent is silent."""

    message_id: str
    text: str
    citations: list[Citation]
    outcome: str | None
    handoff_reason: str | None
    confidence: float | None
    tier: int | None
    status: str | None
    receipt: Receipt

    @classmethod
    def of(cls, message: pb.Message) -> "Answer":
        """From the finished message."""
        return cls(
            message_id=message.message_id,
            text=message.text,
            citations=[Citation.of(citation) for citation in message.citations],
            outcome=outcome_of(message.outcome),
            handoff_reason=reason_of(message.handoff_reason),
            confidence=message.confidence,
            tier=message.tier or None,
            status=label_of(pb.MessageStatus, message.status, "MESSAGE_STATUS_"),
            receipt=Receipt.of(message.receipt),
        )


class CanceledTurn(Struct, frozen=True):
    """The answer that was stopped; null when none was being written."""

    message_id: str | None


class RatingRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A visitor's rating of an answer: 1 up, −1 down, 0 to take it back."""

    message_id: UUID
    rating: Annotated[int, Meta(ge=-1, le=1)]


def outcome_of(value: int) -> str | None:
    """`answered`, `clarify`, `handoff`; None when there is none yet."""
    return label_of(pb.Outcome, value, "OUTCOME_")


def reason_of(value: int) -> str | None:
    """`missing_knowledge`, `low_confidence` …; None when no person was asked for."""
    return label_of(pb.HandoffReason, value, "HANDOFF_REASON_")


def status_of(value: int) -> str | None:
    """`open`, `waiting`, `taken_over`, `resolved`."""
    return label_of(pb.ConversationStatus, value, "CONVERSATION_STATUS_")
