"""What a provider's refusal means here, whichever SDK told of it."""

from collections.abc import Iterator, Mapping

import aiohttp
from fleetkit.errors import (
    FailedPrecondition,
    FleetError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

# The reason of what is about a key.
CREDENTIALS = "PROVIDER_CREDENTIALS"
_DEFAULT_RETRY_S = 1.0
_LONGEST_RETRY_S = 3600.0
_OVERLOADED = ("overloaded_error", "service_unavailable")
_FAILED = ("api_error", "timeout_error", "server_error", "internal_server_error")
_LIMITED = ("rate_limit_error", "rate_limit_exceeded")
_TOO_LONG = ("context_length_exceeded", "request_too_large")


def refused(status: int, kind: str, headers: Mapping[str, str], key_setting: str) -> FleetError:
    """The error to raise for an answer with an error in it.

    `kind` is the provider's own name of the error, `key_setting` where our key stands. The message
    never carries the provider's, which may quote the prompt.
    """
    if kind == "insufficient_quota":
        return _credentials("has no credit left for our key", key_setting)
    if status == 429 or kind in _LIMITED:
        return ResourceExhausted(
            "the model's provider limits our rate",
            reason="PROVIDER_RATE_LIMITED",
            retry_after_s=_retry_after_s(headers),
        )
    # An error inside a stream comes with status 200 and says what it is in its body.
    if status >= 500 or kind in _OVERLOADED or kind in _FAILED:
        overloaded = status in (503, 529) or kind in _OVERLOADED
        return Unavailable(
            "the model's provider is overloaded" if overloaded else "the model's provider failed",
            reason="PROVIDER_OVERLOADED" if overloaded else "PROVIDER_FAILED",
        )
    if status in (401, 402, 403):
        return _credentials("refuses our key", key_setting)
    if status == 404:
        return FailedPrecondition(
            "the model's provider does not know this model", field="model", reason="MODEL_NOT_FOUND"
        )
    if status == 413 or kind in _TOO_LONG:
        return InvalidArgument("the prompt is too long for this model", reason="PROMPT_TOO_LONG")
    return FailedPrecondition(
        "the model's provider refuses the request",
        reason="PROVIDER_REFUSED",
        details={"status": str(status), "type": kind},
    )


def own_key_refused(provider: str) -> FleetError:
    """The same about a tenant's own key: where the tenant has it."""
    return FailedPrecondition(
        f"{provider} does not take your own key, or its account has no credit left: set another"
        " one under Settings → Models → Your own keys",
        reason=CREDENTIALS,
    )


def unreachable(error: BaseException) -> FleetError:
    """Unavailable: no answer came."""
    # The SDKs' transport calls a connection that was cut a time-out, too.
    if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
        return Unavailable("the model's provider did not answer", reason="PROVIDER_TIMEOUT")
    return Unavailable(
        "the connection to the model's provider broke", reason="PROVIDER_UNREACHABLE"
    )


def never_left(error: BaseException) -> bool:
    """Whether a connection's error says that nothing was sent, so that nothing can be billed."""
    refused_at_once = aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
    return any(isinstance(cause, refused_at_once) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _credentials(what: str, key_setting: str) -> FleetError:
    return FailedPrecondition(
        f"the model's provider {what}: check {key_setting}", reason=CREDENTIALS
    )


def _retry_after_s(headers: Mapping[str, str]) -> float:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return _DEFAULT_RETRY_S
    return seconds if 0 <= seconds <= _LONGEST_RETRY_S else _DEFAULT_RETRY_S
