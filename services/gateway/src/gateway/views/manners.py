"""Ready-made manners: what choosing one fills in, and what becomes of it when that is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from fleetdesk.conversation.v1.agent_pb2 import Preset, PresetSettings

from gateway.shapes.agents import AgentConfig

CUSTOM = "custom"
WHOLE = 1000

# Title, meaning, and how an answer might sound.
SAMPLES = {
    "professional": (
        "Professional",
        "Formal and concise",
        (
            "Opened items can be returned within 30 days with the receipt. Choose Returns in your"
            " account and print the label."
        ),
    ),
    "friendly": (
        "Friendly",
        "Conversational and detailed",
        (
            "Good news: you can! Opened items go back within 30 days, as long as you still have the"
            " receipt. Just pick Returns in your account, and the label is yours to print."
        ),
    ),
    "technical": (
        "Technical",
        "For engineers: exact names, commands, codes",
        (
            "Opened items: 30 days from delivery, receipt required. Account → Returns → item →"
            " label (PDF). Error R-17: the period is over."
        ),
    ),
    CUSTOM: (
        "Custom",
        "Your own instructions, and nothing before them",
        "As you tell it to, from the same pages.",
    ),
}


@dataclass(frozen=True, slots=True)
class Manner:
    """A manner as a card to choose, with what it fills in: as numbers, and as they are typed."""

    value: str
    title: str
    meaning: str
    sample: str
    max_tokens: int
    temperature_millis: int
    words: str

    @property
    def temperature(self) -> str:
        """As it is typed."""
        return shown(self.temperature_millis, WHOLE)

    @property
    def is_custom(self) -> bool:
        """Whether it fills in nothing."""
        return self.value == CUSTOM


def manners_of(presets: Sequence[PresetSettings]) -> tuple[Manner, ...]:
    """The cards, in the order in which they are offered."""
    given = {Preset.Name(each.preset).removeprefix("PRESET_").lower(): each for each in presets}
    return tuple(
        Manner(
            value,
            *sample,
            max_tokens=given[value].max_tokens,
            temperature_millis=given[value].temperature_millis,
            words=given[value].instructions,
        )
        for value, sample in SAMPLES.items()
    )


def begun(name: str, manners: Sequence[Manner]) -> AgentConfig:
    """The settings of a new agent: friendly, with what that means."""
    return settled(AgentConfig(name), AgentConfig(name, preset=CUSTOM), manners)


def settled(config: AgentConfig, before: AgentConfig, manners: Sequence[Manner]) -> AgentConfig:
    """What was sent, as the choice of a manner means it; `before` is the draft that it changes.

    A manner that was chosen fills in its length and temperature. Where one of them was changed by
    hand it is Custom from then on, and the manner's words stand before the agent's own, so that
    it sounds as before. The page's script does the same while one types.
    """
    manner = next(each for each in manners if each.value == config.preset)
    if manner.is_custom:
        return config
    numbers = (config.max_tokens, config.temperature_millis)
    meant = (manner.max_tokens, manner.temperature_millis)
    if numbers not in (meant, (before.max_tokens, before.temperature_millis)):
        words = "\n\n".join(part for part in (manner.words, config.instructions) if part)
        return msgspec.structs.replace(config, preset=CUSTOM, instructions=words)
    if config.preset == before.preset:
        return config
    return msgspec.structs.replace(
        config,
        max_tokens=manner.max_tokens,
        temperature_millis=manner.temperature_millis,
        instructions=_own(config.instructions, manners),
    )


def _own(instructions: str, manners: Sequence[Manner]) -> str:
    """Instructions without a manner's words at their beginning."""
    for each in manners:
        if each.words and instructions.startswith(each.words):
            return instructions.removeprefix(each.words).lstrip()
    return instructions


def shown(value: int, whole: int) -> str:
    """A number as it is typed, of which `whole` parts are one; "" for 0, which is the default."""
    return f"{Decimal(value) / whole:f}" if value else ""
