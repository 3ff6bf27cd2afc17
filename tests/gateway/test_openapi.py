"""The API's description is valid and says what the routes say."""

from typing import Any, get_args, get_type_hints

import msgspec
import pytest
import pytest_asyncio
from gateway.app import API
from harness.desk import Desk
from harness.routes import api_routes
from openapi_spec_validator import OpenAPIV31SpecValidator

ANSWERED = {"200", "201", "202", "204"}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(door: Desk) -> Any:
    answer = await door.client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def _operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def _parts(hint: Any) -> list[Any]:
    """A type and what it holds."""
    return [hint, *(part for held in get_args(hint) for part in _parts(held))]


class TestDocument:
    async def test_it_validates(self, document):
        assert document["openapi"].startswith("3.1")
        OpenAPIV31SpecValidator(document).validate()

    async def test_every_route_of_the_api_is_in_it(self, document):
        routes = {str(route).replace(":uuid", "") for route in api_routes()}
        assert set(_operations(document)) == routes - {"GET /openapi.json"}

    async def test_every_operation_has_a_summary_a_schema_and_problems(self, document):
        for name, operation in _operations(document).items():
            assert operation["summary"], name
            assert operation["description"], name
            statuses = set(operation["responses"])
            assert statuses & ANSWERED, name
            for status in statuses - ANSWERED:
                content = operation["responses"][status]["content"]
                schema = content["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ProblemDocument"}, name

    async def test_what_an_operation_needs_is_what_its_route_declares(self, document):
        operations = _operations(document)
        for route in api_routes():
            operation = operations.get(str(route).replace(":uuid", ""))
            if operation is not None:
                assert operation.get("security", []) == route.access.security(), str(route)

    async def test_operations_have_names_that_programs_can_use(self, document):
        names = [operation["operationId"] for operation in _operations(document).values()]
        assert len(names) == len(set(names))
        assert all(name.isalnum() and name[0].islower() for name in names)

    async def test_bodies_have_no_other_fields(self, document):
        shapes = document["components"]["schemas"]
        for name in ("SearchRequest", "CreateAgentRequest", "AgentConfig"):
            assert shapes[name]["additionalProperties"] is False, name
        # But a map stays one.
        assert shapes["PriceTier"]["properties"]["prices"]["additionalProperties"] is not False

    async def test_routes_refuse_fields_that_bodies_do_not_have(self):
        waiting = [
            parameter.annotation
            for handler in API
            for name, parameter in handler.parsed_fn_signature.parameters.items()
            if name == "data"
        ]
        assert waiting
        while waiting:
            shape = waiting.pop()
            if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
                assert shape.__struct_config__.forbid_unknown_fields, shape
                waiting += [
                    part for hint in get_type_hints(shape).values() for part in _parts(hint)
                ]

    async def test_numbers_of_bodies_have_an_end(self, document):
        waiting: list[Any] = [
            operation.get("requestBody") for operation in _operations(document).values()
        ]
        seen: set[str] = set()
        while waiting:
            part = waiting.pop()
            if isinstance(part, list):
                waiting += part
            if not isinstance(part, dict):
                continue
            waiting += part.values()
            name = part.get("$ref", "").rpartition("/")[2]
            if name and name not in seen:
                seen.add(name)
                waiting.append(document["components"]["schemas"][name])
            if part.get("type") in ("integer", "number") and "enum" not in part:
                assert {"minimum", "maximum"} <= set(part), part

    async def test_a_wrong_credential_and_a_wrong_id_are_in_it_everywhere(self, document):
        for name, operation in _operations(document).items():
            assert {"400", "401"} <= set(operation["responses"]), name
            assert "404" in operation["responses"] or "{" not in name, name

    async def test_an_answer_may_come_as_a_stream(self, document):
        asked = _operations(document)["POST /v1/conversations/{conversation_id}/messages"]
        assert set(asked["responses"]["200"]["content"]) == {
            "application/json",
            "text/event-stream",
        }

    async def test_a_file_may_be_given_as_a_form(self, document):
        given = _operations(document)["POST /v1/knowledge/sources"]["requestBody"]["content"]
        assert set(given) == {"application/json", "multipart/form-data"}
