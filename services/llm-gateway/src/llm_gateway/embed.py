"""Embedding texts: checked, queued by lane, metered, on the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetkit.errors import FailedPrecondition, InvalidArgument

from llm_gateway.embedding import EmbedProvider
from llm_gateway.metering import Metering
from llm_gateway.models import Own, paying
from llm_gateway.pricing import Unit
from llm_gateway.providers import minilm
from llm_gateway.providers.minilm import MiniLm
from llm_gateway.tenant_keys import TenantKeys
from llm_gateway.workers.lanes import Embedded, Lane

_MAX_TEXTS = 64
_MAX_TEXT_BYTES = 32_000


@dataclass(frozen=True, slots=True)
class Embedders:
    """The local model, hosted ones by provider, and the model of requests that name none."""

    local: MiniLm | None
    hosted: Mapping[str, EmbedProvider]
    keys: TenantKeys
    default_model: str

    def of(self, provider: str, own: Own) -> EmbedProvider | None:
        """A hosted provider, a tenant's `own` where it has one."""
        return own[provider].embedding if provider in own else self.hosted.get(provider)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Unit vectors of texts in order, and the model that made them, with its version."""

    embedded: Embedded
    model: str


async def embed(
    metering: Metering,
    embedders: Embedders,
    tenant_id: UUID,
    texts: Sequence[str],
    lane: Lane,
    model: str,
    *,
    token_vectors: bool = False,
) -> Embeddings:
    """A vector for each of 1–64 texts of at most 32,000 bytes; with `token_vectors` those, too.

    Hosted models have no token vectors; the errors of their providers pass.

    InvalidArgument names the text that is wrong; ResourceExhausted when the lane is full.
    """
    _check(texts)
    model = model or embedders.default_model
    name, _, hosted_model = model.partition("/")
    own = await embedders.keys.of(tenant_id) if name != "local" else {}
    if (hosted := embedders.of(name, own)) is not None:
        at_most, paid = hosted.at_most_embedding(texts), paying(model, own)
        async with metering.call(tenant_id, "embed", model, at_most, paid) as metered:
            embedded = await hosted.embed(hosted_model, texts, lane, metered.meter)
        return Embeddings(embedded, f"{model}@{embedded.version}")
    provider = embedders.local
    if provider is None or model != minilm.MODEL:
        raise FailedPrecondition(
            f"{model} does not embed here; {minilm.MODEL} does where embed_workers is set, "
            "voyage/… by the fleet's key or one of yours",
            field="model",
            reason="PROVIDER_NOT_CONFIGURED",
        )
    at_most = {Unit.COMPUTE_US: minilm.most_compute_us(texts)}
    async with metering.call(tenant_id, "embed", model, at_most) as metered:
        keep = "passage" if token_vectors else ""
        embedded = await provider.embed(texts, lane, metered.meter, keep)
    return Embeddings(embedded, f"{model}@{embedded.version}")


def _check(texts: Sequence[str]) -> None:
    if not 1 <= len(texts) <= _MAX_TEXTS:
        raise InvalidArgument(
            f"texts has {len(texts)} items; send 1 to {_MAX_TEXTS}", field="texts"
        )
    for index, text in enumerate(texts):
        if not text.strip():
            raise InvalidArgument(
                f"texts[{index}] is empty; send only texts with content", field=f"texts[{index}]"
            )
        if (size := len(text.encode())) > _MAX_TEXT_BYTES:
            raise InvalidArgument(
                f"texts[{index}] has {size} bytes; the most is {_MAX_TEXT_BYTES}",
                field=f"texts[{index}]",
            )
