"""Reranking passages for a query: checked, metered, on the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetkit.errors import FailedPrecondition, InvalidArgument, Unavailable

from llm_gateway.metering import Metering
from llm_gateway.models import Own, paying
from llm_gateway.pair_cache import PairCache, pair_key
from llm_gateway.reranking import Document, RerankProvider
from llm_gateway.tenant_keys import TenantKeys

MAX_DOCUMENTS = 100
MAX_QUERY_BYTES = 16_000
MAX_DOCUMENT_BYTES = 32_000
MAX_TOKEN_VECTOR_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class Rerankers:
    """The configured providers by name, the model of requests that name none, and kept scores."""

    providers: Mapping[str, RerankProvider]
    keys: TenantKeys
    default_model: str
    kept: PairCache

    def of(self, provider: str, own: Own) -> RerankProvider | None:
        """A provider, a tenant's `own` where it has one."""
        return own[provider].reranking if provider in own else self.providers.get(provider)


@dataclass(frozen=True, slots=True)
class Reranked:
    """A score for each document in order, larger is better, and the model that gave them."""

    scores: Sequence[float]
    model: str


async def rerank(
    metering: Metering,
    rerankers: Rerankers,
    tenant_id: UUID,
    query: str,
    documents: Sequence[Document],
    model: str,
) -> Reranked:
    """Scores 1–100 documents; pairs whose scores are kept are not paid for again.

    InvalidArgument names the field that is wrong; FailedPrecondition (PROVIDER_NOT_CONFIGURED) for
    a model that does not rerank here; the provider's errors pass.
    """
    _check(query, documents)
    model = model or rerankers.default_model
    provider_name, _, name = model.partition("/")
    own = await rerankers.keys.of(tenant_id) if provider_name != "local" else {}
    provider = rerankers.of(provider_name, own)
    if provider is None or not name:
        raise FailedPrecondition(
            f"{model} does not rerank here; configured providers: "
            f"{', '.join(sorted(rerankers.providers)) or 'none'}",
            field="model",
            reason="PROVIDER_NOT_CONFIGURED",
        )
    keys = [pair_key(tenant_id, model, query, d.text) for d in documents]
    known = [rerankers.kept.get(key) if provider.keeps_scores else None for key in keys]
    missing = [index for index, score in enumerate(known) if score is None]
    if missing:
        asked = [documents[index] for index in missing]
        at_most, paid = provider.at_most(query, asked), paying(model, own)
        async with metering.call(tenant_id, "rerank", model, at_most, paid) as metered:
            scores = await provider.rerank(name, query, asked, metered.meter)
        if len(scores) != len(asked):
            raise Unavailable(
                "the reranker scored other documents than it was sent", reason="PROVIDER_MALFORMED"
            )
        for index, score in zip(missing, scores, strict=True):
            known[index] = score
            if provider.keeps_scores:
                rerankers.kept.put(keys[index], score)
    return Reranked([score for score in known if score is not None], model)


def _check(query: str, documents: Sequence[Document]) -> None:
    if not query.strip():
        raise InvalidArgument("query is empty", field="query")
    if (size := len(query.encode())) > MAX_QUERY_BYTES:
        raise InvalidArgument(
            f"query has {size} bytes; the most is {MAX_QUERY_BYTES}", field="query"
        )
    if not 1 <= len(documents) <= MAX_DOCUMENTS:
        raise InvalidArgument(
            f"documents has {len(documents)} items; send 1 to {MAX_DOCUMENTS}", field="documents"
        )
    for index, document in enumerate(documents):
        if not document.text.strip():
            raise InvalidArgument(
                f"documents[{index}].text is empty", field=f"documents[{index}].text"
            )
        if (size := len(document.text.encode())) > MAX_DOCUMENT_BYTES:
            raise InvalidArgument(
                f"documents[{index}].text has {size} bytes; the most is {MAX_DOCUMENT_BYTES}",
                field=f"documents[{index}].text",
            )
        if (size := len(document.token_vectors)) > MAX_TOKEN_VECTOR_BYTES:
            raise InvalidArgument(
                f"documents[{index}].token_vectors has {size} bytes; the most is "
                f"{MAX_TOKEN_VECTOR_BYTES}",
                field=f"documents[{index}].token_vectors",
            )
