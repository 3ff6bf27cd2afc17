"""The provider `anthropic`: Claude through the official SDK, with its native citations.

Each passage is a document of citable blocks; what Claude cites comes back as block numbers, which
are ours to resolve and verify. To say "the passages do not answer this" Claude calls a tool, so
that no phrase has to be read out of its text.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

import anthropic
import httpx2
import msgspec
from anthropic import AsyncAnthropic, AsyncStream, DefaultAioHttpClient
from anthropic.types import Message, RawMessageStreamEvent, Usage
from fleetkit.errors import FleetError

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit
from llm_gateway.providers.anthropic_errors import translated, was_sent
from llm_gateway.providers.anthropic_request import Documents, build_request, most_units
from llm_gateway.providers.anthropic_usage import report_prompt
from llm_gateway.providers.attempts import (
    broken_off,
    counted_in_time,
    first_token_late,
    opened,
)
from llm_gateway.providers.grounding import Grounding, quoted_span, same_words
from llm_gateway.providers.refusals import refused
from llm_gateway.providers.sse import Event, EventReader, Pace, joined
from llm_gateway.providers.trust import trusted
from llm_gateway.question import Finished, FinishReason, Piece, Question

_CONNECT_TIMEOUT_S = 5.0
# Anthropic pings an idle stream; silence for this long means that it is gone.
_SILENCE_S = 30.0
_CITED = ("content_block_location", "char_location")


def client_of(api_key: str, base_url: str) -> AsyncAnthropic:
    """A client for all calls to Anthropic; `Anthropic.close` closes it."""
    return AsyncAnthropic(
        api_key=api_key,
        base_url=base_url,
        # Retried here, where each attempt is accounted for.
        max_retries=0,
        timeout=anthropic.Timeout(_SILENCE_S, connect=_CONNECT_TIMEOUT_S),
        http_client=DefaultAioHttpClient(verify=trusted()),
    )


class Anthropic:
    """Answers by Claude."""

    def __init__(self, client: AsyncAnthropic, first_token_timeout_s: float) -> None:
        self._client = client
        self._first_token_timeout_s = first_token_timeout_s

    @property
    def kinds(self) -> frozenset[Unit]:
        """Tokens of every cache class."""
        return frozenset(
            {
                Unit.INPUT,
                Unit.OUTPUT,
                Unit.CACHE_READ,
                Unit.CACHE_WRITE_5M,
                Unit.CACHE_WRITE_1H,
            }
        )

    def at_most(self, question: Question) -> Mapping[Unit, int]:
        """A token has a byte or more; all that is marked may have to be written to the cache."""
        return most_units(question)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def count(self, question: Question) -> int | None:
        """By `count_tokens`, which is free of charge; what it does not tell is told in the log."""
        request = build_request(question, Documents(question.passages))
        del request["max_tokens"]

        async def counted() -> int:
            return (await self._client.messages.count_tokens(**request)).input_tokens

        return await counted_in_time(counted, anthropic.APIError, question.model)

    async def answer(self, question: Question, meter: Meter) -> AsyncGenerator[Piece, None]:
        """Text once a citation of it is verified; `Finished(UNSUPPORTED)` when none ever is.

        ResourceExhausted (429, with `retry_after_s`), Unavailable (overloaded, broken stream),
        DeadlineExceeded (no first token in time), FailedPrecondition (key, model).
        """
        documents = Documents(question.passages)
        if not documents.passages:
            yield Finished(FinishReason.UNSUPPORTED, 0.0)
            return
        answering = _Answering(documents, meter)
        first_token_by = time.monotonic() + self._first_token_timeout_s
        response = await self._open(question, documents, meter, first_token_by)
        reader = EventReader(response.aiter_bytes())
        try:
            while (events := await reader.read(answering.until(first_token_by))) is not None:
                for piece in answering.take(events, response.headers):
                    yield piece
                if answering.error is not None:
                    raise answering.error
        finally:
            await response.aclose()
        yield answering.finished()

    async def _open(
        self, question: Question, documents: Documents, meter: Meter, until: float
    ) -> httpx2.Response:
        """The stream, its headers received; tried again where nothing can have been billed."""
        # `messages.create` walks through the whole prompt once more before it is written.
        body = msgspec.json.encode({**build_request(question, documents), "stream": True})

        async def open_once() -> httpx2.Response:
            # Until an answer says otherwise, what was sent may be billed.
            meter.begun = True
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    stream = await self._client.post(
                        "/v1/messages",
                        content=body,
                        cast_to=Message,
                        stream=True,
                        stream_cls=AsyncStream[RawMessageStreamEvent],
                    )
                    return stream.response
            except anthropic.APIError as error:
                meter.begun = was_sent(error)
                raise translated(error) from error
            except TimeoutError as error:
                raise first_token_late() from error

        return await opened(open_once, meter, until)


class _Answering:
    """What has come of one stream."""

    def __init__(self, documents: Documents, meter: Meter) -> None:
        self._documents = documents
        self._meter = meter
        self._grounding = Grounding(documents.passages)
        self._stop_reason: str | None = None
        self._text = ""
        self._pace = Pace()
        self._begun = False
        self.error: FleetError | None = None

    def until(self, first_token_by: float) -> float | None:
        """How long the next events may take, by the monotonic clock."""
        return None if self._begun else first_token_by

    def take(self, events: Iterable[Event], headers: Mapping[str, str]) -> list[Piece]:
        """What may go out now that these have come; `error` is set by one among them."""
        pieces: list[Piece] = []
        try:
            for event in events:
                if event.name == "ping":
                    continue
                data = msgspec.json.decode(event.data)
                if event.name == "error":
                    kind = str(data["error"]["type"])
                    self.error = refused(200, kind, headers, "anthropic_api_key")
                    break
                pieces += self._take(event.name, data)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.error = broken_off("STREAM_MALFORMED")
        if not self._grounding.released or self._pace.is_due():
            pieces += self._said()
        return joined(pieces)

    def _take(self, name: str, data: Mapping[str, Any]) -> list[Piece]:
        match name:
            case "content_block_delta":
                self._take_delta(data["delta"])
            case "content_block_start":
                self._text += data["content_block"].get("text") or ""
            case "content_block_stop":
                return [*self._said(), *self._grounding.end_block()]
            case "message_start":
                report_prompt(self._meter, Usage.model_validate(data["message"]["usage"]))
            case "message_delta":
                self._stop_reason = data["delta"]["stop_reason"] or self._stop_reason
                self._meter.report(Unit.OUTPUT, int(data["usage"]["output_tokens"]))
                self._meter.complete = self._stop_reason is not None
            case _:
                pass
        return []

    def _said(self) -> list[Piece]:
        """The texts of a block that came together, as one."""
        text, self._text = self._text, ""
        return self._grounding.text(text) if text else []

    def _take_delta(self, delta: Mapping[str, Any]) -> None:
        match delta["type"]:
            case "text_delta":
                self._begun = True
                self._text += delta["text"]
            case "citations_delta":
                self._cite(delta["citation"])
            case "input_json_delta":
                self._begun = True
            case _:
                pass

    def _cite(self, citation: Mapping[str, Any]) -> None:
        """Keeps a citation if its quote stands where it says; others are dropped."""
        kind, document = citation["type"], citation.get("document_index", -1)
        if kind not in _CITED or not 0 <= document < len(self._documents.passages):
            return
        passage = self._documents.passages[document]
        if kind == "content_block_location":
            first, end = citation["start_block_index"], citation["end_block_index"]
            sent = self._documents.blocks[document][first:end]
            words = "".join(block.text for block in sent)
            if sent and same_words(words, citation["cited_text"]):
                self._grounding.cite(passage, sent[0].start, sent[-1].end)
                return
        quoted = quoted_span(passage.text, citation["cited_text"])
        if quoted is not None:
            self._grounding.cite(passage, *quoted)

    def finished(self) -> Finished:
        """How it ended; Unavailable when the stream broke off before its end."""
        if self._stop_reason is None:
            raise broken_off("STREAM_TRUNCATED")
        if not self._grounding.released:
            return Finished(FinishReason.UNSUPPORTED, 0.0)
        cut = self._stop_reason in ("max_tokens", "model_context_window_exceeded")
        reason = FinishReason.MAX_TOKENS if cut else FinishReason.COMPLETE
        return Finished(reason, self._grounding.support)
