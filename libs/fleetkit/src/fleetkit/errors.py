"""The closed set of errors that cross service boundaries.

FleetError
├── NotFound             the thing does not exist, or not for this tenant
├── AlreadyExists        the thing exists already
├── InvalidArgument      the request is wrong whatever the state; `field` names where
├── FailedPrecondition   the request is right, the state is not
├── PermissionDenied     the caller or person is known and may not
├── Unauthenticated      the caller or person is not known
├── ResourceExhausted    a quota, budget or size limit is reached
├── Unavailable          try again; nothing was done or the call is idempotent
└── DeadlineExceeded     the time given was not enough

Domain code raises the subclasses. The RPC server maps them to gRPC statuses, the RPC client maps
statuses back to the same class with the same attributes, and only the gateway maps them to HTTP.
"""

from collections.abc import Mapping
from typing import ClassVar


class FleetError(Exception):
    """An error with a message fit to be shown to the person who made the request.

    `message` says what is wrong and what would be right; it is sent to callers and never logged.
    `field` is the request field at fault, `reason` an UPPER_SNAKE code for programs, `details`
    short facts (ids, limits; never text), `retry_after_s` when trying again makes sense.

    The base class itself stands for a failure that nobody foresaw: the client raises it for
    INTERNAL and other statuses that have no class here. Domain code does not raise it.
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        reason: str | None = None,
        retry_after_s: float | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.reason = reason or self.default_reason
        self.retry_after_s = retry_after_s
        self.details: dict[str, str] = dict(details or {})


class NotFound(FleetError):
    """The thing does not exist, or belongs to another tenant."""

    default_reason = "NOT_FOUND"


class AlreadyExists(FleetError):
    """The thing that was to be made exists already."""

    default_reason = "ALREADY_EXISTS"


class InvalidArgument(FleetError):
    """The request is wrong whatever the state of the fleet; `field` names where."""

    default_reason = "INVALID_ARGUMENT"


class FailedPrecondition(FleetError):
    """The request is well-formed, but the state it needs does not hold."""

    default_reason = "FAILED_PRECONDITION"


class PermissionDenied(FleetError):
    """The caller or person is known and may not do this."""

    default_reason = "PERMISSION_DENIED"


class Unauthenticated(FleetError):
    """The caller or person is not known: no token, or one that does not verify."""

    default_reason = "UNAUTHENTICATED"


class ResourceExhausted(FleetError):
    """A quota, a budget or a size limit is reached."""

    default_reason = "RESOURCE_EXHAUSTED"


class Unavailable(FleetError):
    """A dependency did not answer; an idempotent call may be tried again."""

    default_reason = "UNAVAILABLE"


class DeadlineExceeded(FleetError):
    """The time given was not enough; the work may or may not have been done."""

    default_reason = "DEADLINE_EXCEEDED"
