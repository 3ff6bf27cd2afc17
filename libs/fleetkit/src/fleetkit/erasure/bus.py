"""What the stream of a service still holds of an erased tenant, and for whom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

from fleetkit.errors import Unavailable
from fleetkit.events import streams
from fleetkit.postgres.provision import schema_of

_API_TIMEOUT_S = 10.0
_PAGE = 256


class BusOfTenant:
    """The stream of one service; each method raises Unavailable while the bus does not answer."""

    def __init__(self, service: str, client: Client) -> None:
        self._stream = streams.stream_name(service)
        self._package = schema_of(service)
        self._js: JetStreamContext = client.jetstream(timeout=_API_TIMEOUT_S)

    async def is_awaited(self, tenant_id: UUID, *, or_else: bool) -> bool:
        """Whether some consumer has not acknowledged all of the tenant's events yet.

        `or_else` where the stream has none of them (any more), so that nobody can tell.
        """
        async with _answering():
            try:
                last = await self._js.get_last_msg(self._stream, self._subjects(tenant_id))
            except NotFoundError:
                return or_else
            return any(_is_behind(each, last.seq or 0) for each in await self._consumers())

    async def purge(self, tenant_id: UUID) -> None:
        """Takes the tenant's events out of the stream."""
        async with _answering():
            await self._js.purge_stream(self._stream, subject=self._subjects(tenant_id))

    def _subjects(self, tenant_id: UUID) -> str:
        return f"fleetdesk.{self._package}.v1.*.{tenant_id}"

    async def _consumers(self) -> list[ConsumerInfo]:
        """The durables on the stream but integrators', who are not waited for."""
        found: list[ConsumerInfo] = []
        while page := await self._js.consumers_info(self._stream, offset=len(found)):
            found += page
            if len(page) < _PAGE:
                break
        return [each for each in found if not streams.is_integrator(each.name)]


def _is_behind(consumer: ConsumerInfo, seq: int) -> bool:
    """Whether a message up to `seq` may still wait for the consumer's acknowledgement.

    Its floor stays behind while what is in between is not for it; then nothing waits at all.
    """
    if consumer.ack_floor is not None and consumer.ack_floor.stream_seq >= seq:
        return False
    return bool(consumer.num_pending or consumer.num_ack_pending)


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except nats.errors.Error as error:
        raise Unavailable("the bus does not answer") from error
