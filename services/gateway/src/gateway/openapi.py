"""The API's description, OpenAPI 3.1, made from the routes themselves."""

from collections.abc import Sequence
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, License, Reference, SecurityScheme, Server

from gateway.knowledge import FORM_FIELDS
from gateway.parts import GatewayRequest
from gateway.shapes.knowledge import SourceRequest
from gateway.shapes.rules import RULES
from gateway.uploads import MAX_FILE_BYTES

_DESCRIPTION = """\
Ask an agent, read what it answered and what that cost, and give it knowledge.

Send an API key as `Authorization: Bearer fd_…`. Errors are problem documents (RFC 9457): `reason`
is for programs, `detail` for people. Amounts are integer nano-dollars (10⁻⁹ $). Lists are paged
with `page_size` and `page_token`. `Idempotency-Key` makes a POST safe to repeat. `RateLimit`
headers say what is left.
"""


def describe(handlers: Sequence[HTTPRouteHandler]) -> bytes:
    """The description of these routes, as JSON."""
    # An app of its own: its routes for documents are not wanted on the public one.
    app = Litestar(
        route_handlers=list(handlers),
        request_class=GatewayRequest,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Fleetdesk",
            version=version("fleetdesk-gateway"),
            description=_DESCRIPTION,
            license=License(name="Apache-2.0", identifier="Apache-2.0"),
            servers=[Server(url="/")],
            use_handler_docstrings=True,
            operation_id_creator=_operation_id,
            components=Components(security_schemes=_SECURITY),
            path="/described",
            render_plugins=[JsonRenderPlugin()],
        ),
    )
    document = app.openapi_schema.to_schema()
    _describe_bodies(document, handlers)
    _describe_upload(document)
    _describe_stream(document)
    return msgspec.json.encode(document)


_SECURITY: dict[str, SecurityScheme | Reference] = {
    "apiKey": SecurityScheme(
        type="http", scheme="bearer", description="An API key, `fd_…`, with role and scopes."
    ),
    "session": SecurityScheme(
        type="apiKey",
        security_scheme_in="cookie",
        name="fleetdesk_session",
        description="A signed-in person; unsafe requests also send X-CSRF-Token.",
    ),
    "visitorToken": SecurityScheme(
        type="http",
        scheme="bearer",
        bearer_format="JWT",
        description="The token of one visitor's conversation.",
    ),
}


def _operation_id(handler: HTTPRouteHandler, _method: Any, _path: Any) -> str:
    """Its function's name in camel case: "post_message" → "postMessage"."""
    first, *rest = handler.handler_name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _describe_bodies(document: dict[str, Any], handlers: Sequence[HTTPRouteHandler]) -> None:
    """As msgspec, which checks them, describes them; Litestar leaves out what items have to be."""
    parameters = [handler.parsed_fn_signature.parameters for handler in handlers]
    bodies = [found["data"].annotation for found in parameters if "data" in found]
    _, shapes = msgspec.json.schema_components(
        [*bodies, SourceRequest], ref_template="#/components/schemas/{name}"
    )
    for shape in shapes.values():
        shape["description"] = cleandoc(shape["description"])
        for part in shape["properties"].values():
            if "enum" in part:
                part["type"] = "string" if isinstance(part["enum"][0], str) else "integer"
    for name, rule in RULES.items():
        shapes[name].update(rule)
    document["components"]["schemas"].update(shapes)


def _describe_stream(document: dict[str, Any]) -> None:
    """The other way in which an answer comes."""
    path = document["paths"]["/v1/conversations/{conversation_id}/messages"]
    answered = path["post"]["responses"]["200"]
    answered["description"] = "The answer, whole, or as it is written."
    answered["content"]["text/event-stream"] = {"schema": {"type": "string"}}


def _describe_upload(document: dict[str, Any]) -> None:
    """The one body that is read piece by piece, and so not seen in the route's signature."""
    operation = document["paths"]["/v1/knowledge/sources"]["post"]
    given = document["components"]["schemas"]["SourceRequest"]["properties"]
    file = {
        "type": "string",
        "format": "binary",
        "description": f"At most {MAX_FILE_BYTES // 1024 // 1024} MiB; the last field of the form.",
    }
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {**{name: given[name] for name in FORM_FIELDS}, "file": file},
        "additionalProperties": False,
    }
    operation["requestBody"] = {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": {"$ref": "#/components/schemas/SourceRequest"}},
        },
    }
