"""The settings of one agent version, and what is allowed in them."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fleetkit.errors import InvalidArgument

PRESETS = ("professional", "friendly", "technical", "custom")
DEFAULT_MAX_TOKENS = 1024
MAX_NAME_CHARS = 80
MAX_GREETING_CHARS = 500
MAX_INSTRUCTIONS_CHARS = 8_000
MAX_SUGGESTIONS = 5
MAX_SUGGESTION_CHARS = 200
MAX_HANDOFF_PHRASES = 50
MAX_HANDOFF_PHRASE_CHARS = 80
MAX_NEXT_MODELS = 2
_MODEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}/[A-Za-z0-9][A-Za-z0-9._:/@-]{0,119}")


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """How an agent answers; field by field the proto of the same name.

    Thresholds are thousandths, 0 for the fleet's default; `max_tokens` 0 means 1,024.
    """

    name: str = ""
    preset: str = ""
    greeting: str = ""
    instructions: str = ""
    model: str = ""
    max_tokens: int = 0
    temperature_millis: int = 0
    prompt_caching: bool = False
    answer_threshold_millis: int = 0
    handoff_threshold_millis: int = 0
    suggested_questions: tuple[str, ...] = ()
    handoff_phrases: tuple[str, ...] = ()
    screen_sharing: bool = False
    response_cache: bool = False
    next_models: tuple[str, ...] = ()
    difficult_share_millis: int = 0

    @property
    def models(self) -> tuple[str, ...]:
        """The models of its attempts in order; "" is the fleet's default."""
        return (self.model, *self.next_models)

    def to_json(self) -> dict[str, Any]:
        """The form in which it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "AgentConfig":
        """Reads the stored form; fields of a newer program are ignored, missing ones default."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in stored.items() if name in known}
        for name in ("suggested_questions", "handoff_phrases", "next_models"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


def validate(config: AgentConfig, field: str = "config") -> None:
    """Raises InvalidArgument naming the first field that is wrong, and what would be right."""
    _check_texts(config, field)
    _check_numbers(config, field)
    _check_next_models(config, f"{field}.next_models")
    _check_list(
        config.suggested_questions,
        f"{field}.suggested_questions",
        MAX_SUGGESTIONS,
        MAX_SUGGESTION_CHARS,
    )
    _check_list(
        config.handoff_phrases,
        f"{field}.handoff_phrases",
        MAX_HANDOFF_PHRASES,
        MAX_HANDOFF_PHRASE_CHARS,
    )


def _check_texts(config: AgentConfig, field: str) -> None:
    if not config.name.strip():
        raise _wrong(f"{field}.name", f"the name is empty: give 1–{MAX_NAME_CHARS} characters")
    if config.preset not in PRESETS:
        names = ", ".join(PRESETS)
        raise _wrong(f"{field}.preset", f"the preset is not known: choose one of {names}")
    if config.model and not _MODEL.fullmatch(config.model):
        raise _wrong(
            f"{field}.model",
            'the model is malformed: write "provider/model", or leave it empty for the default',
        )
    for name, limit in (
        ("name", MAX_NAME_CHARS),
        ("greeting", MAX_GREETING_CHARS),
        ("instructions", MAX_INSTRUCTIONS_CHARS),
    ):
        _check_text(getattr(config, name), f"{field}.{name}", limit)


def _check_next_models(config: AgentConfig, field: str) -> None:
    if len(config.next_models) > MAX_NEXT_MODELS:
        raise _wrong(field, f"next_models has more than {MAX_NEXT_MODELS} models: remove some")
    for number, model in enumerate(config.next_models):
        if not _MODEL.fullmatch(model):
            raise _wrong(f"{field}[{number}]", 'the model is malformed: write "provider/model"')
        if model in config.models[: number + 1]:
            raise _wrong(f"{field}[{number}]", "the model stands before already: remove it")


def _check_text(text: str, field: str, limit: int) -> None:
    name = field.rpartition(".")[2]
    if len(text) > limit:
        raise _wrong(field, f"{name} has {len(text)} characters: at most {limit} are allowed")
    if "\0" in text:
        raise _wrong(field, f"{name} contains a NUL character: remove it")


def _check_numbers(config: AgentConfig, field: str) -> None:
    if config.max_tokens and not 100 <= config.max_tokens <= 4_000:
        raise _wrong(
            f"{field}.max_tokens",
            f"max_tokens is {config.max_tokens}: give 100–4,000, or 0 for {DEFAULT_MAX_TOKENS}",
        )
    _check_range(config.temperature_millis, f"{field}.temperature_millis", 2_000)
    _check_range(config.answer_threshold_millis, f"{field}.answer_threshold_millis", 1_000)
    _check_range(config.handoff_threshold_millis, f"{field}.handoff_threshold_millis", 1_000)
    _check_range(config.difficult_share_millis, f"{field}.difficult_share_millis", 1_000)
    answer, handoff = config.answer_threshold_millis, config.handoff_threshold_millis
    if answer and handoff > answer:
        raise _wrong(
            f"{field}.handoff_threshold_millis",
            f"handoff_threshold_millis {handoff} is above answer_threshold_millis {answer}: "
            "give at most that",
        )


def _check_range(value: int, field: str, limit: int) -> None:
    if not 0 <= value <= limit:
        raise _wrong(field, f"{field.rpartition('.')[2]} is {value}: give 0–{limit:,}")


def _check_list(items: tuple[str, ...], field: str, most: int, chars: int) -> None:
    if len(items) > most:
        raise _wrong(field, f"{len(items)} entries are given: at most {most} are allowed")
    for number, item in enumerate(items):
        if not item.strip():
            raise _wrong(f"{field}[{number}]", "the entry is empty: remove it or fill it in")
        _check_text(item, f"{field}[{number}]", chars)


def _wrong(field: str, message: str) -> InvalidArgument:
    return InvalidArgument(message, field=field)
