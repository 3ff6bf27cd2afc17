"""The provider `anthropic`: Claude through the official SDK, with its native citations.

Each passage is a document of citable blocks; what Claude cites comes back as block numbers, which
are ours to resolve and verify. To say "the passages do not answer this" Claude calls a tool, so
that no phrase has to be read out of its text.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping

import aiohttp
import anthropic
import httpx2
from anthropic import AsyncAnthropic, AsyncStream, DefaultAioHttpClient
from anthropic.types import (
    CitationCharLocation,
    CitationContentBlockLocation,
    RawContentBlockDeltaEvent,
    RawMessageStreamEvent,
)
from anthropic.types.citations_delta import Citation

from llm_gateway.entries import Meter
from llm_gateway.pricing import Unit
from llm_gateway.providers.anthropic_errors import translated, was_sent
from llm_gateway.providers.anthropic_request import Documents, build_request, most_units
from llm_gateway.providers.anthropic_usage import report_prompt
from llm_gateway.providers.attempts import broken_off, first_token_late, opened
from llm_gateway.providers.grounding import Grounding, quoted_span, same_words
from llm_gateway.question import Finished, FinishReason, Piece, Question

_CONNECT_TIMEOUT_S = 5.0
# Anthropic pings an idle stream; silence for this long means that it is gone.
_SILENCE_S = 30.0


def client_of(api_key: str, base_url: str) -> AsyncAnthropic:
    """A client for all calls to Anthropic; `Anthropic.close` closes it."""
    return AsyncAnthropic(
        api_key=api_key,
        base_url=base_url,
        # Retried here, where each attempt is accounted for.
        max_retries=0,
        timeout=anthropic.Timeout(_SILENCE_S, connect=_CONNECT_TIMEOUT_S),
        http_client=DefaultAioHttpClient(),
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
        stream = await self._open(question, documents, meter, first_token_by)
        try:
            while (event := await _next(stream, answering, first_token_by)) is not None:
                for piece in answering.take(event):
                    yield piece
        finally:
            await stream.close()
        yield answering.finished()

    async def _open(
        self, question: Question, documents: Documents, meter: Meter, until: float
    ) -> AsyncStream[RawMessageStreamEvent]:
        """The stream, its headers received; tried again where nothing can have been billed."""
        request = build_request(question, documents)

        async def open_once() -> AsyncStream[RawMessageStreamEvent]:
            # Until an answer says otherwise, what was sent may be billed.
            meter.begun = True
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    return await self._client.messages.create(**request, stream=True)
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
        self.begun = False

    def take(self, event: RawMessageStreamEvent) -> list[Piece]:
        match event.type:
            case "message_start":
                report_prompt(self._meter, event.message.usage)
            case "content_block_start" if event.content_block.type == "text":
                return self._grounding.text(event.content_block.text)
            case "content_block_delta":
                return self._take_delta(event)
            case "content_block_stop":
                return self._grounding.end_block()
            case "message_delta":
                self._stop_reason = event.delta.stop_reason or self._stop_reason
                self._meter.report(Unit.OUTPUT, event.usage.output_tokens)
                self._meter.complete = self._stop_reason is not None
            case _:
                pass
        return []

    def _take_delta(self, event: RawContentBlockDeltaEvent) -> list[Piece]:
        delta = event.delta
        match delta.type:
            case "text_delta":
                self.begun = True
                return self._grounding.text(delta.text)
            case "citations_delta":
                self._cite(delta.citation)
            case "input_json_delta":
                self.begun = True
            case _:
                pass
        return []

    def _cite(self, citation: Citation) -> None:
        """Keeps a citation if its quote stands where it says; others are dropped."""
        if not isinstance(citation, CitationContentBlockLocation | CitationCharLocation):
            return
        if not 0 <= citation.document_index < len(self._documents.passages):
            return
        passage = self._documents.passages[citation.document_index]
        if isinstance(citation, CitationContentBlockLocation):
            sent = self._documents.blocks[citation.document_index][
                citation.start_block_index : citation.end_block_index
            ]
            if sent and same_words("".join(block.text for block in sent), citation.cited_text):
                self._grounding.cite(passage, sent[0].start, sent[-1].end)
                return
        quoted = quoted_span(passage.text, citation.cited_text)
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


async def _next(
    stream: AsyncStream[RawMessageStreamEvent], answering: _Answering, first_token_by: float
) -> RawMessageStreamEvent | None:
    """The next event; None at the end of the stream, whole or not."""
    limit_s = None if answering.begun else first_token_by - time.monotonic()
    try:
        async with asyncio.timeout(limit_s):
            return await anext(stream, None)
    except TimeoutError as error:
        raise first_token_late() from error
    except anthropic.APIError as error:
        raise translated(error) from error
    except (httpx2.HTTPError, aiohttp.ClientError) as error:
        raise broken_off("STREAM_BROKEN") from error
    except ValueError as error:
        raise broken_off("STREAM_MALFORMED") from error
