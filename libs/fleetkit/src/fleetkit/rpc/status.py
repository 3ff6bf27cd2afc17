"""FleetError ↔ gRPC status with google.rpc details."""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from fleetkit import errors
from fleetkit.errors import FleetError

DOMAIN = "fleetdesk"
_DETAILS_KEY = "grpc-status-details-bin"
# A status travels as metadata, which gRPC drops (with the error in it) when it is too large.
MAX_METADATA_BYTES = 16 * 1024
_MAX_MESSAGE_CHARS = 1000
_MAX_DETAIL_CHARS = 200

_CODES: dict[type[FleetError], grpc.StatusCode] = {
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_CLASSES = {code: error for error, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class Status:
    """What to abort an RPC with."""

    code: grpc.StatusCode
    summary: str
    trailing: tuple[tuple[str, bytes], ...]


def code_of(error: FleetError) -> grpc.StatusCode:
    """The gRPC code of an error; INTERNAL for the base class."""
    return _CODES.get(type(error), grpc.StatusCode.INTERNAL)


def to_status(error: FleetError) -> Status:
    """The status that carries an error: ErrorInfo, BadRequest for a field, RetryInfo for a wait."""
    code = code_of(error)
    message = error.message[:_MAX_MESSAGE_CHARS]
    summary = message[:_MAX_DETAIL_CHARS]
    number: int = code.value[0]
    details = [_pack(detail) for detail in _google_details(error, summary)]
    status = status_pb2.Status(code=number, message=message, details=details)
    return Status(code, summary, ((_DETAILS_KEY, status.SerializeToString()),))


def _google_details(error: FleetError, summary: str) -> Iterator[Message]:
    metadata = {key: value[:_MAX_DETAIL_CHARS] for key, value in error.details.items()}
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=summary
        )
        yield error_details_pb2.BadRequest(field_violations=[violation])
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        yield error_details_pb2.RetryInfo(retry_delay=delay)


def from_rpc_error(error: grpc.aio.AioRpcError, service: str) -> FleetError:
    """The error that `service` raised; of the base class for statuses that have no class."""
    code = error.code()
    status = _details_of(error)
    if status is None:
        return _from_bare(code, error.details() or "", service)
    info, violation, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail in status.details:
        for message in (info, violation, retry):
            detail.Unpack(message)
    return _CLASSES.get(code, FleetError)(
        status.message,
        field=violation.field_violations[0].field if violation.field_violations else None,
        reason=info.reason or None,
        retry_after_s=_seconds(retry),
        details=info.metadata,
    )


def _from_bare(code: grpc.StatusCode, message: str, service: str) -> FleetError:
    """A status made by gRPC itself: no connection, no such method, message too large."""
    details = {"service": service, "code": code.name}
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return errors.Unavailable(f"{service} does not answer", details=details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(f"{service} did not answer in time", details=details)
    known = _CLASSES.get(code)
    if known is not None:
        return known(message, details=details)
    return FleetError(f"{service} failed", details=details)


def _details_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return None


def _seconds(retry: error_details_pb2.RetryInfo) -> float | None:
    return retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
