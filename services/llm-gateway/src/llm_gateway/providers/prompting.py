"""The words around a completion, the same for every provider."""

import json

from llm_gateway.completing import Prompt
from llm_gateway.model_facts import ModelFacts

_OVERHEAD_TOKENS = 1024
_BY_WORD = "Answer with nothing but JSON of this schema, without a fence: "


def completion_instructions(prompt: Prompt, facts: ModelFacts) -> str:
    """The system prompt; it carries the schema where the model takes none by itself."""
    parts = [prompt.instructions.strip()]
    if prompt.schema is not None and not facts.has("json_schema"):
        parts.append(_BY_WORD + json.dumps(prompt.schema))
    return "\n\n".join(part for part in parts if part)


def repair(prompt: Prompt) -> str:
    """What is said to an output that does not fit."""
    return f"That does not fit the schema: {prompt.problem}. Answer once more, with all of it."


def most_prompt_tokens(prompt: Prompt) -> int:
    """An upper bound of a prompt's tokens: a token has a byte or more."""
    texts = [prompt.instructions, prompt.text, prompt.rejected, repair(prompt)]
    schema = json.dumps(prompt.schema) if prompt.schema is not None else ""
    # The schema may be told by word, and counted by the provider besides.
    return sum(len(text.encode()) for text in texts) + 2 * len(schema.encode()) + _OVERHEAD_TOKENS
