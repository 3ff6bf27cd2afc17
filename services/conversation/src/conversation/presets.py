"""Presets: ready-made manners, from presets.toml."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from conversation.agent_config import PRESETS, AgentConfig


@dataclass(frozen=True, slots=True)
class Preset:
    """One manner: the instructions before the agent's own, and suggested settings."""

    instructions: str
    max_tokens: int
    temperature_millis: int


@cache
def presets() -> dict[str, Preset]:
    """All presets by name; KeyError when the file lacks one."""
    data = _data()
    return {
        name: Preset(
            instructions=" ".join(data[name]["instructions"].split()),
            max_tokens=data[name]["max_tokens"],
            temperature_millis=data[name]["temperature_millis"],
        )
        for name in PRESETS
    }


def default_agent() -> AgentConfig:
    """The settings a tenant's first agent is made with."""
    given = _data()["default_agent"]
    preset = presets()[given["preset"]]
    return AgentConfig(
        name=given["name"],
        preset=given["preset"],
        greeting=given["greeting"],
        max_tokens=preset.max_tokens,
        temperature_millis=preset.temperature_millis,
        prompt_caching=True,
        screen_sharing=given["screen_sharing"],
    )


def instructions_for(config: AgentConfig) -> str:
    """What the model is told: who it is, the preset's manner, then the agent's own words."""
    parts = (
        f"You are {config.name.strip()}, the AI support agent of a company.",
        presets()[config.preset].instructions,
        config.instructions.strip(),
    )
    return "\n\n".join(part for part in parts if part)


@cache
def _data() -> dict:
    return tomllib.loads((files("conversation") / "presets.toml").read_text("utf-8"))
