"""Whether the door is open."""

from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from gateway.access import Access, endpoint


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


HANDLERS: list[HTTPRouteHandler] = [get_health]
