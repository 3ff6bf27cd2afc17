"""HTTP statuses of providers as the fleet's errors; never the provider's text, which may quote."""

from fleetkit.errors import DeadlineExceeded, FleetError, InvalidArgument, Unavailable

from llm_gateway.providers.refusals import refused


def of_status(status: int, retry_after: str | None, setting: str) -> FleetError:
    """The error of a response; `setting` names the one that holds the provider's key."""
    if status == 413:
        return InvalidArgument("the texts are too long for this model", reason="PROMPT_TOO_LONG")
    # text-embeddings-inference says 424 where its own backend failed.
    kind = "server_error" if status == 424 else ""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return refused(status, kind, headers, setting)


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
