"""Streams and durables, declared by their owners with explicit limits."""

from typing import Any
from uuid import UUID

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError

from fleetkit.postgres.provision import schema_of

MAX_AGE_DAYS = 7
_DAY_S = 24 * 3600.0
_MAX_BYTES = 1 << 30
_MAX_MESSAGE_BYTES = 1 << 20
_DUPLICATE_WINDOW_S = 120.0
_STREAM_EXISTS = 10058
MAX_IN_FLIGHT = 256
CLOCK = "CLOCK"
_INTEGRATOR_PREFIX = "t_"
_INTEGRATOR_WAITING = 64
_INTEGRATOR_ACK_WAIT_S = 30.0
_CLOCK_MAX_BYTES = 16 << 20
_CLOCK_MAX_MESSAGE_BYTES = 1 << 12


def stream_name(service: str) -> str:
    """The stream of a producer: "llm-gateway" → "FLEETDESK_LLM_GATEWAY"."""
    return f"FLEETDESK_{schema_of(service).upper()}"


async def declare_stream(js: JetStreamContext, service: str, *, replicas: int = 1) -> None:
    """Makes or updates the stream that holds all events of `service`, its owner.

    Seven days and 1 GiB at most, then the oldest go: the outbox keeps 30 days to replay from.
    """
    await _declare(
        js,
        StreamConfig(
            name=stream_name(service),
            subjects=[f"fleetdesk.{schema_of(service)}.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=MAX_AGE_DAYS * _DAY_S,
            max_bytes=_MAX_BYTES,
            max_msg_size=_MAX_MESSAGE_BYTES,
            duplicate_window=_DUPLICATE_WINDOW_S,
            num_replicas=replicas,
        ),
    )


async def declare_clock(js: JetStreamContext, *, replicas: int = 1) -> None:
    """Makes or updates the stream of all services' schedules and of the ticks they cause.

    One message a subject: a tick that nobody took is replaced by the next one.
    """
    await _declare(
        js,
        StreamConfig(
            name=CLOCK,
            subjects=["clock.schedule.*.*", "clock.tick.*.*"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_msgs_per_subject=1,
            max_bytes=_CLOCK_MAX_BYTES,
            max_msg_size=_CLOCK_MAX_MESSAGE_BYTES,
            duplicate_window=_DUPLICATE_WINDOW_S,
            num_replicas=replicas,
            allow_direct=True,
            allow_msg_ttl=True,
            allow_msg_schedules=True,
        ),
    )


async def declare_durable(
    js: JetStreamContext, stream: str, service: str, subjects: list[str], *, ack_wait_s: float
) -> str:
    """Makes or updates the durable of `service` on another's stream; returns its name.

    It has exactly `subjects`. Deliveries are not limited here: a message over the limit is not
    dropped by the server but kept as a dead letter by the consumer.
    """
    name = schema_of(service)
    return await _declare_pull(js, stream, name, ack_wait=ack_wait_s, filter_subjects=subjects)


def integrator_name(tenant_id: UUID) -> str:
    """What a tenant's own durable is called on any stream."""
    return f"{_INTEGRATOR_PREFIX}{tenant_id}"


def is_integrator(durable: str) -> bool:
    """Whether a durable is a tenant's own."""
    return durable.startswith(_INTEGRATOR_PREFIX)


async def declare_integrator(js: JetStreamContext, service: str, tenant_id: UUID) -> str:
    """Makes or updates a tenant's own durable on the stream of `service`; returns its name.

    It has the tenant's events only, from the oldest that the stream keeps.
    """
    return await _declare_pull(
        js,
        stream_name(service),
        integrator_name(tenant_id),
        ack_wait=_INTEGRATOR_ACK_WAIT_S,
        max_waiting=_INTEGRATOR_WAITING,
        filter_subject=f"fleetdesk.{schema_of(service)}.v1.*.{tenant_id}",
    )


async def declare_ticks(js: JetStreamContext, service: str, *, ack_wait_s: float) -> str:
    """Makes or updates the durable by which the replicas of `service` take its ticks; its name."""
    subjects = [f"clock.tick.{schema_of(service)}.*"]
    return await declare_durable(js, CLOCK, service, subjects, ack_wait_s=ack_wait_s)


async def _declare_pull(js: JetStreamContext, stream: str, name: str, **own: Any) -> str:
    """A durable that is pulled from, with every message until it is acknowledged; its name."""
    config = ConsumerConfig(
        name=name,
        durable_name=name,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        max_deliver=-1,
        max_ack_pending=MAX_IN_FLIGHT,
        **own,
    )
    await js.add_consumer(stream, config)
    return name


async def _declare(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.add_stream(config)
    except BadRequestError as error:
        if error.err_code != _STREAM_EXISTS:
            raise
        await js.update_stream(config)
