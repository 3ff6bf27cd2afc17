"""Logs: ids and facts as JSON, never anybody's text."""

import asyncio
import json
import logging as stdlib_logging
from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
import structlog
from fleetkit import logging
from fleetkit.context import CallContext, bound
from fleetkit.errors import NotFound
from fleetkit.telemetry import Span

TENANT = UUID("01900000-0000-7000-8000-000000000001")
TEXT = "what the visitor wrote"


@pytest.fixture
def logs() -> Iterator[Any]:
    """Gives the lines that a configured process has written so far."""
    file = StringIO()
    root = stdlib_logging.getLogger()
    handlers, level, configured = root.handlers[:], root.level, structlog.get_config()
    logging.configure("memory", "info", file)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.getvalue().splitlines()]

    yield lines
    structlog.configure(**configured)
    root.handlers[:] = handlers
    root.setLevel(level)


def fail() -> None:
    try:
        {}[TEXT]
    except KeyError as error:
        raise NotFound(TEXT) from error


class TestLine:
    def test_is_json_with_service_time_and_level(self, logs: Any) -> None:
        logging.get_logger().info("turn_answered", message_id="1")
        (line,) = logs()
        assert line.pop("timestamp").endswith("Z")
        assert line == {
            "event": "turn_answered",
            "message_id": "1",
            "service": "memory",
            "level": "info",
        }

    def test_carries_the_work_at_hand(self, logs: Any) -> None:
        context = CallContext(tenant_id=TENANT, caller="gateway", span=Span("a" * 32, "b" * 16))
        with bound(context):
            logging.get_logger().info("turn_answered")
        logging.get_logger().info("idle")
        inside, outside = logs()
        assert inside["tenant_id"] == str(TENANT)
        assert (inside["caller"], inside["trace_id"]) == ("gateway", "a" * 32)
        assert not {"tenant_id", "caller", "trace_id"} & set(outside)

    def test_under_the_level_is_not_written(self, logs: Any) -> None:
        logging.get_logger().debug("detail")
        assert logs() == []


class TestException:
    def test_shows_classes_and_places_without_messages(self, logs: Any) -> None:
        try:
            fail()
        except NotFound as error:
            logging.get_logger().error("failed", exc_info=error)
            logging.get_logger().exception("failed")
        for line in logs():
            shown = line["exception"]
            assert shown[0] == "fleetkit.errors.NotFound"
            assert "builtins.KeyError" in shown
            assert any(place.endswith("in fail") for place in shown)
            assert TEXT not in json.dumps(line)

    def test_of_a_group_shows_every_member(self, logs: Any) -> None:
        group = ExceptionGroup(TEXT, [ValueError(TEXT), ExceptionGroup("x", [KeyError(TEXT)])])
        logging.get_logger().error("failed", exc_info=group)
        (line,) = logs()
        assert {"builtins.ValueError", "builtins.KeyError"} <= set(line["exception"])
        assert TEXT not in json.dumps(line)


class TestLibraries:
    def test_warnings_come_as_templates_without_what_they_name(self, logs: Any) -> None:
        stdlib_logging.getLogger("somelib").warning("could not parse %s", TEXT)
        stdlib_logging.getLogger("somelib").info("too much detail")
        (line,) = logs()
        assert line["event"] == "library_log"
        assert (line["library"], line["template"]) == ("somelib", "could not parse %s")

    def test_their_exceptions_have_no_messages(self, logs: Any) -> None:
        try:
            fail()
        except NotFound:
            stdlib_logging.getLogger("somelib").exception("failed")
        (line,) = logs()
        assert line["exception"][0] == "fleetkit.errors.NotFound"
        assert TEXT not in json.dumps(line)


class TestEventLoop:
    async def test_a_lost_exception_is_one_line_without_its_message(self, logs: Any) -> None:
        loop = asyncio.get_running_loop()
        logging.log_loop_errors(loop)
        loop.call_exception_handler({"message": TEXT, "exception": ValueError(TEXT)})
        loop.set_exception_handler(None)
        (line,) = logs()
        assert line["event"] == "event_loop_error"
        assert line["exception"][0] == "builtins.ValueError"
        assert TEXT not in json.dumps(line)
