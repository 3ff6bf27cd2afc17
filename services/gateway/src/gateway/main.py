"""Composition of the gateway."""

from datetime import timedelta
from functools import partial
from typing import NoReturn

from fleetkit.service import Runtime, cli
from fleetkit.vault import Vault

from gateway.app import create_served_app
from gateway.auth.authenticator import Authenticator
from gateway.auth.passwords import Passwords
from gateway.clients import Clients
from gateway.config import GatewaySettings
from gateway.erasure import ERASURE
from gateway.events import HANDLERS
from gateway.http_protocol import GuardedProtocol
from gateway.mail import Mailer
from gateway.parts import Parts
from gateway.plan_limits import PlanLimits
from gateway.rate_limits import RateLimiter
from gateway.rendering import Pages
from gateway.stream_slots import StreamSlots
from gateway.upkeep import reseal_secrets, tidy
from gateway.widgets import Widgets


def make_parts(rt: Runtime) -> Parts:
    """The gateway's parts; ValueError when a setting is missing or malformed."""
    settings: GatewaySettings = rt.settings
    clients = Clients(rt.clients)
    vault = Vault.of(settings.secrets_key, rt.keyring)
    return Parts(
        settings=settings,
        db=rt.db,
        clock=rt.clock,
        keyring=rt.keyring,
        clients=clients,
        passwords=Passwords(),
        authenticator=Authenticator(rt.db, rt.clock, rt.keyring),
        limiter=RateLimiter(),
        plan_limits=PlanLimits(clients, rt.keyring),
        widgets=Widgets(rt.db, vault),
        mailer=Mailer(settings),
        slots=StreamSlots(settings.max_streams),
        pages=Pages.load(),
    )


async def build(rt: Runtime) -> None:
    """Makes the parts and serves the app on `http_bind`."""
    settings: GatewaySettings = rt.settings
    parts = make_parts(rt)
    rt.schedule("tidy", timedelta(hours=1), partial(tidy, rt.db))
    rt.command("reseal-secrets", partial(reseal_secrets, rt.db, parts.widgets))
    rt.on_drain(parts.slots.end_listening)
    rt.consume(HANDLERS)
    rt.erase(ERASURE)
    rt.serve_http(
        create_served_app(parts),
        settings.http_bind,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_keep_alive=30,
    )


def main() -> NoReturn:
    """`python -m gateway`."""
    cli(GatewaySettings, build, "gateway")
