"""Streams and durables, declared by their owners with explicit limits."""

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

_MAX_AGE_S = 7 * 24 * 3600.0
_MAX_BYTES = 1 << 30
_MAX_MESSAGE_BYTES = 1 << 20
_DUPLICATE_WINDOW_S = 120.0
_STREAM_EXISTS = 10058
ACK_WAIT_S = 30.0
MAX_IN_FLIGHT = 256


def stream_name(service: str) -> str:
    """The stream of a producer: "llm-gateway" → "FLEETDESK_LLM_GATEWAY"."""
    return f"FLEETDESK_{schema_of(service).upper()}"


async def declare_stream(js: JetStreamContext, service: str) -> None:
    """Makes or updates the stream that holds all events of `service`, its owner.

    Seven days and 1 GiB at most, then the oldest go: the outbox keeps 30 days to replay from.
    """
    config = StreamConfig(
        name=stream_name(service),
        subjects=[f"fleetdesk.{schema_of(service)}.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=_MAX_AGE_S,
        max_bytes=_MAX_BYTES,
        max_msg_size=_MAX_MESSAGE_BYTES,
        duplicate_window=_DUPLICATE_WINDOW_S,
    )
    try:
        await js.add_stream(config)
    except BadRequestError as error:
        if error.err_code != _STREAM_EXISTS:
            raise
        await js.update_stream(config)


async def declare_durable(
    js: JetStreamContext, stream: str, service: str, subjects: list[str]
) -> str:
    """Makes or updates the durable of `service` on another's stream; returns its name.

    It has exactly `subjects`. Deliveries are not limited here: a message over the limit is not
    dropped by the server but kept as a dead letter by the consumer.
    """
    name = schema_of(service)
    await js.add_consumer(
        stream,
        ConsumerConfig(
            name=name,
            durable_name=name,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            max_ack_pending=MAX_IN_FLIGHT,
            filter_subjects=subjects,
        ),
    )
    return name
