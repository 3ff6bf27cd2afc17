"""Bodies of agents and their widgets."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fleetdesk.conversation.v1 import agent_pb2, conversation_pb2
from fleetdesk.conversation.v1.agent_service_pb2 import (
    DecisionCounts,
    GetPublicAgentResponse,
    TryThresholdsResponse,
)
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2 import (
    EstimateAnswerRequest,
    EstimateAnswerResponse,
)
from msgspec import Meta, Struct, field

from gateway.origins import MAX_ORIGINS, ORIGIN_PATTERN
from gateway.shapes.common import (
    MODEL_PATTERN,
    MOST_EXACT,
    AnyText,
    ModelOrNone,
    SomeText,
    described,
    label_of,
    none_of,
    time_of,
    value_of,
)
from gateway.store.widgets import WidgetRow

PresetName = Literal["professional", "friendly", "technical", "custom"]
Name = Annotated[SomeText, Meta(min_length=1, max_length=80)]
Question = Annotated[SomeText, Meta(max_length=200)]
Phrase = Annotated[SomeText, Meta(max_length=80)]
Model = Annotated[str, described(pattern=f"^{MODEL_PATTERN}$"), Meta(max_length=200)]
Origin = Annotated[str, described(pattern=ORIGIN_PATTERN), Meta(max_length=300)]
_PRESET = "PRESET_"


class AgentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of an agent. Thresholds and temperature are in thousandths; 0 is the default."""

    name: Name
    preset: PresetName = "friendly"
    greeting: Annotated[AnyText, Meta(max_length=500)] = ""
    instructions: Annotated[AnyText, Meta(max_length=8000)] = ""
    model: ModelOrNone = ""
    max_tokens: Annotated[int, Meta(ge=0, le=4000), none_of(1, 99)] = 0
    temperature_millis: Annotated[int, Meta(ge=0, le=2000)] = 0
    prompt_caching: bool = True
    answer_threshold_millis: Annotated[int, Meta(ge=0, le=1000)] = 0
    handoff_threshold_millis: Annotated[int, Meta(ge=0, le=1000)] = 0
    suggested_questions: Annotated[list[Question], Meta(max_length=5)] = field(default_factory=list)
    handoff_phrases: Annotated[list[Phrase], Meta(max_length=50)] = field(default_factory=list)
    screen_sharing: bool = False
    response_cache: bool = False
    next_models: Annotated[list[Model], described(uniqueItems=True), Meta(max_length=2)] = field(
        default_factory=list
    )
    difficult_share_millis: Annotated[int, Meta(ge=0, le=1000)] = 0

    @classmethod
    def of(cls, config: agent_pb2.AgentConfig) -> "AgentConfig":
        """From the proto."""
        preset = label_of(agent_pb2.Preset, config.preset, _PRESET)
        return cls(
            name=config.name,
            preset=preset or "custom",  # pyright: ignore[reportArgumentType]
            greeting=config.greeting,
            instructions=config.instructions,
            model=config.model,
            max_tokens=config.max_tokens,
            temperature_millis=config.temperature_millis,
            prompt_caching=config.prompt_caching,
            response_cache=config.response_cache,
            answer_threshold_millis=config.answer_threshold_millis,
            handoff_threshold_millis=config.handoff_threshold_millis,
            suggested_questions=list(config.suggested_questions),
            handoff_phrases=list(config.handoff_phrases),
            screen_sharing=config.screen_sharing,
            next_models=list(config.next_models),
            difficult_share_millis=config.difficult_share_millis,
        )

    def message(self) -> agent_pb2.AgentConfig:
        """As the proto."""
        return agent_pb2.AgentConfig(
            name=self.name,
            preset=value_of(agent_pb2.Preset, self.preset, _PRESET, "preset"),
            greeting=self.greeting,
            instructions=self.instructions,
            model=self.model,
            max_tokens=self.max_tokens,
            temperature_millis=self.temperature_millis,
            prompt_caching=self.prompt_caching,
            response_cache=self.response_cache,
            answer_threshold_millis=self.answer_threshold_millis,
            handoff_threshold_millis=self.handoff_threshold_millis,
            suggested_questions=self.suggested_questions,
            handoff_phrases=self.handoff_phrases,
            screen_sharing=self.screen_sharing,
            next_models=self.next_models,
            difficult_share_millis=self.difficult_share_millis,
        )


class Agent(Struct, frozen=True):
    """An agent. `published` is what visitors get; pass `revision` back to change the draft."""

    agent_id: UUID
    draft: AgentConfig
    published: AgentConfig | None
    published_version: int
    draft_changed: bool
    create_time: datetime
    update_time: datetime
    revision: int

    @classmethod
    def of(cls, agent: agent_pb2.Agent) -> "Agent":
        """From the proto."""
        published = agent.HasField("published")
        return cls(
            agent_id=UUID(agent.agent_id),
            draft=AgentConfig.of(agent.draft),
            published=AgentConfig.of(agent.published) if published else None,
            published_version=agent.published_version,
            draft_changed=agent.draft_changed,
            create_time=time_of(agent.create_time),
            update_time=time_of(agent.update_time),
            revision=agent.revision,
        )


class AgentList(Struct, frozen=True):
    """All agents, oldest first."""

    items: list[Agent]


class AgentVersion(Struct, frozen=True):
    """A published version. Never changes."""

    version: int
    config: AgentConfig
    create_time: datetime
    publisher: str

    @classmethod
    def of(cls, version: agent_pb2.AgentVersion) -> "AgentVersion":
        """From the proto."""
        return cls(
            version=version.version,
            config=AgentConfig.of(version.config),
            create_time=time_of(version.create_time),
            publisher=version.publisher,
        )


class AgentVersionList(Struct, frozen=True):
    """An agent's versions, newest first."""

    items: list[AgentVersion]


class TierEstimate(Struct, frozen=True):
    """The most that one attempt of an answer can cost."""

    tier: int
    model: str
    most_nanos: int


class AgentEstimate(Struct, frozen=True):
    """The most that one answer by the draft can cost: the sum of its attempts.

    `resolution_nanos` is what a resolution beyond the plan's allowance is sold at, on the lowest
    public plan where the tenant's own sells none.
    """

    most_nanos: int
    resolution_nanos: int
    tiers: list[TierEstimate]

    @classmethod
    def of(cls, found: EstimateAnswerResponse, resolution_nanos: int) -> "AgentEstimate":
        """From the proto."""
        tiers = [TierEstimate(each.tier, each.model, each.most_nanos) for each in found.tiers]
        return cls(found.most_nanos, resolution_nanos, tiers)


class CreateAgentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent to make, maybe published at once."""

    config: AgentConfig
    publish: bool = False


class UpdateAgentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The new draft, whole. `revision` is the one it is based on; 0 overwrites any."""

    config: AgentConfig
    revision: Annotated[int, Meta(ge=0, le=MOST_EXACT)] = 0


class RollbackRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The version whose settings return."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class PublicAgent(Struct, frozen=True):
    """What a visitor may know of an agent."""

    agent_id: UUID
    name: str
    greeting: str
    suggested_questions: list[str]
    screen_sharing: bool

    @classmethod
    def of(cls, agent_id: UUID, agent: GetPublicAgentResponse) -> "PublicAgent":
        """From the proto."""
        return cls(
            agent_id,
            agent.name,
            agent.greeting,
            list(agent.suggested_questions),
            agent.screen_sharing,
        )


class Widget(Struct, frozen=True):
    """Where an agent's widget may stand beside our own pages, and whether it has a secret."""

    agent_id: UUID
    allowed_origins: list[str]
    has_identity_secret: bool
    update_time: datetime

    @classmethod
    def of(cls, row: WidgetRow) -> "Widget":
        """From the row."""
        return cls(
            row.agent_id, row.allowed_origins, row.identity_secret is not None, row.update_time
        )


class UpdateWidgetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Origins such as https://shop.example.com."""

    allowed_origins: Annotated[list[Origin], Meta(max_length=MAX_ORIGINS)]


class IdentitySecret(Struct, frozen=True):
    """The secret that proves visitors, shown this once."""

    identity_secret: str


def estimate_request(config: agent_pb2.AgentConfig) -> EstimateAnswerRequest:
    """What the estimate of an agent's settings depends on."""
    return EstimateAnswerRequest(
        model=config.model,
        next_models=config.next_models,
        instructions=config.instructions,
        max_tokens=config.max_tokens,
        prompt_caching=config.prompt_caching,
        screen_sharing=config.screen_sharing,
    )


class Decisions(Struct, frozen=True):
    """Questions by what becomes of them."""

    answered: int
    clarified: int
    handed_over: int

    @classmethod
    def of(cls, counts: DecisionCounts) -> "Decisions":
        """From the proto."""
        return cls(counts.answered, counts.clarified, counts.handed_over)


class ChangedDecision(Struct, frozen=True):
    """A question that would be decided otherwise: `answered`, `clarify` or `handoff`."""

    conversation_id: str
    message_id: str
    question: str
    relevance: float
    now: str | None
    then: str | None
    create_time: datetime


class ThresholdTrial(Struct, frozen=True):
    """Past questions by the published thresholds (`now`) and by others (`then`).

    `changed` are the latest 50 of `changed_count` that differ.
    """

    now: Decisions
    then: Decisions
    changed: list[ChangedDecision]
    changed_count: int

    @classmethod
    def of(cls, trial: TryThresholdsResponse) -> "ThresholdTrial":
        """From the proto."""
        changed = [
            ChangedDecision(
                conversation_id=each.conversation_id,
                message_id=each.message_id,
                question=each.question,
                relevance=each.relevance,
                now=label_of(conversation_pb2.Outcome, each.now, "OUTCOME_"),
                then=label_of(conversation_pb2.Outcome, each.then, "OUTCOME_"),
                create_time=time_of(each.create_time),
            )
            for each in trial.changed
        ]
        return cls(Decisions.of(trial.now), Decisions.of(trial.then), changed, trial.changed_count)
