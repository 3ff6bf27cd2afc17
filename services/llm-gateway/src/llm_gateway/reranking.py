"""What a provider of reranking is given and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit


@dataclass(frozen=True, slots=True)
class Document:
    """A passage to be scored; `token_vectors` are those that Embed returned for it, or empty."""

    text: str
    token_vectors: bytes = b""


class RerankProvider(Protocol):
    """Scores passages for a query. `model` is the provider's own name of the model."""

    @property
    def kinds(self) -> frozenset[Unit]:
        """The units that its calls are paid in."""
        ...

    @property
    def keeps_scores(self) -> bool:
        """Whether scores are worth keeping for the next time the same pair is asked."""
        ...

    def at_most(self, query: str, documents: Sequence[Document]) -> Mapping[Unit, int]:
        """An upper bound of the units that a call takes."""
        ...

    async def rerank(
        self, model: str, query: str, documents: Sequence[Document], meter: Meter
    ) -> Sequence[float]:
        """A score for each document, in order; larger is better. Reports to `meter`."""
        ...

    async def close(self) -> None:
        """Closes what it holds open."""
        ...
