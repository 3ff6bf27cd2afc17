"""The agent: its settings as a form, what they cost, and what visitors get."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fleetdesk.conversation.v1 import agent_pb2
from fleetdesk.llm_gateway.v1.model_settings_service_pb2 import ModelPrice
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound

from gateway.shapes.agents import AgentConfig, AgentEstimate
from gateway.views.format import Money, When, money, when_of
from gateway.views.frame import Tab, link
from gateway.views.manners import SAMPLES, WHOLE, shown
from gateway.views.settings import chosen_agent

PATH = "/agent"
FLAGS = ("screen_sharing", "prompt_caching", "response_cache")
ADVANCED = (
    "next_model_1",
    "next_model_2",
    "difficult_share",
    "answer_threshold",
    "handoff_threshold",
    "handoff_phrases",
    "temperature",
    "max_tokens",
)
FIELDS = (
    "name",
    "preset",
    "greeting",
    "instructions",
    "model",
    "suggested_questions",
    *FLAGS,
    *ADVANCED,
)
# As the API names what the form asks for.
_FIELDS = {
    "next_models[0]": "next_model_1",
    "next_models[1]": "next_model_2",
    "difficult_share_millis": "difficult_share",
    "answer_threshold_millis": "answer_threshold",
    "handoff_threshold_millis": "handoff_threshold",
    "temperature_millis": "temperature",
}
_LABELS = {
    "name": "name",
    "preset": "manner",
    "greeting": "greeting",
    "instructions": "instructions",
    "model": "model",
    "max_tokens": "longest answer",
    "temperature_millis": "temperature",
    "prompt_caching": "prompt caching",
    "answer_threshold_millis": "when it answers",
    "handoff_threshold_millis": "when it hands over",
    "suggested_questions": "suggested questions",
    "handoff_phrases": "phrases for a person",
    "screen_sharing": "screen sharing",
    "response_cache": "answers given again",
    "next_models": "further models",
    "difficult_share_millis": "share of difficult questions",
}
_DEFAULT_MODEL = "The fleet’s default"
_PERCENT = 10
_TYPED = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Version:
    """A published version."""

    number: int
    published: When
    is_current: bool
    changes: str


@dataclass(frozen=True, slots=True)
class Tier:
    """An attempt of an answer, and the most that it can cost."""

    model: str
    most: Money


@dataclass(frozen=True, slots=True)
class Cost:
    """The most that one answer can cost; `unknown` says why that can't be told."""

    most: Money
    resolution: Money
    tiers: tuple[Tier, ...]
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class AgentPage:
    """An agent's draft beside what is published."""

    agent_id: str
    revision: int
    name: str
    headline: str
    agents: tuple[Tab, ...]
    models: tuple[tuple[str, str], ...]
    changes: str
    is_published: bool
    cost: Cost
    versions: tuple[Version, ...]
    preview_href: str


def found_agent(agents: Sequence[agent_pb2.Agent], agent_id: str) -> agent_pb2.Agent:
    """The agent that is asked for, the first when none is; NotFound."""
    agent = chosen_agent(agents, agent_id)
    if agent is None or (agent_id and agent.agent_id != agent_id):
        raise NotFound("there is no such agent", field="agent")
    return agent


def agent_page(
    agent: agent_pb2.Agent,
    agents: Sequence[agent_pb2.Agent],
    versions: Sequence[agent_pb2.AgentVersion],
    prices: Sequence[ModelPrice],
    cost: Cost,
    now: datetime,
) -> AgentPage:
    """The page of `agent`, one of `agents`; `versions` newest first."""
    draft = AgentConfig.of(agent.draft)
    is_published = agent.HasField("published")
    changes = _changes(draft, AgentConfig.of(agent.published)) if is_published else ""
    return AgentPage(
        agent_id=agent.agent_id,
        revision=agent.revision,
        name=draft.name,
        headline=_headline(agent.published_version if is_published else 0, changes),
        agents=tuple(
            Tab(each.draft.name, link(PATH, agent=each.agent_id), each.agent_id == agent.agent_id)
            for each in agents
        ),
        models=_models(prices, draft),
        changes=changes,
        is_published=is_published,
        cost=cost,
        versions=_versions(versions, agent.published_version, now),
        preview_href=link("/widget-preview", agent=agent.agent_id),
    )


def cost_of(estimate: AgentEstimate) -> Cost:
    """The estimate as it is shown."""
    tiers = tuple(Tier(each.model, money(each.most_nanos)) for each in estimate.tiers)
    return Cost(money(estimate.most_nanos), money(estimate.resolution_nanos), tiers)


def cost_unknown(error: FailedPrecondition) -> Cost:
    """Why there is no estimate."""
    return Cost(money(0), money(0), (), unknown=error.message)


def typed_of(config: agent_pb2.AgentConfig) -> dict[str, str]:
    """The draft as the form shows it; "" is the fleet's default."""
    nexts = [*config.next_models, "", ""]
    return {
        "name": config.name,
        "preset": AgentConfig.of(config).preset,
        "greeting": config.greeting,
        "instructions": config.instructions,
        "model": config.model,
        "suggested_questions": "\n".join(config.suggested_questions),
        **{flag: "on" if getattr(config, flag) else "" for flag in FLAGS},
        "next_model_1": nexts[0],
        "next_model_2": nexts[1],
        "difficult_share": shown(config.difficult_share_millis, _PERCENT),
        "answer_threshold": shown(config.answer_threshold_millis, _PERCENT),
        "handoff_threshold": shown(config.handoff_threshold_millis, _PERCENT),
        "handoff_phrases": "\n".join(config.handoff_phrases),
        "temperature": shown(config.temperature_millis, WHOLE),
        "max_tokens": shown(config.max_tokens, 1),
    }


def config_typed(typed: Mapping[str, str]) -> AgentConfig:
    """The settings that were typed; InvalidArgument at the field that is no number."""
    nexts = [typed["next_model_1"], typed["next_model_2"]]
    preset = typed["preset"] if typed["preset"] in SAMPLES else "custom"
    return AgentConfig(
        name=typed["name"].strip(),
        preset=preset,  # pyright: ignore[reportArgumentType]
        greeting=typed["greeting"].strip(),
        instructions=typed["instructions"].strip(),
        model=typed["model"],
        max_tokens=_number(typed, "max_tokens", 1),
        temperature_millis=_number(typed, "temperature", WHOLE),
        prompt_caching=bool(typed["prompt_caching"]),
        answer_threshold_millis=_number(typed, "answer_threshold", _PERCENT),
        handoff_threshold_millis=_number(typed, "handoff_threshold", _PERCENT),
        suggested_questions=_lines(typed["suggested_questions"]),
        handoff_phrases=_lines(typed["handoff_phrases"]),
        screen_sharing=bool(typed["screen_sharing"]),
        response_cache=bool(typed["response_cache"]),
        next_models=[model for model in nexts if model],
        difficult_share_millis=_number(typed, "difficult_share", _PERCENT),
    )


def field_asked(field: str | None) -> str | None:
    """The form's name of what the API refused."""
    name = (field or "").removeprefix("config.")
    base = name.partition("[")[0]
    return _FIELDS.get(name) or _FIELDS.get(base) or base or None


def _headline(version: int, changes: str) -> str:
    if not version:
        return "Not published yet: visitors can’t reach it."
    if changes:
        return f"Visitors get version {version}. The draft differs in {changes}."
    return f"Visitors get version {version}, which is what you see here."


def _changes(one: AgentConfig, other: AgentConfig) -> str:
    """What differs, in words."""
    names = [label for name, label in _LABELS.items() if getattr(one, name) != getattr(other, name)]
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _models(prices: Sequence[ModelPrice], draft: AgentConfig) -> tuple[tuple[str, str], ...]:
    """Models that can be chosen, with what is said of each; also those of the draft."""
    usable = [p.model for p in prices if p.serves == "answer" and p.is_configured]
    chosen = [model for model in (draft.model, *draft.next_models) if model not in ("", *usable)]
    others = [(model, f"{model} (not set up)") for model in dict.fromkeys(chosen)]
    return (("", _DEFAULT_MODEL), *((model, model) for model in usable), *others)


def _versions(
    versions: Sequence[agent_pb2.AgentVersion], current: int, now: datetime
) -> tuple[Version, ...]:
    befores = [AgentConfig.of(version.config) for version in versions[1:]]
    found: list[Version] = []
    for number, version in enumerate(versions):
        config = AgentConfig.of(version.config)
        changes = _changes(config, befores[number]) if number < len(befores) else ""
        found.append(
            Version(
                version.version,
                when_of(version.create_time, now),
                version.version == current,
                changes or ("the same settings again" if number < len(befores) else "the first"),
            )
        )
    return tuple(found)


def _number(typed: Mapping[str, str], name: str, whole: int) -> int:
    """What was typed, in the parts that it is kept in: `whole` of them are one."""
    text = typed[name].strip().removesuffix("%").replace(",", ".").strip()
    if not text:
        return 0
    if not _TYPED.fullmatch(text):
        raise InvalidArgument("that is no number: leave it empty for the default", field=name)
    value = Decimal(text) * whole
    if value != int(value):
        raise InvalidArgument("that is finer than it is kept", field=name)
    return int(value)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
