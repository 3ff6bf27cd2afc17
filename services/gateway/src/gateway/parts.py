"""What the gateway is made of; main.py makes it, routes use it."""

from dataclasses import dataclass
from typing import Any

import msgspec
from fleetkit.clock import Clock
from fleetkit.errors import InvalidArgument
from fleetkit.postgres import Database
from fleetkit.rpc.keys import KeyRing
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import SerializationException, ValidationException

from gateway.auth.authenticator import Authenticator
from gateway.auth.passwords import Passwords
from gateway.auth.principal import Principal
from gateway.clients import Clients
from gateway.config import GatewaySettings
from gateway.mail import Mailer
from gateway.plan_limits import PlanLimits
from gateway.problems import named_field
from gateway.rate_limits import RateLimiter
from gateway.rendering import Pages
from gateway.stream_slots import StreamSlots
from gateway.widgets import Widgets

STATE_KEY = "parts"


class GatewayRequest(Request[Principal, None, State]):
    """A request whose `user` is the authenticated principal; None on anonymous routes."""

    async def json(self) -> Any:
        """The body as what the route declares; InvalidArgument when it is no JSON.

        ValidationException when it is another JSON: Litestar's own reading would take the text
        "false" for a truth value and "3" for a number.
        """
        if not await self.body():
            raise InvalidArgument("the body is empty: send JSON", reason="MALFORMED_JSON")
        declared = self.route_handler.parsed_data_field
        try:
            given = await super().json()
            return msgspec.convert(_whole(given), declared.annotation) if declared else given
        except msgspec.ValidationError as error:
            raise _another(str(error)) from error
        except SerializationException as error:
            raise _malformed(str(error.__cause__ or error)) from error
        except UnicodeDecodeError as error:
            raise _malformed("it is not UTF-8") from error
        except RecursionError as error:
            raise _malformed("it is nested too deep") from error


@dataclass(frozen=True, slots=True)
class Parts:
    """The gateway's parts, made once."""

    settings: GatewaySettings
    db: Database
    clock: Clock
    keyring: KeyRing
    clients: Clients
    passwords: Passwords
    authenticator: Authenticator
    limiter: RateLimiter
    plan_limits: PlanLimits
    widgets: Widgets
    mailer: Mailer
    slots: StreamSlots
    pages: Pages


def parts_of(request: Request) -> Parts:
    """The parts of the gateway that serves this request."""
    return request.app.state[STATE_KEY]


def _whole(value: Any) -> Any:
    """The same with 3.0 as 3: to JSON they are one number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    return value


def _another(message: str) -> ValidationException:
    said = {"message": message.partition(" - ")[0], "key": named_field(message), "source": "body"}
    return ValidationException(message, extra=[said])


def _malformed(why: str) -> InvalidArgument:
    return InvalidArgument(f"the body is not JSON: {why}", reason="MALFORMED_JSON")
