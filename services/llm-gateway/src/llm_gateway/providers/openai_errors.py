"""Errors of the `openai` SDK as the fleet's."""

import openai
from fleetkit.errors import FleetError

from llm_gateway.providers.refusals import never_left, refused, unreachable


def was_sent(error: openai.APIError) -> bool:
    """Whether the request may have been billed although it failed; as with Anthropic."""
    return not isinstance(error, openai.APIStatusError) and not never_left(error)


def translated(error: openai.APIError, endpoint: str) -> FleetError:
    """The error to raise; its message never carries the provider's, which may quote the prompt."""
    kind = error.code or error.type or ""
    if isinstance(error, openai.APIStatusError):
        headers = error.response.headers
        return refused(error.status_code, kind, headers, f"the key of the endpoint {endpoint}")
    if isinstance(error, openai.APIConnectionError):
        return unreachable(error)
    # An error event inside a stream.
    return refused(500, kind, {}, f"the key of the endpoint {endpoint}")
