"""HTTP statuses of providers as the fleet's errors; never the provider's text, which may quote."""

from fleetkit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FleetError,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

_DEFAULT_RETRY_S = 1.0
_LONGEST_RETRY_S = 3600.0


def of_status(status: int, retry_after: str | None, setting: str) -> FleetError:
    """The error of a response; `setting` names the one that holds the provider's key."""
    if status == 429:
        return ResourceExhausted(
            "the model's provider limits our rate",
            reason="PROVIDER_RATE_LIMITED",
            retry_after_s=_seconds(retry_after),
        )
    if status >= 500 or status == 424:
        overloaded = status in (503, 529)
        return Unavailable(
            "the model's provider is overloaded" if overloaded else "the model's provider failed",
            reason="PROVIDER_OVERLOADED" if overloaded else "PROVIDER_FAILED",
        )
    if status in (401, 402, 403):
        return FailedPrecondition(
            f"the model's provider refuses our key: check {setting}", reason="PROVIDER_CREDENTIALS"
        )
    if status == 404:
        return FailedPrecondition(
            "the model's provider does not know this model", field="model", reason="MODEL_NOT_FOUND"
        )
    if status == 413:
        return InvalidArgument("the texts are too long for this model", reason="PROMPT_TOO_LONG")
    return FailedPrecondition(
        "the model's provider refuses the request",
        reason="PROVIDER_REFUSED",
        details={"status": str(status)},
    )


def late() -> FleetError:
    """The provider did not answer within the time that the caller has."""
    return DeadlineExceeded("the model's provider did not answer", reason="PROVIDER_TIMEOUT")


def unreachable() -> FleetError:
    """The connection could not be made, or broke."""
    return Unavailable(
        "the connection to the model's provider broke", reason="PROVIDER_UNREACHABLE"
    )


def malformed() -> FleetError:
    """The provider's answer is not what its API says."""
    return Unavailable(
        "the model's provider answered what cannot be read", reason="PROVIDER_MALFORMED"
    )


def _seconds(retry_after: str | None) -> float:
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return _DEFAULT_RETRY_S
    return seconds if 0 <= seconds <= _LONGEST_RETRY_S else _DEFAULT_RETRY_S
