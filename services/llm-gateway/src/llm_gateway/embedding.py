"""What a hosted provider of embeddings is given and gives."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit
from llm_gateway.workers.lanes import Embedded, Lane


class EmbedProvider(Protocol):
    """A hosted embedding model. `model` is the provider's own name of it."""

    def at_most_embedding(self, texts: Sequence[str]) -> Mapping[Unit, int]:
        """An upper bound of the units that embedding takes."""
        ...

    async def embed(self, model: str, texts: Sequence[str], lane: Lane, meter: Meter) -> Embedded:
        """Unit vectors of 384 components, queries or passages by lane. Reports to `meter`."""
        ...

    async def close(self) -> None:
        """Closes what it holds open."""
        ...
