"""Providers of models: one file each, listed here; made only where configured."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_gateway.completing import CompleteProvider
from llm_gateway.config import Settings
from llm_gateway.embedding import EmbedProvider
from llm_gateway.pricing import PriceBook
from llm_gateway.providers.extractive import Extractive
from llm_gateway.providers.late_interaction import LateInteraction
from llm_gateway.providers.minilm import MiniLm
from llm_gateway.question import AnswerProvider
from llm_gateway.reranking import RerankProvider
from llm_gateway.seeing import SeeProvider


@dataclass(frozen=True, slots=True)
class Providers:
    """The configured providers of each kind, by the name before the slash in "provider/model"."""

    answering: dict[str, AnswerProvider] = field(default_factory=dict)
    completing: dict[str, CompleteProvider] = field(default_factory=dict)
    seeing: dict[str, SeeProvider] = field(default_factory=dict)


def configured(settings: Settings, embedder: MiniLm | None, book: PriceBook) -> Providers:
    """The providers that settings and keys enable; those of answers are to be closed."""
    providers = Providers()
    if embedder is not None:
        providers.answering["local"] = Extractive(embedder)
    if settings.anthropic_api_key is not None:
        _add_anthropic(providers, settings, book, settings.anthropic_api_key.get_secret_value())
    if settings.endpoints:
        _add_endpoints(providers, settings, book)
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


def _add_anthropic(providers: Providers, settings: Settings, book: PriceBook, api_key: str) -> None:
    # Importing the SDK costs seconds: only where it is used.
    from llm_gateway.providers.anthropic import Anthropic, client_of
    from llm_gateway.providers.anthropic_once import AnthropicOnce

    client = client_of(api_key, settings.anthropic_base_url)
    timeout_s = settings.anthropic_first_token_timeout_s
    providers.answering["anthropic"] = Anthropic(client, timeout_s)
    once = AnthropicOnce(client, book)
    providers.completing["anthropic"] = providers.seeing["anthropic"] = once


def _add_endpoints(providers: Providers, settings: Settings, book: PriceBook) -> None:
    from llm_gateway.providers.openai_compatible import OpenAiCompatible, client_of
    from llm_gateway.providers.openai_once import OpenAiOnce

    for endpoint in settings.endpoints:
        client = client_of(endpoint)
        providers.answering[endpoint.name] = OpenAiCompatible(endpoint, client, book)
        once = OpenAiOnce(endpoint, client, book)
        providers.completing[endpoint.name] = providers.seeing[endpoint.name] = once
