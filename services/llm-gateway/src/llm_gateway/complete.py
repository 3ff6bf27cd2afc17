"""Completing a prompt: checked, metered, on the ledger; with a schema its output is valid."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import jsonschema
from fleetkit.clock import Clock
from fleetkit.errors import FailedPrecondition, InvalidArgument, Unavailable
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from llm_gateway.completing import CompleteProvider, Completion, Prompt
from llm_gateway.ledger import Attempt
from llm_gateway.metering import Metering
from llm_gateway.models import Own, paying
from llm_gateway.pricing import PriceBook
from llm_gateway.tenant_keys import TenantKeys

_MAX_SCHEMA_BYTES = 32_000
_MAX_TEXT_BYTES = 256_000
_MAX_PROBLEM_CHARS = 400
_DEFAULT_TOKENS = 1024
_TOKENS = range(16, 8193)
_MAX_TEMPERATURE_MILLIS = 2000


@dataclass(frozen=True, slots=True)
class Completers:
    """The providers of completions, and the model that completes when a request names none."""

    providers: Mapping[str, CompleteProvider]
    book: PriceBook
    clock: Clock
    default_model: str

    def of(self, requested: str, own: Own) -> tuple[str, CompleteProvider]:
        """The model as "provider/model" and its provider, a tenant's `own` where it has one.

        FailedPrecondition for one that is not configured or only quotes
        (PROVIDER_NOT_CONFIGURED), and for one without a price (UNPRICED_MODEL).
        """
        name = requested or self.default_model
        provider_name = name.partition("/")[0]
        keyed = own.get(provider_name)
        provider = keyed.once if keyed else self.providers.get(provider_name)
        if provider is None:
            raise FailedPrecondition(
                f"{name} writes no completions here; configured: "
                f"{', '.join(sorted(self.providers)) or 'none'}",
                field="model",
                reason="PROVIDER_NOT_CONFIGURED",
            )
        self.book.period(name, self.clock.now(), provider.kinds)
        if self.book.models[name].serves != "answer":
            raise InvalidArgument(f"{name} does not write text", field="model")
        return name, provider


@dataclass(frozen=True, slots=True)
class Completed:
    """An output that stands on the ledger as `call_id`.

    `json` is the output again as compact JSON when a schema was given, "" otherwise. `repaired`
    says that a first output was not valid, and `cut` that the token limit ended it.
    """

    text: str
    json: str
    model: str
    call_id: UUID
    repaired: bool
    cut: bool


async def complete(
    metering: Metering,
    completers: Completers,
    keys: TenantKeys,
    tenant_id: UUID,
    prompt: Prompt,
    schema: str,
) -> Completed:
    """The output, sent when its cost is committed; with a `schema` (JSON Schema) it is valid.

    An output that is not is asked for once more, with what was wrong; after that it is
    Unavailable (OUTPUT_NOT_VALID). InvalidArgument names the field that is wrong; the provider's
    errors pass.
    """
    checked = replace(_checked(prompt), schema=_schema(schema) if schema else None)
    own = await keys.of(tenant_id)
    name, provider = completers.of(checked.model, own)
    call = partial(_call, metering, name, provider, paying(name, own), tenant_id)
    asked = replace(checked, model=name.partition("/")[2])
    first, call_id = await call(asked)
    if asked.schema is None:
        return Completed(first.text, "", name, call_id, repaired=False, cut=first.cut)
    value, problem = _read(first, asked.schema)
    repaired = bool(problem)
    text = first.text
    if problem:
        again = replace(asked, rejected=first.text, problem=problem)
        second, call_id = await call(again)
        value, problem = _read(second, asked.schema)
        text = second.text
    if problem:
        raise Unavailable(
            "the model's output does not fit the schema, twice", reason="OUTPUT_NOT_VALID"
        )
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Completed(text, compact, name, call_id, repaired=repaired, cut=False)


async def _call(
    metering: Metering,
    name: str,
    provider: CompleteProvider,
    attempt: Attempt,
    tenant_id: UUID,
    prompt: Prompt,
) -> tuple[Completion, UUID]:
    at_most, count = provider.complete_at_most(prompt), partial(provider.count, prompt)
    async with metering.call(tenant_id, "complete", name, at_most, attempt, count) as metered:
        completion = await provider.complete(prompt, metered.meter)
    return completion, metered.call.call_id


def _read(completion: Completion, schema: Mapping[str, Any]) -> tuple[Any, str]:
    """The value of an output, and what is wrong with it ("" when nothing is).

    InvalidArgument when it was cut: asking again would be cut again.
    """
    if completion.cut:
        raise InvalidArgument(
            "the output did not fit into max_tokens: raise it",
            field="max_tokens",
            reason="OUTPUT_CUT",
        )
    try:
        value = json.loads(_unfenced(completion.text), parse_constant=_refuse)
    except ValueError as error:
        return None, f"it is not JSON: {error}"[:_MAX_PROBLEM_CHARS]
    try:
        wrong = next(_validator(schema).iter_errors(value), None)
    except (Unresolvable, RecursionError) as error:
        raise _wrong("json_schema", "json_schema refers to what it does not contain") from error
    if wrong is None:
        return value, ""
    return None, f"{wrong.json_path}: {wrong.message}"[:_MAX_PROBLEM_CHARS]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _unfenced(text: str) -> str:
    """Without the fence of Markdown that models like to put around JSON."""
    text = text.strip()
    if not text.startswith("```"):
        return text
    return text.removesuffix("```").partition("\n")[2]


def _validator(schema: Mapping[str, Any]) -> Any:
    # An empty registry: a schema that points elsewhere is never fetched.
    return jsonschema.Draft202012Validator(dict(schema), registry=Registry())


def _schema(text: str) -> Mapping[str, Any]:
    if len(text.encode()) > _MAX_SCHEMA_BYTES:
        raise _wrong("json_schema", f"json_schema has more than {_MAX_SCHEMA_BYTES} bytes")
    try:
        schema = json.loads(text)
        jsonschema.Draft202012Validator.check_schema(schema)
    except (ValueError, SchemaError, RecursionError) as error:
        raise _wrong("json_schema", "json_schema is not a JSON Schema (2020-12)") from error
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _wrong("json_schema", "json_schema describes an object: its type is object")
    return schema


def _checked(prompt: Prompt) -> Prompt:
    if not prompt.text.strip():
        raise _wrong("prompt", "prompt is empty")
    if len(prompt.text.encode()) + len(prompt.instructions.encode()) > _MAX_TEXT_BYTES:
        raise _wrong("prompt", f"prompt and instructions have more than {_MAX_TEXT_BYTES} bytes")
    tokens = prompt.max_tokens or _DEFAULT_TOKENS
    if tokens not in _TOKENS:
        raise _wrong(
            "max_tokens",
            f"max_tokens is {_TOKENS.start}–{_TOKENS.stop - 1}, or 0 for {_DEFAULT_TOKENS}",
        )
    if not 0 <= prompt.temperature_millis <= _MAX_TEMPERATURE_MILLIS:
        raise _wrong("temperature_millis", f"temperature_millis is 0–{_MAX_TEMPERATURE_MILLIS}")
    return replace(prompt, max_tokens=tokens)


def _wrong(field: str, message: str) -> InvalidArgument:
    return InvalidArgument(message, field=field)
