"""What a model can do and what its calls can cost, beside its prices: facts of the price book."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Feature = Literal["images", "json_schema", "tools", "temperature"]


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """How many tokens a picture counts as; the shape of every provider's published formula.

    The picture is first made to fit `longest_px` and then `shortest_px` (0: as it is), then cut
    into patches of `patch_px` (0: the count does not depend on its size).
    """

    base: int = 0
    patch_px: int = 0
    per_patch_millis: int = 1000
    longest_px: int = 0
    shortest_px: int = 0
    most: int = 0

    def of(self, width: int, height: int) -> int:
        """Tokens of a picture of so many pixels, rounded up."""
        if not self.patch_px:
            return self.base
        width, height = _within(width, height, max(width, height), self.longest_px)
        width, height = _within(width, height, min(width, height), self.shortest_px)
        patches = -(-width // self.patch_px) * -(-height // self.patch_px)
        tokens = self.base - (-patches * self.per_patch_millis // 1000)
        return min(tokens, self.most) if self.most else tokens


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of a model; None and empty where its provider publishes none."""

    cache_minimum_tokens: int | None = None
    """The shortest prefix that is cached."""
    context_tokens: int | None = None
    """The longest prompt and answer together."""
    features: frozenset[Feature] = frozenset()
    image_tokens: ImageTokens | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request as they are, for example reasoning_effort."""

    def has(self, feature: Feature) -> bool:
        """Whether the model has it."""
        return feature in self.features

    def bounded(self, prompt_tokens: int) -> int:
        """An upper bound of a prompt's tokens: no prompt is longer than the context."""
        return min(prompt_tokens, self.context_tokens or prompt_tokens)


def _within(width: int, height: int, side: int, limit: int) -> tuple[int, int]:
    """The picture shrunk so that `side`, one of its sides, is at most `limit`."""
    if not limit or side <= limit:
        return width, height
    return max(1, -(-width * limit // side)), max(1, -(-height * limit // side))
