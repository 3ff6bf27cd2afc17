"""Anthropic's errors as the fleet's."""

import anthropic
from fleetkit.errors import FleetError

from llm_gateway.providers.refusals import never_left, refused, unreachable


def was_sent(error: anthropic.APIError) -> bool:
    """Whether the request may have been billed although it failed.

    An answer with an error status is not billed, nor is what never left. A connection that broke
    in between may be.
    """
    return not isinstance(error, anthropic.APIStatusError) and not never_left(error)


def translated(error: anthropic.APIError) -> FleetError:
    """The error to raise; its message never carries the provider's, which may quote the prompt."""
    if isinstance(error, anthropic.APIStatusError):
        headers = error.response.headers
        return refused(error.status_code, error.type or "", headers, "anthropic_api_key")
    return unreachable(error)
