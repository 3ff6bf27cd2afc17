"""The contracts between services: each is kept by somebody, and each is tested."""

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fleetdesk_local.roster import SERVICES
from fleetkit.events.envelope import message_type
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default

_TESTS = Path(__file__).parents[1]
_ROOT = _TESTS.parent
_EVERY_EVENT_BEGINS = ["event_id", "occur_time", "tenant_id"]


def _package(service: str) -> str:
    return service.replace("-", "_")


def _service_files(service: str) -> list[Path]:
    folder = _ROOT / "protos" / "fleetdesk" / _package(service) / "v1"
    return sorted(folder.glob("*_service.proto"))


def methods() -> Iterator[MethodDescriptor]:
    """Every RPC of every service."""
    for service in SERVICES:
        for file in _service_files(service):
            module = f"fleetdesk.{_package(service)}.v1.{file.stem}_pb2"
            found: Any = importlib.import_module(module).DESCRIPTOR
            for descriptor in found.services_by_name.values():
                yield from descriptor.methods


def handlers() -> Iterator[tuple[str, str]]:
    """(service, full name of an event that it handles)."""
    for service in SERVICES:
        if (_ROOT / "services" / service / "src" / _package(service) / "events.py").exists():
            handled: Mapping[str, Any] = getattr(
                importlib.import_module(f"{_package(service)}.events"), "HANDLERS", {}
            )
            for full_name in handled:
                yield service, full_name


METHODS = list(methods())
HANDLED = list(handlers())


def _servicers(method: MethodDescriptor) -> list[type]:
    """The classes of the owning service that serve a method's RPC service."""
    service = method.containing_service
    file = Path(service.file.name)
    stubs = importlib.import_module(".".join(file.with_suffix("").parts) + "_pb2_grpc")
    package = file.parts[1]
    importlib.import_module(f"{package}.main")
    base: type = getattr(stubs, f"{service.name}Servicer")
    return [cls for cls in base.__subclasses__() if cls.__module__.split(".")[0] == package]


class TestRpcs:
    def test_there_are_some(self):
        assert len({method.containing_service.full_name for method in METHODS}) >= 6

    @pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
    def test_each_is_served_by_its_owner(self, method: MethodDescriptor):
        serving = [cls for cls in _servicers(method) if method.name in vars(cls)]
        assert len(serving) == 1, f"{method.full_name} is served by {serving}"

    @pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
    def test_each_is_named_by_a_test_of_its_owner(self, method: MethodDescriptor):
        package = method.containing_service.file.name.split("/")[1]
        texts = [file.read_text() for file in (_TESTS / package).glob("test_*.py")]
        assert any(re.search(rf"\b{method.name}\b", text) for text in texts), (
            f"no test in tests/{package} names {method.name}"
        )


# What every service does, also the one that says so.
_OF_EVERYBODY = {
    f"fleetdesk.gateway.v1.{name}"
    for name in ("ErasureRequested", "ErasureFinished", "ErasureCompleted")
}


class TestEvents:
    def test_some_are_handled(self):
        assert HANDLED

    @pytest.mark.parametrize(("service", "full_name"), HANDLED)
    def test_each_that_is_handled_exists_and_is_another_services(
        self, service: str, full_name: str
    ):
        message = message_type(full_name)
        assert message.DESCRIPTOR.full_name == full_name
        assert full_name.split(".")[1] != _package(service) or full_name in _OF_EVERYBODY

    @pytest.mark.parametrize(("service", "full_name"), HANDLED)
    def test_each_that_is_handled_is_published_by_its_owner(self, service: str, full_name: str):
        _, producer, _, name = full_name.split(".")
        folder = next(each for each in SERVICES if _package(each) == producer)
        sources = (_ROOT / "services" / folder / "src").rglob("*.py")
        # By its name, or by erasure's rules, which say which event answers.
        published = re.compile(rf"\b{name}\(|\bcompleted=\w+\.{name}\b")
        assert any(published.search(source.read_text()) for source in sources)

    @pytest.mark.parametrize("service", SERVICES)
    def test_each_begins_with_the_same_three_fields(self, service: str):
        file = _ROOT / "protos" / "fleetdesk" / _package(service) / "v1" / "events.proto"
        if not file.exists():
            return
        importlib.import_module(f"fleetdesk.{_package(service)}.v1.events_pb2")
        name = f"fleetdesk/{_package(service)}/v1/events.proto"
        for message in Default().FindFileByName(name).message_types_by_name.values():
            first = [field.name for field in message.fields[:3]]
            assert first == _EVERY_EVENT_BEGINS, message.full_name
            for field in message.fields:
                # Erasure knows the doings of the erased by these names, and by no others.
                named = re.search(r"visitor|conversation", field.name)
                known = field.name in ("visitor_id", "conversation_id")
                assert known or not (named and "id" in field.name.split("_")), field.full_name
