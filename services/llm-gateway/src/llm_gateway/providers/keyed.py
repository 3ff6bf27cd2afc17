"""Providers by a tenant's own key: the clients that there are, with another key on each request."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fleetkit.errors import FailedPrecondition, FleetError, InvalidArgument, Unavailable

from llm_gateway.completing import CompleteProvider
from llm_gateway.config import Settings
from llm_gateway.embedding import EmbedProvider
from llm_gateway.pricing import PriceBook
from llm_gateway.providers.refusals import CREDENTIALS
from llm_gateway.question import AnswerProvider
from llm_gateway.reranking import RerankProvider
from llm_gateway.seeing import SeeProvider

KEYED = ("anthropic", "cohere", "gemini", "openai", "voyage")
_CHECK_S = 10.0
# Gemini says 400 where others say that they don't know the key.
_REFUSED = (400, 401, 403)


class _Once(CompleteProvider, SeeProvider, Protocol):
    """What completes and reads pictures."""


@dataclass(frozen=True, slots=True)
class KeyedProvider:
    """A provider by one key, by what it serves; None is what it does not.

    `check` raises InvalidArgument when it does not take the key.
    """

    check: Callable[[], Awaitable[None]]
    answering: AnswerProvider | None = None
    once: _Once | None = None
    embedding: EmbedProvider | None = None
    reranking: RerankProvider | None = None


class KeyedProviders:
    """Makes them; those of one provider share their connections."""

    def __init__(self, settings: Settings, book: PriceBook) -> None:
        self._settings = settings
        self._book = book
        self._clients: dict[str, Any] = {}

    async def of(self, provider: str, api_key: str) -> KeyedProvider:
        """`provider`, one of `KEYED`, by a key."""
        if provider not in self._clients:
            # Importing the SDK costs seconds: where it is first used, and beside the loop.
            client = await asyncio.to_thread(self._client, provider)
            self._clients.setdefault(provider, client)
        client = self._clients[provider]
        match provider:
            case "anthropic":
                return self._anthropic(client.with_options(api_key=api_key))
            case "cohere":
                cohere = client.by_key(api_key)
                return KeyedProvider(_check_of(cohere.check), reranking=cohere)
            case "voyage":
                voyage = client.by_key(api_key)
                check = _check_of(lambda: voyage.check(self._embedding_model(provider)))
                return KeyedProvider(check, embedding=voyage, reranking=voyage)
            case _:
                return self._openai(provider, api_key, client.with_options(api_key=api_key))

    async def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            await client.close()

    def _client(self, provider: str) -> Any:
        if provider == "anthropic":
            from llm_gateway.providers import anthropic

            return anthropic.client_of("unset", self._settings.anthropic_base_url)
        if provider == "cohere":
            from llm_gateway.providers.cohere import Cohere

            return Cohere("unset", self._settings.cohere_base_url)
        if provider == "voyage":
            from llm_gateway.providers.voyage import Voyage

            return Voyage("unset", self._settings.voyage_base_url)
        from llm_gateway.providers import openai_compatible

        return openai_compatible.client_of(self._settings.endpoint_of(provider, "unset"))

    def _embedding_model(self, provider: str) -> str:
        """The first of its embedding models that the price book has; FailedPrecondition without."""
        for name, priced in sorted(self._book.models.items()):
            if priced.serves == "embed" and name.startswith(f"{provider}/"):
                return name.partition("/")[2]
        raise FailedPrecondition(
            "the price book has no embedding model of this provider",
            field="provider",
            reason="UNPRICED_MODEL",
        )

    def _anthropic(self, client: Any) -> KeyedProvider:
        from anthropic import APIError

        from llm_gateway.providers.anthropic import Anthropic
        from llm_gateway.providers.anthropic_errors import translated
        from llm_gateway.providers.anthropic_once import AnthropicOnce

        timeout_s = self._settings.anthropic_first_token_timeout_s
        check = _check(lambda: client.models.list(limit=1), APIError, translated)
        return KeyedProvider(check, Anthropic(client, timeout_s), AnthropicOnce(client, self._book))

    def _openai(self, provider: str, api_key: str, client: Any) -> KeyedProvider:
        from openai import APIError

        from llm_gateway.providers.openai_compatible import OpenAiCompatible
        from llm_gateway.providers.openai_errors import translated
        from llm_gateway.providers.openai_once import OpenAiOnce

        endpoint = self._settings.endpoint_of(provider, api_key)
        check = _check(client.models.list, APIError, lambda error: translated(error, provider))
        return KeyedProvider(
            check,
            OpenAiCompatible(endpoint, client, self._book),
            OpenAiOnce(endpoint, client, self._book),
        )


def _check(
    listing: Callable[[], Awaitable[Any]],
    api_error: type[Exception],
    translated: Callable[[Any], FleetError],
) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        try:
            await listing()
        except api_error as error:
            if getattr(error, "status_code", None) in _REFUSED:
                raise _not_taken() from error
            raise translated(error) from error

    return _check_of(ask)


def _check_of(ask: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Asks in time; InvalidArgument where the provider does not take the key."""

    async def check() -> None:
        try:
            async with asyncio.timeout(_CHECK_S):
                await ask()
        except TimeoutError as error:
            raise Unavailable(
                "the provider did not answer: the key is not set", reason="PROVIDER_TIMEOUT"
            ) from error
        except FailedPrecondition as error:
            if error.reason != CREDENTIALS:
                raise
            raise _not_taken() from error

    return check


def _not_taken() -> InvalidArgument:
    return InvalidArgument(
        "the provider does not take this key", field="api_key", reason="KEY_REFUSED"
    )
