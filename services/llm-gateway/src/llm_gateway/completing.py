"""What a provider of completions is given and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be completed. `model` is the provider's own name of the model.

    With a `schema` the output is to be JSON of that schema. `rejected` is an earlier output that
    was not, and `problem` what was wrong with it.
    """

    model: str
    instructions: str
    text: str
    max_tokens: int
    temperature_millis: int
    schema: Mapping[str, Any] | None = None
    rejected: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote; `cut` when it reached the token limit."""

    text: str
    cut: bool


class CompleteProvider(Protocol):
    """Writes text that nobody waits for word by word. One implementation a file."""

    @property
    def kinds(self) -> frozenset[Unit]:
        """Every kind of unit that a call may use: each must have a price."""
        ...

    def complete_at_most(self, prompt: Prompt) -> Mapping[Unit, int]:
        """An upper bound of the units that completing will use."""
        ...

    async def count(self, prompt: Prompt) -> int | None:
        """Tokens of the whole prompt, as with answers."""
        ...

    async def complete(self, prompt: Prompt, meter: Meter) -> Completion:
        """The output; errors as with answers. Keeps `meter` right whenever it ends."""
        ...
