"""Composition of the gateway."""

from typing import NoReturn

from fleetkit.service import Runtime, cli

from gateway.app import create_served_app
from gateway.auth.authenticator import Authenticator
from gateway.auth.passwords import Passwords
from gateway.clients import Clients
from gateway.config import GatewaySettings
from gateway.parts import Parts
from gateway.rate_limits import RateLimiter


async def build(rt: Runtime) -> None:
    """Makes the parts and serves the app on `http_bind`."""
    settings: GatewaySettings = rt.settings
    parts = Parts(
        settings=settings,
        db=rt.db,
        clock=rt.clock,
        keyring=rt.keyring,
        clients=Clients(rt.clients),
        passwords=Passwords(),
        authenticator=Authenticator(rt.db, rt.clock, rt.keyring),
        limiter=RateLimiter(),
    )
    rt.serve_http(
        create_served_app(parts),
        settings.http_bind,
        http="httptools",
        ws="none",
        lifespan="off",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_keep_alive=30,
    )


def main() -> NoReturn:
    """`python -m gateway`."""
    cli(GatewaySettings, build, "gateway")
