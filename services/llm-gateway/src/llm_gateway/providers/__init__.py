"""Providers of models: one file each, listed here; made only where configured."""

from collections.abc import Mapping

from llm_gateway.config import Settings
from llm_gateway.embedding import EmbedProvider
from llm_gateway.pricing import PriceBook
from llm_gateway.providers.extractive import Extractive
from llm_gateway.providers.late_interaction import LateInteraction
from llm_gateway.providers.minilm import MiniLm
from llm_gateway.question import AnswerProvider
from llm_gateway.reranking import RerankProvider


def answer_providers(
    settings: Settings, embedder: MiniLm | None, book: PriceBook
) -> Mapping[str, AnswerProvider]:
    """The configured providers of answers, by the name before the slash in "provider/model"."""
    providers: dict[str, AnswerProvider] = {}
    if embedder is not None:
        providers["local"] = Extractive(embedder)
    if settings.anthropic_api_key is not None:
        # Importing the SDK costs seconds: only where it is used.
        from llm_gateway.providers.anthropic import Anthropic

        providers["anthropic"] = Anthropic(
            settings.anthropic_api_key.get_secret_value(),
            settings.anthropic_base_url,
            settings.anthropic_first_token_timeout_s,
        )
    if settings.endpoints:
        from llm_gateway.providers.openai_compatible import OpenAiCompatible

        for endpoint in settings.endpoints:
            providers[endpoint.name] = OpenAiCompatible(endpoint, book)
    return providers


def embed_providers(settings: Settings) -> Mapping[str, EmbedProvider]:
    """The configured hosted embedding models, by the name before the slash."""
    if settings.voyage_api_key is None:
        return {}
    from llm_gateway.providers.voyage import Voyage

    key = settings.voyage_api_key.get_secret_value()
    return {"voyage": Voyage(key, settings.voyage_base_url)}


def rerank_providers(settings: Settings, embedder: MiniLm | None) -> Mapping[str, RerankProvider]:
    """The configured rerankers, by the name before the slash in "provider/model"."""
    providers: dict[str, RerankProvider] = {}
    if embedder is not None:
        providers["local"] = LateInteraction(embedder)
    # Importing the SDKs costs seconds: only where they are used.
    if settings.cohere_api_key is not None:
        from llm_gateway.providers.cohere import Cohere

        key = settings.cohere_api_key.get_secret_value()
        providers["cohere"] = Cohere(key, settings.cohere_base_url)
    if settings.voyage_api_key is not None:
        from llm_gateway.providers.voyage import Voyage

        key = settings.voyage_api_key.get_secret_value()
        providers["voyage"] = Voyage(key, settings.voyage_base_url)
    if settings.rerank_url:
        from llm_gateway.providers.http_rerank import HttpRerank

        key = settings.rerank_api_key.get_secret_value() if settings.rerank_api_key else ""
        providers["selfhosted"] = HttpRerank(settings.rerank_url, key, settings.rerank_batch)
    return providers
