"""Providers of models: one file each, listed here; made only where configured."""

from collections.abc import Mapping

from llm_gateway.config import Settings
from llm_gateway.pricing import PriceBook
from llm_gateway.providers.extractive import Extractive
from llm_gateway.providers.minilm import MiniLm
from llm_gateway.question import AnswerProvider


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
            lambda model: book.facts(f"anthropic/{model}").cache_minimum_tokens,
        )
    if settings.endpoints:
        from llm_gateway.providers.openai_compatible import OpenAiCompatible

        for endpoint in settings.endpoints:
            providers[endpoint.name] = OpenAiCompatible(endpoint, book)
    return providers
