"""Anthropic's errors as the fleet's."""

import aiohttp
import anthropic
from fleetkit.errors import (
    FailedPrecondition,
    FleetError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

_DEFAULT_RETRY_S = 1.0
_LONGEST_RETRY_S = 3600.0


def was_sent(error: anthropic.APIError) -> bool:
    """Whether the request may have been billed although it failed.

    An answer with an error status is not billed, nor is what never left. A connection that broke
    in between may be.
    """
    if isinstance(error, anthropic.APIStatusError):
        return False
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return False
        cause = cause.__cause__
    return True


def translated(error: anthropic.APIError) -> FleetError:
    """The error to raise; its message never carries the provider's, which may quote the prompt."""
    if isinstance(error, anthropic.APIStatusError):
        return _of_status(error)
    if isinstance(error, anthropic.APITimeoutError):
        return Unavailable("the model's provider did not answer", reason="PROVIDER_TIMEOUT")
    return Unavailable(
        "the connection to the model's provider broke", reason="PROVIDER_UNREACHABLE"
    )


def _of_status(error: anthropic.APIStatusError) -> FleetError:
    kind = error.type or ""
    status = error.status_code
    if status == 429 or kind == "rate_limit_error":
        return ResourceExhausted(
            "the model's provider limits our rate",
            reason="PROVIDER_RATE_LIMITED",
            retry_after_s=_retry_after_s(error),
        )
    # An error inside a stream comes with status 200 and says what it is in its body.
    if status >= 500 or kind in ("overloaded_error", "api_error", "timeout_error"):
        overloaded = status == 529 or kind == "overloaded_error"
        return Unavailable(
            "the model's provider is overloaded" if overloaded else "the model's provider failed",
            reason="PROVIDER_OVERLOADED" if overloaded else "PROVIDER_FAILED",
        )
    if status in (401, 402, 403):
        return FailedPrecondition(
            "the model's provider refuses our key: check anthropic_api_key",
            reason="PROVIDER_CREDENTIALS",
        )
    if status == 404:
        return FailedPrecondition(
            "the model's provider does not know this model", field="model", reason="MODEL_NOT_FOUND"
        )
    if status == 413:
        return InvalidArgument("the prompt is too long for this model", reason="PROMPT_TOO_LONG")
    return FailedPrecondition(
        "the model's provider refuses the request",
        reason="PROVIDER_REFUSED",
        details={"status": str(status), "type": kind},
    )


def _retry_after_s(error: anthropic.APIStatusError) -> float:
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return _DEFAULT_RETRY_S
    return seconds if 0 <= seconds <= _LONGEST_RETRY_S else _DEFAULT_RETRY_S
