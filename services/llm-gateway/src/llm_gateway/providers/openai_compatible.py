"""Providers of the kind `openai`: any endpoint that speaks OpenAI's chat completions.

OpenAI, Gemini's compatible endpoint, vLLM, Ollama, … through the official SDK. These models have no
citations of their own, so they quote, and each quote is checked: see `quoting`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

import httpx2
import msgspec
import openai
from fleetkit.errors import FleetError
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types import CompletionUsage

from llm_gateway.config import OpenAiEndpoint
from llm_gateway.entries import Meter
from llm_gateway.pricing import PriceBook, PricedModel, Unit
from llm_gateway.providers.attempts import (
    broken_off,
    counted_in_time,
    first_token_late,
    opened,
)
from llm_gateway.providers.grounding import Grounding
from llm_gateway.providers.openai_errors import translated, was_sent
from llm_gateway.providers.openai_request import build_request, count_request, most_units
from llm_gateway.providers.quoting import Quoted
from llm_gateway.providers.refusals import refused
from llm_gateway.providers.sse import Event, EventReader, Pace, joined
from llm_gateway.providers.trust import trusted
from llm_gateway.question import Finished, FinishReason, Passage, Piece, Question

_CONNECT_TIMEOUT_S = 5.0
_SILENCE_S = 30.0


def client_of(endpoint: OpenAiEndpoint) -> AsyncOpenAI:
    """A client for all calls to an endpoint; `OpenAiCompatible.close` closes it."""
    key = endpoint.api_key
    return AsyncOpenAI(
        # Servers of one's own take any key.
        api_key=key.get_secret_value() if key else "none",
        base_url=endpoint.base_url,
        # Retried here, where each attempt is accounted for.
        max_retries=0,
        timeout=openai.Timeout(_SILENCE_S, connect=_CONNECT_TIMEOUT_S),
        http_client=DefaultAioHttpClient(verify=trusted()),
    )


class OpenAiCompatible:
    """Answers by the models of one endpoint, as far as they stand in the price book."""

    def __init__(self, endpoint: OpenAiEndpoint, client: AsyncOpenAI, book: PriceBook) -> None:
        self._endpoint = endpoint
        self._client = client
        self._book = book

    @property
    def kinds(self) -> frozenset[Unit]:
        """Tokens; those of a cache cost as the price book says, or as input."""
        return frozenset({Unit.INPUT, Unit.OUTPUT})

    def at_most(self, question: Question) -> Mapping[Unit, int]:
        """A token has a byte or more."""
        priced = self._priced(question.model)
        writes_cost = priced.ever_prices(Unit.CACHE_WRITE_30M)
        return most_units(question, priced.facts, writes_cost=writes_cost)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def count(self, question: Question) -> int | None:
        """By OpenAI's endpoint for it, which is free of charge; other endpoints have none."""
        if not self._endpoint.counts_tokens:
            return None
        passages = tuple(passage for passage in question.passages if passage.text.strip())
        request = count_request(question, passages, self._priced(question.model).facts)

        async def counted() -> int:
            return (await self._client.responses.input_tokens.count(**request)).input_tokens

        return await counted_in_time(counted, openai.APIError, question.model)

    def _priced(self, model: str) -> PricedModel:
        return self._book.models[f"{self._endpoint.name}/{model}"]

    async def answer(self, question: Question, meter: Meter) -> AsyncGenerator[Piece, None]:
        """Text once a quote of it is verified; `Finished(UNSUPPORTED)` when none ever is.

        ResourceExhausted (429, with `retry_after_s`), Unavailable (overloaded, broken stream),
        DeadlineExceeded (no first token in time), FailedPrecondition (key, model).
        """
        passages = tuple(passage for passage in question.passages if passage.text.strip())
        if not passages:
            yield Finished(FinishReason.UNSUPPORTED, 0.0)
            return
        answering = _Answering(passages, meter, self._endpoint.name)
        first_token_by = time.monotonic() + self._endpoint.first_token_timeout_s
        response = await self._open(question, passages, meter, first_token_by)
        reader = EventReader(response.aiter_bytes())
        try:
            while (events := await reader.read(answering.until(first_token_by))) is not None:
                for piece in answering.take(events):
                    yield piece
                if answering.error is not None:
                    raise answering.error
        finally:
            await response.aclose()
        for piece in answering.rest():
            yield piece
        yield answering.finished()

    async def _open(
        self, question: Question, passages: tuple[Passage, ...], meter: Meter, until: float
    ) -> httpx2.Response:
        """The stream, its headers received; tried again where nothing can have been billed."""
        facts = self._priced(question.model).facts
        request = build_request(question, passages, facts, self._endpoint.max_output_field)

        async def open_once() -> httpx2.Response:
            # Until an answer says otherwise, what was sent may be billed.
            meter.begun = True
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    stream = await self._client.chat.completions.create(
                        **request, stream=True, stream_options={"include_usage": True}
                    )
                    return stream.response
            except openai.APIError as error:
                meter.begun = was_sent(error)
                raise translated(error, self._endpoint.name) from error
            except TimeoutError as error:
                raise first_token_late() from error

        return await opened(open_once, meter, until)


class _Answering:
    """What has come of one stream."""

    def __init__(self, passages: tuple[Passage, ...], meter: Meter, endpoint: str) -> None:
        self._meter = meter
        self._endpoint = endpoint
        self._grounding = Grounding(passages)
        self._quoted = Quoted(passages, self._grounding)
        self._finish_reason: str | None = None
        self._text = ""
        self._pace = Pace()
        self._begun = False
        self.error: FleetError | None = None

    def until(self, first_token_by: float) -> float | None:
        """How long the next events may take, by the monotonic clock."""
        return None if self._begun else first_token_by

    def take(self, events: Iterable[Event]) -> list[Piece]:
        """What may go out now that these have come; `error` is set by one among them."""
        try:
            for event in events:
                if event.data.startswith(b"[DONE]"):
                    continue
                data = msgspec.json.decode(event.data)
                if error := data.get("error"):
                    self.error = self._refused(error)
                    break
                self._text += self._take(data)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.error = broken_off("STREAM_MALFORMED")
        if self._grounding.released and not self._pace.is_due():
            return []
        return self._said()

    def _said(self) -> list[Piece]:
        text, self._text = self._text, ""
        return joined(self._quoted.take(text)) if text else []

    def _take(self, chunk: Mapping[str, Any]) -> str:
        # Usage comes with the last chunk, whose choices are empty at OpenAI and not elsewhere.
        if usage := chunk.get("usage"):
            report_usage(self._meter, CompletionUsage.model_validate(usage))
        text = ""
        for choice in chunk.get("choices") or ():
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            delta = choice.get("delta") or {}
            if content := delta.get("content"):
                text += content
            self._begun = self._begun or bool(content or delta.get("tool_calls"))
        self._meter.complete = self._finish_reason is not None and bool(self._meter.units)
        return text

    def _refused(self, error: Any) -> FleetError:
        told = error if isinstance(error, dict) else {}
        kind = str(told.get("code") or told.get("type") or "")
        return refused(500, kind, {}, f"the key of the endpoint {self._endpoint}")

    def rest(self) -> list[Piece]:
        """What was held back; Unavailable when the stream broke off before its end."""
        if self._finish_reason is None:
            raise broken_off("STREAM_TRUNCATED")
        if self._finish_reason == "content_filter":
            raise broken_off("CONTENT_FILTERED")
        return [*self._said(), *self._quoted.end()]

    def finished(self) -> Finished:
        """How it ended."""
        if not self._grounding.released:
            return Finished(FinishReason.UNSUPPORTED, 0.0)
        cut = self._finish_reason == "length"
        reason = FinishReason.MAX_TOKENS if cut else FinishReason.COMPLETE
        return Finished(reason, self._grounding.support)


def report_usage(meter: Meter, usage: CompletionUsage) -> None:
    """`prompt_tokens` includes what was read from and written to the cache, and pictures."""
    details = usage.prompt_tokens_details
    read = (details and details.cached_tokens) or 0
    written = (details and details.cache_write_tokens) or 0
    # Pictures may be cached, too: then they are counted there.
    image = min((details and details.image_tokens) or 0, usage.prompt_tokens - read - written)
    meter.report(Unit.INPUT, usage.prompt_tokens - read - written - image)
    meter.report(Unit.CACHE_READ, read)
    meter.report(Unit.CACHE_WRITE_30M, written)
    meter.report(Unit.IMAGE, image)
    meter.report(Unit.OUTPUT, usage.completion_tokens)
