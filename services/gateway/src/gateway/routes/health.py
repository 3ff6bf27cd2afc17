"""Whether the door is open, and what is behind it."""

import asyncio

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from gateway.access import Access, endpoint
from gateway.parts import GatewayRequest

# In the app's state: the OpenAPI document, made when it is first asked for.
DESCRIPTION_KEY = "describe"


class Healthy(Struct, frozen=True):
    """The process answers."""

    status: str


@endpoint(
    "GET",
    "/healthz",
    Access(anonymous=True, local=True),
    tags=["Health"],
    summary="Is it up",
)
async def get_health() -> Healthy:
    """Says that the process answers; /readyz of the internal port says more."""
    return Healthy("ok")


@endpoint(
    "GET",
    "/openapi.json",
    Access(anonymous=True, local=True, limit="public"),
    documented=False,
)
async def get_openapi(request: GatewayRequest) -> Response[bytes]:
    """The API's description, OpenAPI 3.1."""
    # Made once, which takes a second; in a thread, so that nobody waits for it but who asks.
    description = await asyncio.to_thread(request.app.state[DESCRIPTION_KEY])
    return Response(description, media_type="application/json")


HANDLERS: list[HTTPRouteHandler] = [get_health, get_openapi]
