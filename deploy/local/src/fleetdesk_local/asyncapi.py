"""Writes services/asyncapi.yaml: every event as AsyncAPI 3.0 describes it, from the protos."""

import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc_tools
import yaml
from fleetkit.events import event_subject
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc

from fleetdesk_local.errors import LocalError

PATH = Path("services/asyncapi.yaml")
_HEAD = "# Written by `make docs` from the events.proto of each service: change those.\n"
_ALWAYS_THERE = ["eventId", "occurTime", "tenantId"]
_MESSAGES, _ENUMS = 4, 5  # field numbers in FileDescriptorProto, by which comments are found
_FIELDS, _VALUES = 2, 2

_Type = FieldDescriptorProto
_INTEGERS = {_Type.TYPE_INT32, _Type.TYPE_UINT32, _Type.TYPE_SINT32}
_LONGS = {_Type.TYPE_INT64, _Type.TYPE_UINT64, _Type.TYPE_SINT64}
_REALS = {_Type.TYPE_DOUBLE, _Type.TYPE_FLOAT}
_WELL_KNOWN = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
}


def render(root: Path) -> str:
    """Return services/asyncapi.yaml as it should be now. `root` is the repository."""
    files = _compile(root / "protos")
    shapes = _Shapes(files)
    events = [
        (file, message) for file in files if _is_events(file) for message in file.message_type
    ]
    schemas = shapes.reached_from(f".{file.package}.{message.name}" for file, message in events)
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of Fleetdesk",
            "version": "1.0.0",
            "description": (
                "What the services tell of, on NATS JetStream: ids and facts, never text. One "
                "stream for each service, FLEETDESK_<SERVICE>. An event may come more than once "
                "(the same ce-id) and in any order (a higher revision is newer); fields may be "
                "added. services/README.md says how to subscribe."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_subject(file, each): _channel(file, each) for file, each in events},
        "operations": {
            f"send{file.package.split('.')[1].title().replace('_', '')}{each.name}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{_subject(file, each)}"},
            }
            for file, each in events
        },
        "components": {
            "messages": {
                f"{file.package}.{each.name}": _message(file, each, shapes) for file, each in events
            },
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
            "parameters": {"tenantId": {"description": "The tenant's id, a UUID."}},
            "schemas": schemas,
        },
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


class _Shapes:
    """JSON Schemas of messages and enums, as canonical proto-JSON writes them."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._messages: dict[str, tuple[DescriptorProto, FileDescriptorProto, int]] = {}
        self._enums: dict[str, tuple[EnumDescriptorProto, FileDescriptorProto, int]] = {}
        # A map is a repeated message of its own, whose second field is the value.
        self._map_values: dict[str, FieldDescriptorProto] = {}
        for file in files:
            for number, message in enumerate(file.message_type):
                name = f".{file.package}.{message.name}"
                self._messages[name] = (message, file, number)
                for nested in message.nested_type:
                    if nested.options.map_entry:
                        self._map_values[f"{name}.{nested.name}"] = nested.field[1]
            for number, enum in enumerate(file.enum_type):
                self._enums[f".{file.package}.{enum.name}"] = (enum, file, number)

    def comment(self, full_name: str) -> str:
        """What the proto says of a message."""
        _, file, number = self._messages[full_name]
        return _comment(file, _MESSAGES, number)

    def reached_from(self, names: Iterable[str]) -> dict[str, Any]:
        """The schemas of these messages and of all that their fields name, by full name."""
        found: dict[str, Any] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name.lstrip(".") in found or name in _WELL_KNOWN:
                continue
            if name in self._enums:
                found[name.lstrip(".")] = self._enum(name)
                continue
            message = self._messages[name][0]
            found[name.lstrip(".")] = self._message(name)
            of_values = [self._map_values.get(field.type_name, field) for field in message.field]
            waiting += [field.type_name for field in of_values if field.type_name]
        return dict(sorted(found.items()))

    def _message(self, name: str) -> dict[str, Any]:
        message, file, number = self._messages[name]
        properties = {
            field.json_name: _described(
                self._field(field), _comment(file, _MESSAGES, number, _FIELDS, position)
            )
            for position, field in enumerate(message.field)
        }
        required = [name for name in _ALWAYS_THERE if name in properties]
        schema: dict[str, Any] = {"type": "object", "description": self.comment(name)}
        if len(required) == len(_ALWAYS_THERE):
            schema["required"] = required
        # What has its default is left out of the JSON.
        return schema | {"properties": properties}

    def _field(self, field: FieldDescriptorProto) -> dict[str, Any]:
        if (value := self._map_values.get(field.type_name)) is not None:
            return {"type": "object", "additionalProperties": _value(value)}
        if field.label == _Type.LABEL_REPEATED:
            return {"type": "array", "items": _value(field)}
        return _value(field)

    def _enum(self, name: str) -> dict[str, Any]:
        enum, file, number = self._enums[name]
        meanings = [
            f"{value.name}: {_comment(file, _ENUMS, number, _VALUES, position)}"
            for position, value in enumerate(enum.value)
        ]
        return {
            "type": "string",
            "description": "\n".join([_comment(file, _ENUMS, number), *meanings]),
            "enum": [value.name for value in enum.value],
        }


def _value(field: FieldDescriptorProto) -> dict[str, Any]:
    if field.type in _LONGS:
        return {"type": "string", "pattern": r"^-?\d+$"}
    if field.type in _INTEGERS:
        return {"type": "integer"}
    if field.type in _REALS:
        return {"type": "number"}
    if field.type == _Type.TYPE_BOOL:
        return {"type": "boolean"}
    if field.type == _Type.TYPE_STRING:
        return {"type": "string"}
    if field.type_name in _WELL_KNOWN:
        return dict(_WELL_KNOWN[field.type_name])
    if field.type in {_Type.TYPE_MESSAGE, _Type.TYPE_ENUM}:
        return {"$ref": f"#/components/schemas/{field.type_name.lstrip('.')}"}
    raise LocalError(f"The field {field.name} of an event has a type that asyncapi.py lacks.")


def _described(schema: dict[str, Any], comment: str) -> dict[str, Any]:
    # Beside a $ref, JSON Schema draft 7 ignores everything.
    return schema if "$ref" in schema else schema | {"description": comment}


def _channel(file: FileDescriptorProto, event: DescriptorProto) -> dict[str, Any]:
    return {
        "address": f"{_subject(file, event)}.{{tenantId}}",
        "messages": {
            event.name: {"$ref": f"#/components/messages/{file.package}.{event.name}"},
        },
        "parameters": {"tenantId": {"$ref": "#/components/parameters/tenantId"}},
    }


def _message(file: FileDescriptorProto, event: DescriptorProto, shapes: _Shapes) -> dict[str, Any]:
    name = f"{file.package}.{event.name}"
    return {
        "name": name,
        "summary": shapes.comment(f".{name}"),
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def _headers() -> dict[str, Any]:
    """CloudEvents 1.0 in binary mode, as fleetkit's envelope writes it."""
    described = {
        "ce-id": "Id of the event, a UUID; the same when it comes again.",
        "ce-source": "Its producer, such as /fleetdesk/billing.",
        "ce-specversion": "Of CloudEvents.",
        "ce-subject": "The tenant's id.",
        "ce-time": "When it happened, by the fleet clock, RFC 3339.",
        "ce-type": "Full name of the protobuf message.",
        "content-type": "application/json.",
    }
    properties: dict[str, Any] = {
        name: {"type": "string", "description": text} for name, text in described.items()
    }
    properties["ce-specversion"]["const"] = "1.0"
    properties["content-type"]["const"] = "application/json"
    required = list(properties)
    properties["Nats-Msg-Id"] = {"type": "string", "description": "Id of the event."}
    properties["traceparent"] = {"type": "string", "description": "W3C trace context."}
    return {"type": "object", "required": required, "properties": properties}


def _is_events(file: FileDescriptorProto) -> bool:
    return file.name.startswith("fleetdesk/") and file.name.endswith("/events.proto")


def _subject(file: FileDescriptorProto, event: DescriptorProto) -> str:
    return event_subject(f"{file.package}.{event.name}", "").rstrip(".")


def _comment(file: FileDescriptorProto, *path: int) -> str:
    for location in file.source_code_info.location:
        if list(location.path) == list(path):
            return " ".join(location.leading_comments.split())
    return ""


def _compile(protos: Path) -> list[FileDescriptorProto]:
    """The descriptors with their comments, which generated Python does not have."""
    sources = sorted(str(path) for path in _sources(protos))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "protos.binpb"
        failed = protoc.main(
            [
                "protoc",
                f"--proto_path={protos}",
                f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
                f"--proto_path={sysconfig.get_path('purelib')}",
                "--include_source_info",
                "--include_imports",
                f"--descriptor_set_out={out}",
                *sources,
            ]
        )
        if failed:
            raise LocalError("The protos could not be compiled: see what protoc says above.")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def _sources(protos: Path) -> Iterator[Path]:
    return protos.glob("fleetdesk/*/v1/*.proto")
