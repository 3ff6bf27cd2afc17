"""Bodies of the index of knowledge."""

from datetime import datetime
from typing import Annotated

from fleetdesk.retrieval.v1 import index_pb2 as pb_index
from msgspec import Meta, Struct

from gateway.shapes.common import described, optional_time


class KnowledgeIndex(Struct, frozen=True):
    """With which model knowledge is searched, and how far a change of it is.

    `embed_model` is the company's choice, "" where it left that to the deployment
    (`default_model`). While `changing`, searches use `serving_model` and `embedded_count` of
    `chunk_count` passages have a vector by `target_model`. `error_reason` says why it does not get
    on; it is tried again. What a change takes can be told from `passage_tokens`, a passage's on
    average, and `passage_us`, the microseconds that one took lately by each model that embeds.
    """

    embed_model: str
    default_model: str
    serving_model: str
    changing: bool
    target_model: str
    chunk_count: int
    embedded_count: int
    begin_time: datetime | None
    error_reason: str
    passage_tokens: int
    passage_us: dict[str, int]

    @classmethod
    def of(cls, message: pb_index.KnowledgeIndex) -> "KnowledgeIndex":
        """From the proto."""
        return cls(
            embed_model=message.embed_model,
            default_model=message.default_model,
            serving_model=message.serving_model,
            changing=message.changing,
            target_model=message.target_model,
            chunk_count=message.chunk_count,
            embedded_count=message.embedded_count,
            begin_time=optional_time(message, "begin_time"),
            error_reason=message.error_reason,
            passage_tokens=message.passage_tokens,
            passage_us=dict(message.passage_us),
        )


class EmbeddingModelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The embedding model as `provider/model`; "" for the deployment's."""

    embed_model: Annotated[str, described(pattern="^([^/]+/.+)?$"), Meta(max_length=200)]
