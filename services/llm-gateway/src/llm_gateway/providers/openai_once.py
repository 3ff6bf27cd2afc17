"""OpenAI-compatible models for what nobody waits for word by word: completions and pictures."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import openai
from fleetkit.errors import DeadlineExceeded, Unavailable
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from llm_gateway.completing import Completion, Prompt
from llm_gateway.config import OpenAiEndpoint
from llm_gateway.entries import Meter
from llm_gateway.model_facts import ModelFacts
from llm_gateway.pricing import PriceBook, Unit
from llm_gateway.providers import vision
from llm_gateway.providers.attempts import counted_in_time, opened
from llm_gateway.providers.openai_compatible import report_usage
from llm_gateway.providers.openai_errors import translated, was_sent
from llm_gateway.providers.prompting import completion_instructions, most_prompt_tokens, repair
from llm_gateway.seeing import Picture, Reading

_TIMEOUT_S = 60.0


class OpenAiOnce:
    """Completes and sees by one endpoint, over a client that is shared with the answers."""

    def __init__(self, endpoint: OpenAiEndpoint, client: AsyncOpenAI, book: PriceBook) -> None:
        self._endpoint = endpoint
        self._client = client
        self._book = book

    @property
    def kinds(self) -> frozenset[Unit]:
        """Tokens; those of a cache cost as the price book says, or as input."""
        return frozenset({Unit.INPUT, Unit.OUTPUT})

    def complete_at_most(self, prompt: Prompt) -> Mapping[Unit, int]:
        """A token has a byte or more."""
        tokens = self._facts(prompt.model).bounded(most_prompt_tokens(prompt))
        return {self._prompt_kind(prompt.model): tokens, Unit.OUTPUT: prompt.max_tokens}

    async def count(self, prompt: Prompt) -> int | None:
        """By OpenAI's endpoint for it; other endpoints have none."""
        if not self._endpoint.counts_tokens:
            return None
        facts = self._facts(prompt.model)
        request: dict[str, Any] = {"model": prompt.model, "input": _messages(prompt)}
        if instructions := completion_instructions(prompt, facts):
            request["instructions"] = instructions
        if prompt.schema is not None and facts.has("json_schema"):
            request["text"] = {"format": {"type": "json_schema", **_named(prompt.schema)}}

        async def counted() -> int:
            return (await self._client.responses.input_tokens.count(**request)).input_tokens

        return await counted_in_time(counted, openai.APIError, prompt.model)

    async def complete(self, prompt: Prompt, meter: Meter) -> Completion:
        """The output; errors are those of `OpenAiCompatible.answer`."""
        facts = self._facts(prompt.model)
        messages = _messages(prompt)
        if instructions := completion_instructions(prompt, facts):
            messages.insert(0, {"role": "system", "content": instructions})
        request = self._request(prompt.model, messages, prompt.max_tokens, prompt.schema)
        if facts.has("temperature"):
            request["temperature"] = prompt.temperature_millis / 1000
        return await self._once(request, meter)

    def at_most(self, model: str, picture: Picture) -> Mapping[Unit, int]:
        """By the formula of the model's picture tokens."""
        tokens = vision.most_prompt_tokens(picture, self._facts(model))
        return {self._prompt_kind(model): tokens, Unit.OUTPUT: vision.MAX_OUTPUT_TOKENS}

    async def see(self, model: str, picture: Picture, meter: Meter) -> Reading:
        """The lines; Unavailable (OUTPUT_NOT_VALID) when they are not told as asked."""
        parts = await asyncio.to_thread(vision.shown, picture)
        content: list[dict[str, Any]] = [
            {
                "type": "image_url",
                "image_url": {"url": f"data:{part.media_type};base64,{part.data}"},
            }
            for part in parts
        ]
        if not self._facts(model).has("json_schema"):
            content.append({"type": "text", "text": vision.BY_WORD})
        messages = [
            {"role": "system", "content": vision.RULES},
            {"role": "user", "content": content},
        ]
        request = self._request(model, messages, vision.MAX_OUTPUT_TOKENS, vision.SCHEMA)
        return vision.reading_of((await self._once(request, meter)).text, picture)

    def _request(
        self,
        model: str,
        messages: list[dict[str, Any]],
        max_tokens: int,
        schema: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        facts = self._facts(model)
        request: dict[str, Any] = {
            "model": model,
            "messages": messages,
            self._endpoint.max_output_field: max_tokens,
            "extra_body": dict(facts.parameters),
        }
        if schema is not None and facts.has("json_schema"):
            named = _named(schema)
            request["response_format"] = {"type": "json_schema", "json_schema": named}
        return request

    async def _once(self, request: dict[str, Any], meter: Meter) -> Completion:
        until = time.monotonic() + _TIMEOUT_S

        async def send() -> ChatCompletion:
            # Until an answer says otherwise, what was sent may be billed.
            meter.begun = True
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    return await self._client.chat.completions.create(**request)
            except openai.APIError as error:
                meter.begun = was_sent(error)
                raise translated(error, self._endpoint.name) from error
            except TimeoutError as error:
                raise DeadlineExceeded(
                    "the model did not end in time", reason="PROVIDER_TIMEOUT"
                ) from error

        made = await opened(send, meter, until)
        if made.usage is not None:
            report_usage(meter, made.usage)
            meter.complete = True
        if not made.choices or made.choices[0].finish_reason == "content_filter":
            raise Unavailable("the model gave no output", reason="CONTENT_FILTERED")
        choice = made.choices[0]
        return Completion(choice.message.content or "", choice.finish_reason == "length")

    def _prompt_kind(self, model: str) -> Unit:
        priced = self._book.models[f"{self._endpoint.name}/{model}"]
        writes_cost = priced.ever_prices(Unit.CACHE_WRITE_30M)
        return Unit.CACHE_WRITE_30M if writes_cost else Unit.INPUT

    def _facts(self, model: str) -> ModelFacts:
        return self._book.facts(f"{self._endpoint.name}/{model}")


def _messages(prompt: Prompt) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt.text}]
    if prompt.rejected:
        messages.append({"role": "assistant", "content": prompt.rejected})
        messages.append({"role": "user", "content": repair(prompt)})
    return messages


def _named(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "output", "schema": dict(schema), "strict": is_strict(schema)}


def is_strict(schema: Any) -> bool:
    """Whether a schema is of the kind that OpenAI enforces: closed objects, all of it required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties or ()):
            return False
    return all(map(is_strict, schema.values()))
