"""JSON logs on stderr: static snake_case events, values as keys, never anybody's text.

Trace, tenant and caller of the work at hand are added to every line. Exceptions are logged as
classes and source lines without their messages, which may quote a visitor or a row.
"""

import asyncio
import logging
import sys
import traceback
from types import TracebackType
from typing import Any, TextIO, cast

import stamina
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from fleetkit.context import current

_MAX_FRAMES = 12
_MAX_LINES = 60


def configure(service: str, level: str = "info", file: TextIO | None = None) -> None:
    """Sends the process's logs, and warnings of libraries, to `file` (stderr) as JSON lines."""
    number = logging.getLevelNamesMapping()[level.upper()]

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            add_service,
            _add_call_context,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _describe_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file or sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Its default hooks would log the message of the error that caused a retry.
    stamina.instrumentation.set_on_retry_hooks(())
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)


def get_logger() -> FilteringBoundLogger:
    """A logger; bound to the process's configuration at its first line."""
    return cast(FilteringBoundLogger, structlog.get_logger())


def describe_exception(error: BaseException) -> list[str]:
    """Classes and source lines of an exception, then of its members and causes; no messages."""
    lines: list[str] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(lines) < _MAX_LINES:
        seen = waiting.pop(0)
        if seen is None:
            continue
        lines.append(f"{type(seen).__module__}.{type(seen).__qualname__}")
        frames = traceback.extract_tb(seen.__traceback__)[-_MAX_FRAMES:]
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        if isinstance(seen, BaseExceptionGroup):
            waiting += seen.exceptions
        waiting.append(seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__))
    return lines


def log_loop_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Makes the event loop report lost exceptions through the log, without their messages."""

    def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        get_logger().error("event_loop_error", exc_info=context.get("exception"))

    loop.set_exception_handler(report)


class _LibraryHandler(logging.Handler):
    """Passes on warnings of libraries as templates: their arguments may hold text."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        get_logger().log(
            record.levelno,
            "library_log",
            library=record.name,
            template=str(record.msg)[:200],
            exc_info=error,
        )


def _add_call_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    context = current()
    if context.span is not None:
        event.setdefault("trace_id", context.trace_id)
    if context.tenant_id is not None:
        event.setdefault("tenant_id", str(context.tenant_id))
    if context.caller:
        event.setdefault("caller", context.caller)
    return event


def _describe_exc_info(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    info: bool | BaseException | tuple[type[BaseException], BaseException, TracebackType] | None = (
        event.pop("exc_info", None)
    )
    error = sys.exc_info()[1] if info is True else info
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = describe_exception(error)
    return event
