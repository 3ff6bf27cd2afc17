"""`local/late-interaction`: a query's token vectors against those stored of passages."""

from collections.abc import Mapping, Sequence

from fleetkit.errors import FailedPrecondition, InvalidArgument

from llm_gateway.entries import Meter
from llm_gateway.minilm import token_vectors
from llm_gateway.pricing import Unit
from llm_gateway.providers.minilm import MiniLm, most_compute_us
from llm_gateway.reranking import Document
from llm_gateway.workers.lanes import Lane

MODEL = "late-interaction"


class LateInteraction:
    """Scores −1 to 1; the query's tokens are embedded by `embedder`."""

    keeps_scores = False
    kinds = frozenset({Unit.COMPUTE_US})

    def __init__(self, embedder: MiniLm) -> None:
        self._embedder = embedder

    def at_most(
        self,
        query: str,
        documents: Sequence[Document],  # noqa: ARG002 - comparing takes next to nothing
    ) -> Mapping[Unit, int]:
        """As for embedding the query."""
        return {Unit.COMPUTE_US: most_compute_us([query])}

    async def rerank(
        self, model: str, query: str, documents: Sequence[Document], meter: Meter
    ) -> Sequence[float]:
        """FailedPrecondition (NO_TOKEN_VECTORS) when a document comes without; see Embed."""
        if model != MODEL:
            raise FailedPrecondition(
                f"local/{model} does not rerank", field="model", reason="MODEL_NOT_FOUND"
            )
        for index, document in enumerate(documents):
            if not document.token_vectors:
                raise FailedPrecondition(
                    f"documents[{index}] has no token vectors: embed it again with token_vectors",
                    field=f"documents[{index}].token_vectors",
                    reason="NO_TOKEN_VECTORS",
                )
        embedded = await self._embedder.embed([query], Lane.INTERACTIVE, meter, "query")
        asked = token_vectors.unpack_query(embedded.token_vectors[0])
        return [
            token_vectors.late_interaction(asked, _read(index, document.token_vectors))
            for index, document in enumerate(documents)
        ]

    async def close(self) -> None:
        """The embedder's workers are closed by whom they belong to."""


def _read(index: int, packed: bytes) -> token_vectors.Matrix:
    try:
        return token_vectors.unpack(packed)
    except ValueError as error:
        raise InvalidArgument(
            f"documents[{index}].token_vectors is not what Embed returned",
            field=f"documents[{index}].token_vectors",
        ) from error
