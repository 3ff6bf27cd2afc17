"""Claude for what nobody waits for word by word: completions and pictures, without a stream."""

import asyncio
import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import anthropic
from anthropic import AsyncAnthropic, transform_schema
from anthropic.types import Message
from fleetkit.errors import DeadlineExceeded

from llm_gateway.completing import Completion, Prompt
from llm_gateway.entries import Meter
from llm_gateway.model_facts import ModelFacts
from llm_gateway.pricing import PriceBook, Unit
from llm_gateway.providers import vision
from llm_gateway.providers.anthropic_errors import translated, was_sent
from llm_gateway.providers.anthropic_usage import report_prompt
from llm_gateway.providers.attempts import counted_in_time, opened
from llm_gateway.providers.prompting import completion_instructions, most_prompt_tokens, repair
from llm_gateway.seeing import Picture, Reading

_TIMEOUT_S = 60.0


class AnthropicOnce:
    """Completes and sees by Claude, over a client that is shared with the answers."""

    def __init__(self, client: AsyncAnthropic, book: PriceBook) -> None:
        self._client = client
        self._book = book

    @property
    def kinds(self) -> frozenset[Unit]:
        """Tokens; nothing is written to the cache."""
        return frozenset({Unit.INPUT, Unit.OUTPUT})

    def complete_at_most(self, prompt: Prompt) -> Mapping[Unit, int]:
        """A token has a byte or more."""
        tokens = self._facts(prompt.model).bounded(most_prompt_tokens(prompt))
        return {Unit.INPUT: tokens, Unit.OUTPUT: prompt.max_tokens}

    async def count(self, prompt: Prompt) -> int | None:
        """By `count_tokens`, as with answers."""
        request = self._request(prompt)
        del request["max_tokens"]

        async def counted() -> int:
            return (await self._client.messages.count_tokens(**request)).input_tokens

        return await counted_in_time(counted, anthropic.APIError, prompt.model)

    async def complete(self, prompt: Prompt, meter: Meter) -> Completion:
        """The output; errors are those of `Anthropic.answer`."""
        return _completion(await self._once(self._request(prompt), meter))

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        facts = self._facts(prompt.model)
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt.text}]
        if prompt.rejected:
            messages.append({"role": "assistant", "content": prompt.rejected})
            messages.append({"role": "user", "content": repair(prompt)})
        request: dict[str, Any] = {
            "model": prompt.model,
            "max_tokens": prompt.max_tokens,
            "messages": messages,
        }
        if instructions := completion_instructions(prompt, facts):
            request["system"] = instructions
        if prompt.schema is not None and facts.has("json_schema"):
            request["output_config"] = _format(prompt.schema)
        return request

    def at_most(self, model: str, picture: Picture) -> Mapping[Unit, int]:
        """By the formula of the model's picture tokens."""
        tokens = vision.most_prompt_tokens(picture, self._facts(model))
        return {Unit.INPUT: tokens, Unit.OUTPUT: vision.MAX_OUTPUT_TOKENS}

    async def see(self, model: str, picture: Picture, meter: Meter) -> Reading:
        """The lines; Unavailable (OUTPUT_NOT_VALID) when they are not told as asked."""
        facts = self._facts(model)
        content: list[dict[str, Any]] = [
            {
                "type": "image",
                "source": {"type": "base64", "media_type": part.media_type, "data": part.data},
            }
            for part in await asyncio.to_thread(vision.shown, picture)
        ]
        request: dict[str, Any] = {
            "model": model,
            "max_tokens": vision.MAX_OUTPUT_TOKENS,
            "system": vision.RULES,
        }
        if facts.has("json_schema"):
            request["output_config"] = _format(vision.SCHEMA)
        else:
            content.append({"type": "text", "text": vision.BY_WORD})
        request["messages"] = [{"role": "user", "content": content}]
        return vision.reading_of(_completion(await self._once(request, meter)).text, picture)

    async def _once(self, request: dict[str, Any], meter: Meter) -> Message:
        until = time.monotonic() + _TIMEOUT_S

        async def send() -> Message:
            # Until an answer says otherwise, what was sent may be billed.
            meter.begun = True
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    return await self._client.messages.create(**request)
            except anthropic.APIError as error:
                meter.begun = was_sent(error)
                raise translated(error) from error
            except TimeoutError as error:
                raise DeadlineExceeded(
                    "the model did not end in time", reason="PROVIDER_TIMEOUT"
                ) from error

        message = await opened(send, meter, until)
        report_prompt(meter, message.usage)
        meter.report(Unit.OUTPUT, message.usage.output_tokens)
        meter.complete = True
        return message

    def _facts(self, model: str) -> ModelFacts:
        return self._book.facts(f"anthropic/{model}")


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as Claude takes it: what it cannot enforce becomes a description."""
    return {
        "format": {
            "type": "json_schema",
            "schema": transform_schema(deepcopy(dict(schema))),
        }
    }


def _completion(message: Message) -> Completion:
    text = "".join(block.text for block in message.content if block.type == "text")
    return Completion(text, message.stop_reason in ("max_tokens", "model_context_window_exceeded"))
