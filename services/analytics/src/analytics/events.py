"""What analytics notes when others say that something happened."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

from fleetdesk.conversation.v1 import conversation_pb2
from fleetdesk.conversation.v1 import events_pb2 as conversation_events
from fleetdesk.llm_gateway.v1 import events_pb2 as llm_gateway_events
from fleetdesk.llm_gateway.v1 import usage_pb2
from fleetdesk.retrieval.v1 import events_pb2 as retrieval_events
from fleetdesk.vision_agent.v1 import events_pb2 as vision_agent_events
from fleetkit.erasure import erasing, finishing
from fleetkit.events import EventMeta, Handler, Together, tombstones
from fleetkit.postgres.connection import FleetConnection

from analytics.conversations import record
from analytics.costs import Call, record_calls
from analytics.erasure import ERASURE
from analytics.store.conversations import ConversationEventRow, TurnRow
from analytics.store.costs import CostEntryRow
from analytics.store.experiments import AssignedRow, insert_assigned
from analytics.store.savings import FrameBatchRow, insert_frame_batch


async def on_usage_recorded(
    conn: FleetConnection, events: Sequence[tuple[llm_gateway_events.UsageRecorded, EventMeta]]
) -> None:
    """Notes what calls of models cost."""
    tenant_id = events[0][1].tenant_id
    named = [entry for event, _ in events for entry in event.entries]
    visitors = {UUID(entry.visitor_id) for entry in named if entry.visitor_id}
    erased = await tombstones.erased_ids(conn, tenant_id, "visitor", visitors)
    calls = [
        Call(
            call_id=UUID(event.call_id),
            revision=meta.revision,
            entries=[
                _entry(tenant_id, UUID(event.call_id), entry, erased) for entry in event.entries
            ],
        )
        for event, meta in events
    ]
    await record_calls(conn, tenant_id, calls)


async def on_conversation_fact(
    conn: FleetConnection, events: Sequence[tuple[Any, EventMeta]]
) -> None:
    """Notes how turns ended, and what else happened in conversations."""
    rows = [_FACTS[meta.type](event, meta) for event, meta in events]
    turns = [row for row in rows if isinstance(row, TurnRow)]
    others = [row for row in rows if isinstance(row, ConversationEventRow)]
    await record(conn, events[0][1].tenant_id, turns, others)


async def on_search_assigned(
    conn: FleetConnection, event: retrieval_events.SearchAssigned, meta: EventMeta
) -> None:
    """Notes which arm of an experiment a turn's search took."""
    row = AssignedRow(
        tenant_id=meta.tenant_id,
        message_id=UUID(event.message_id),
        experiment_id=UUID(event.experiment_id),
        conversation_id=UUID(event.conversation_id),
        challenger=event.challenger,
    )
    await insert_assigned(conn, row)


async def on_frames_counted(
    conn: FleetConnection, event: vision_agent_events.FramesCounted, meta: EventMeta
) -> None:
    """Notes what became of frames of a shared screen."""
    row = FrameBatchRow(
        tenant_id=meta.tenant_id,
        event_id=meta.event_id,
        occur_time=meta.occur_time,
        captured_count=event.captured_count,
        kept_count=event.kept_count,
        superseded_count=event.superseded_count,
        read_count=event.read_count,
    )
    await insert_frame_batch(conn, row)


def _message_completed(event: conversation_events.MessageCompleted, meta: EventMeta) -> TurnRow:
    return TurnRow(
        tenant_id=meta.tenant_id,
        message_id=UUID(event.message_id),
        conversation_id=UUID(event.conversation_id),
        agent_id=UUID(event.agent_id),
        agent_version=event.agent_version,
        visitor_id=UUID(event.visitor_id),
        revision=meta.revision,
        occur_time=meta.occur_time,
        status=_label(conversation_pb2.MessageStatus, event.status, "MESSAGE_STATUS_"),
        outcome=_label(conversation_pb2.Outcome, event.outcome, "OUTCOME_"),
        handoff_reason=_label(
            conversation_pb2.HandoffReason, event.handoff_reason, "HANDOFF_REASON_"
        ),
        confidence_millis=event.confidence_millis,
        relevance_millis=event.relevance_millis,
        tier=event.tier,
        first_token_ms=event.first_token_ms,
        duration_ms=event.duration_ms,
        citation_count=event.citation_count,
    )


def _conversation_started(
    event: conversation_events.ConversationStarted, meta: EventMeta
) -> ConversationEventRow:
    return _happened(event, meta, "started", "", UUID(event.agent_id), UUID(event.visitor_id))


def _message_stored(
    event: conversation_events.MessageStored, meta: EventMeta
) -> ConversationEventRow:
    role = _label(conversation_pb2.MessageRole, event.role, "MESSAGE_ROLE_")
    return _happened(event, meta, "message", role, UUID(event.agent_id), UUID(event.visitor_id))


def _handoff_requested(
    event: conversation_events.HandoffRequested, meta: EventMeta
) -> ConversationEventRow:
    reason = _label(conversation_pb2.HandoffReason, event.reason, "HANDOFF_REASON_")
    return _happened(event, meta, "handoff", reason, UUID(event.agent_id))


def _conversation_status_changed(
    event: conversation_events.ConversationStatusChanged, meta: EventMeta
) -> ConversationEventRow:
    status = _label(conversation_pb2.ConversationStatus, event.status, "CONVERSATION_STATUS_")
    return _happened(event, meta, "status", status)


def _happened(
    event: Any,
    meta: EventMeta,
    kind: str,
    detail: str,
    agent_id: UUID | None = None,
    visitor_id: UUID | None = None,
) -> ConversationEventRow:
    return ConversationEventRow(
        tenant_id=meta.tenant_id,
        event_id=meta.event_id,
        conversation_id=UUID(event.conversation_id),
        kind=kind,
        detail=detail,
        revision=meta.revision,
        occur_time=meta.occur_time,
        agent_id=agent_id,
        visitor_id=visitor_id,
    )


def _entry(
    tenant_id: UUID, call_id: UUID, entry: usage_pb2.UsageEntry, erased: Collection[UUID]
) -> CostEntryRow:
    """The row of an entry; what it cost is kept, the visitor is not where it was erased."""
    visitor_id = _optional_id(entry.visitor_id)
    settled = entry.status == usage_pb2.USAGE_STATUS_SETTLED
    return CostEntryRow(
        tenant_id=tenant_id,
        usage_id=UUID(entry.usage_id),
        call_id=call_id,
        create_time=entry.create_time.ToDatetime(tzinfo=UTC),
        status="settled" if settled else "unconfirmed",
        service=entry.service,
        model=f"{entry.provider}/{entry.model}",
        kind=entry.kind,
        purpose=entry.purpose,
        units=entry.units,
        amount_nanos=entry.amount_nanos,
        saved_nanos=entry.saved_nanos,
        price_nanos_per_million=entry.price_nanos_per_million,
        baseline_nanos=entry.baseline_nanos if entry.HasField("baseline_nanos") else None,
        message_id=_optional_id(entry.message_id),
        conversation_id=_optional_id(entry.conversation_id),
        agent_id=_optional_id(entry.agent_id),
        visitor_id=None if visitor_id in erased else visitor_id,
        paid_by=entry.paid_by or "fleet",
    )


def _optional_id(text: str) -> UUID | None:
    return UUID(text) if text else None


def _label(enum: Any, value: int, prefix: str) -> str:
    """OUTCOME_HANDOFF → "handoff"; a value of a newer producer was read as unspecified."""
    return enum.Name(value).removeprefix(prefix).lower()


# What is noted of each event of a conversation.
_FACTS: Mapping[str, Callable[[Any, EventMeta], TurnRow | ConversationEventRow]] = {
    "fleetdesk.conversation.v1.MessageCompleted": _message_completed,
    "fleetdesk.conversation.v1.ConversationStarted": _conversation_started,
    "fleetdesk.conversation.v1.MessageStored": _message_stored,
    "fleetdesk.conversation.v1.HandoffRequested": _handoff_requested,
    "fleetdesk.conversation.v1.ConversationStatusChanged": _conversation_status_changed,
}

HANDLERS: Mapping[str, Handler] = {
    "fleetdesk.llm_gateway.v1.UsageRecorded": Together(on_usage_recorded),
    "fleetdesk.retrieval.v1.SearchAssigned": on_search_assigned,
    "fleetdesk.vision_agent.v1.FramesCounted": on_frames_counted,
    "fleetdesk.gateway.v1.ErasureRequested": erasing(ERASURE),
    "fleetdesk.gateway.v1.ErasureFinished": finishing(),
    **dict.fromkeys(_FACTS, Together(on_conversation_fact)),
}
