"""services/asyncapi.yaml: valid, up to date, and true of what is really published."""

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from fleetdesk_local import asyncapi, docs
from fleetkit.events.envelope import (
    cloud_event_headers,
    event_subject,
    message_type,
    stream_of,
    to_body,
)
from fleetkit.events.streams import stream_name
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).parent / "schemas" / "asyncapi-3.0.0.json.gz"
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / asyncapi.PATH).read_text())
EVENTS = [
    message.full_name
    for file in docs.files(ROOT)
    if file.name.endswith("/events.proto")
    for message in file.message_types_by_name.values()
]


def validator(schema: dict[str, Any]) -> Draft7Validator:
    """For a part of the document, whose references lead into the document."""
    return Draft7Validator(
        {"components": DOCUMENT["components"], "allOf": [schema]},
        format_checker=Draft7Validator.FORMAT_CHECKER,
    )


def payload(full_name: str) -> Draft7Validator:
    return validator({"$ref": f"#/components/schemas/{full_name}"})


def fill(message: Message, depth: int = 0) -> Any:
    """Sets every field, so that all of them are in the JSON."""
    for field in message.DESCRIPTOR.fields:
        repeated = field.is_repeated
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                getattr(message, field.name)["some"] = 1
            elif field.message_type.full_name == "google.protobuf.Timestamp":
                getattr(message, field.name).GetCurrentTime()
            elif depth < 3:
                value = getattr(message, field.name)
                fill(value.add() if repeated else value, depth + 1)
        else:
            value = _scalar(field)
            if repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
    return message


def _scalar(field: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return str(uuid4())
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    return 2**40 if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 else 7


class TestDocument:
    def test_is_valid_asyncapi(self) -> None:
        schema = json.loads(gzip.decompress(SCHEMA.read_bytes()))
        errors = list(Draft7Validator(schema).iter_errors(DOCUMENT))
        assert errors == []

    def test_its_schema_refuses_what_is_not(self) -> None:
        schema = json.loads(gzip.decompress(SCHEMA.read_bytes()))
        wrong = {**DOCUMENT, "channels": {"x": {"adress": "x"}}}
        assert list(Draft7Validator(schema).iter_errors(wrong))

    def test_is_up_to_date(self) -> None:
        assert (ROOT / asyncapi.PATH).read_text() == asyncapi.render(ROOT), "run `make docs`"

    def test_has_a_channel_for_every_event_and_no_other(self) -> None:
        addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
        assert addresses == {event_subject(name, "{tenantId}") for name in EVENTS}

    def test_everything_is_described(self) -> None:
        for name, schema in DOCUMENT["components"]["schemas"].items():
            assert schema["description"], name
            for field, property_ in schema.get("properties", {}).items():
                assert "$ref" in property_ or property_["description"], f"{name}.{field}"


class TestPayloads:
    @pytest.mark.parametrize("full_name", EVENTS)
    def test_an_event_with_every_field_is_as_described(self, full_name: str) -> None:
        event = fill(message_type(full_name)())
        body = json.loads(to_body(event))
        assert list(payload(full_name).iter_errors(body)) == []
        described = DOCUMENT["components"]["schemas"][full_name]["properties"]
        assert set(body) == set(described)

    @pytest.mark.parametrize("full_name", EVENTS)
    def test_what_is_no_event_is_not(self, full_name: str) -> None:
        assert list(payload(full_name).iter_errors({"eventId": 1}))

    @pytest.mark.parametrize("full_name", EVENTS)
    def test_headers_are_as_described(self, full_name: str) -> None:
        event = fill(message_type(full_name)())
        headers = cloud_event_headers(
            event_id=uuid4(),
            event_type=full_name,
            tenant_id=uuid4(),
            occur_time=event.occur_time.ToDatetime(),
        )
        trait = DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"]
        assert list(validator(trait).iter_errors(headers)) == []
        assert set(trait["required"]) <= set(headers)

    @pytest.mark.parametrize("full_name", EVENTS)
    def test_the_stream_is_that_of_its_service(self, full_name: str) -> None:
        assert stream_of(full_name) == stream_name(full_name.split(".")[1])
