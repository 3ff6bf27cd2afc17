"""A call to a model as OpenTelemetry's conventions for generative AI name it.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans, as in version 0.66b2 of the
semantic conventions for Python (status: development). Names, ids and counts: prompts and answers
have attributes there, too, and are never among these.
"""

from collections.abc import Mapping

from fleetkit import context
from fleetkit.telemetry import AttributeValue

from llm_gateway.pricing import Unit

# "read" and "rerank" are ours: the conventions have no name for them.
_OPERATIONS = {"answer": "chat", "complete": "chat", "embed": "embeddings", "see": "read"}
_PROMPT = (Unit.INPUT, Unit.CACHE_READ, Unit.CACHE_WRITE_5M, Unit.CACHE_WRITE_1H)

Attributes = dict[str, AttributeValue]


def span_name(operation: str, model: str) -> str:
    """`{gen_ai.operation.name} {gen_ai.request.model}`; `model` is "provider/model"."""
    return f"{_OPERATIONS.get(operation, operation)} {model.partition('/')[2]}"


def of_request(operation: str, model: str, at_most: Mapping[Unit, int]) -> Attributes:
    """What is known before the call."""
    provider, _, name = model.partition("/")
    attributes: Attributes = {
        "gen_ai.operation.name": _OPERATIONS.get(operation, operation),
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name,
    }
    if Unit.OUTPUT in at_most:
        attributes["gen_ai.request.max_tokens"] = at_most[Unit.OUTPUT]
    if operation == "answer":
        attributes["gen_ai.request.stream"] = True
    work = context.current().attribution
    if work.conversation_id is not None:
        attributes["gen_ai.conversation.id"] = str(work.conversation_id)
    if work.agent_id is not None:
        attributes["gen_ai.agent.id"] = str(work.agent_id)
    return attributes


def of_usage(units: Mapping[Unit, int], failure: str) -> Attributes:
    """What is known after it: input tokens are all of the prompt's, cached ones among them."""
    attributes: Attributes = {}
    if Unit.INPUT in units:
        attributes["gen_ai.usage.input_tokens"] = sum(units.get(kind, 0) for kind in _PROMPT)
    if Unit.CACHE_READ in units:
        written = units.get(Unit.CACHE_WRITE_5M, 0) + units.get(Unit.CACHE_WRITE_1H, 0)
        attributes["gen_ai.usage.cache_read.input_tokens"] = units[Unit.CACHE_READ]
        attributes["gen_ai.usage.cache_creation.input_tokens"] = written
    if Unit.OUTPUT in units:
        attributes["gen_ai.usage.output_tokens"] = units[Unit.OUTPUT]
    if failure:
        attributes["error.type"] = failure
    return attributes
