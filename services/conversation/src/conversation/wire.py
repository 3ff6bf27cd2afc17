"""Rows to protos and back."""

from collections.abc import Mapping
from typing import Any

from fleetdesk.conversation.v1 import agent_pb2, agent_service_pb2, conversation_pb2
from fleetkit.errors import InvalidArgument
from fleetkit.rpc.fields import optional_timestamp, timestamp

from conversation.agent_config import AgentConfig
from conversation.presets import presets
from conversation.store.agents import AgentRow, AgentVersionRow
from conversation.store.conversations import ConversationRow
from conversation.store.messages import MessageRow
from conversation.thresholds import Trial


def config_of(message: agent_pb2.AgentConfig) -> AgentConfig:
    """Settings from a request; an unspecified preset is "", which validation refuses."""
    return AgentConfig(
        name=message.name,
        preset=_PRESET_NAMES.get(message.preset, ""),
        greeting=message.greeting,
        instructions=message.instructions,
        model=message.model,
        max_tokens=message.max_tokens,
        temperature_millis=message.temperature_millis,
        prompt_caching=message.prompt_caching,
        response_cache=message.response_cache,
        answer_threshold_millis=message.answer_threshold_millis,
        handoff_threshold_millis=message.handoff_threshold_millis,
        suggested_questions=tuple(message.suggested_questions),
        handoff_phrases=tuple(message.handoff_phrases),
        screen_sharing=message.screen_sharing,
        next_models=tuple(message.next_models),
        difficult_share_millis=message.difficult_share_millis,
    )


def config_message(stored: Mapping[str, Any]) -> agent_pb2.AgentConfig:
    """Stored settings as a proto."""
    config = AgentConfig.from_json(stored)
    values = config.to_json()
    values["preset"] = agent_pb2.Preset.Value(f"PRESET_{config.preset.upper()}")
    return agent_pb2.AgentConfig(**values)


def preset_messages() -> list[agent_pb2.PresetSettings]:
    """What each preset means, as protos."""
    return [
        agent_pb2.PresetSettings(
            preset=agent_pb2.Preset.Value(f"PRESET_{name.upper()}"),
            max_tokens=preset.max_tokens,
            temperature_millis=preset.temperature_millis,
            instructions=preset.instructions,
        )
        for name, preset in presets().items()
    ]


def agent_message(row: AgentRow) -> agent_pb2.Agent:
    """An agent as a proto."""
    published = None if row.published is None else config_message(row.published)
    draft = config_message(row.draft)
    return agent_pb2.Agent(
        agent_id=str(row.agent_id),
        draft=draft,
        published=published,
        published_version=row.published_version,
        draft_changed=draft != published,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
        revision=row.revision,
    )


def version_message(row: AgentVersionRow) -> agent_pb2.AgentVersion:
    """A version as a proto."""
    return agent_pb2.AgentVersion(
        agent_id=str(row.agent_id),
        version=row.version,
        config=config_message(row.config),
        create_time=timestamp(row.create_time),
        publisher=row.publisher,
    )


def trial_message(trial: Trial) -> agent_service_pb2.TryThresholdsResponse:
    """What other thresholds would have made of questions, as a proto."""
    now, then = (
        agent_service_pb2.DecisionCounts(
            answered=counts["answered"], clarified=counts["clarify"], handed_over=counts["handoff"]
        )
        for counts in (trial.now, trial.then)
    )
    changed = [
        agent_service_pb2.ChangedDecision(
            conversation_id=str(each.row.conversation_id),
            message_id=str(each.row.message_id),
            question=each.row.question,
            relevance=each.row.relevance,
            now=outcome_of(each.now),
            then=outcome_of(each.then),
            create_time=timestamp(each.row.create_time),
        )
        for each in trial.changed
    ]
    return agent_service_pb2.TryThresholdsResponse(
        now=now, then=then, changed=changed, changed_count=trial.changed_count
    )


def status_of(name: str) -> "conversation_pb2.ConversationStatus.ValueType":
    """A stored conversation status as a proto."""
    return conversation_pb2.ConversationStatus.Value(f"CONVERSATION_STATUS_{name.upper()}")


def message_status_of(name: str) -> "conversation_pb2.MessageStatus.ValueType":
    """A stored message status as a proto."""
    return conversation_pb2.MessageStatus.Value(f"MESSAGE_STATUS_{name.upper()}")


def role_of(name: str) -> "conversation_pb2.MessageRole.ValueType":
    """A stored role as a proto."""
    return conversation_pb2.MessageRole.Value(f"MESSAGE_ROLE_{name.upper()}")


def outcome_of(name: str) -> "conversation_pb2.Outcome.ValueType":
    """A stored outcome as a proto."""
    return conversation_pb2.Outcome.Value(f"OUTCOME_{name.upper()}")


def reason_of(name: str) -> "conversation_pb2.HandoffReason.ValueType":
    """A stored hand-over reason as a proto."""
    return conversation_pb2.HandoffReason.Value(f"HANDOFF_REASON_{name.upper()}")


def status_name(status: "conversation_pb2.ConversationStatus.ValueType", field: str) -> str:
    """A status to filter by, as stored; "" for all. InvalidArgument when unknown."""
    return _name(conversation_pb2.ConversationStatus, status, "CONVERSATION_STATUS_", field)


def outcome_name(outcome: "conversation_pb2.Outcome.ValueType", field: str) -> str:
    """An outcome to filter by, as stored; "" for all. InvalidArgument when unknown."""
    return _name(conversation_pb2.Outcome, outcome, "OUTCOME_", field)


def conversation_message(
    row: ConversationRow, visitor_external_id: str = ""
) -> conversation_pb2.Conversation:
    """A conversation as a proto."""
    return conversation_pb2.Conversation(
        conversation_id=str(row.conversation_id),
        agent_id=str(row.agent_id),
        agent_version=row.agent_version or 0,
        visitor_id=str(row.visitor_id),
        status=status_of(row.status),
        handoff_reason=reason_of(row.handoff_reason),
        message_count=row.message_count,
        title=row.title,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
        revision=row.revision,
        last_outcome=outcome_of(row.last_outcome),
        trial=row.is_trial,
        status_time=optional_timestamp(row.status_time),
        taken_over_by=row.taken_over_by,
        visitor_external_id=visitor_external_id,
    )


def message_message(row: MessageRow) -> conversation_pb2.Message:
    """A message as a proto, without its receipt."""
    return conversation_pb2.Message(
        message_id=str(row.message_id),
        conversation_id=str(row.conversation_id),
        role=role_of(row.role),
        text=row.text,
        status=message_status_of(row.status),
        outcome=outcome_of(row.outcome),
        handoff_reason=reason_of(row.handoff_reason),
        confidence=row.confidence,
        relevance=row.relevance,
        tier=row.tier,
        model=row.model,
        citations=[conversation_pb2.MessageCitation(**each) for each in row.citations],
        passages=[conversation_pb2.PassageUsed(**each) for each in row.passages],
        create_time=timestamp(row.create_time),
        complete_time=optional_timestamp(row.complete_time),
        question_id=str(row.question_id) if row.question_id else "",
        first_token_ms=row.first_token_ms,
        error_reason=row.error_reason,
        author=row.author,
        rating=row.rating,
    )


_PRESET_NAMES: dict[int, str] = {
    agent_pb2.PRESET_PROFESSIONAL: "professional",
    agent_pb2.PRESET_FRIENDLY: "friendly",
    agent_pb2.PRESET_TECHNICAL: "technical",
    agent_pb2.PRESET_CUSTOM: "custom",
}


def _name(kind: Any, value: int, prefix: str, field: str) -> str:
    if value not in kind.values():
        raise InvalidArgument(f"{field} {value} is not known", field=field)
    name = kind.Name(value).removeprefix(prefix).lower()
    return "" if name == "unspecified" else name
