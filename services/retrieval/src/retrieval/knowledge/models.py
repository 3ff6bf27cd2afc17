"""Which model embeds a tenant's knowledge: chosen, served, written by.

The choice is the tenant's, or else the deployment's. The index says which model serves; what is
read in between is embedded by that one, too, and gets the chosen one's vectors with all others.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from fleetkit import jobs
from fleetkit.context import Attribution, attributed
from fleetkit.errors import FleetError, InvalidArgument, Unavailable
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection
from fleetkit.postgres.tenants import known_tenants, remember_tenant

from retrieval.index.embedding import Embedder, name_of
from retrieval.knowledge.work import REEMBED
from retrieval.store import chunks as chunk_store
from retrieval.store import models as store
from retrieval.store.rows import EmbeddingSetting, IndexStat

_MAX_NAME_BYTES = 200
# Passages whose mean length stands for all.
_SAMPLED = 1_000


@dataclass(frozen=True, slots=True)
class IndexState:
    """The models of an index, and how many of its passages have vectors of the target.

    `passage_tokens` is the length of a passage on average, `passage_us` the microseconds that one
    took lately, by "provider/model".
    """

    setting: EmbeddingSetting
    default_model: str
    stat: IndexStat
    target_model: str
    embedded_count: int
    passage_tokens: int
    passage_us: Mapping[str, int]

    @property
    def is_changing(self) -> bool:
        """Whether vectors of another model are being made, or wait for that."""
        return self.target_model != ""


def input_key(text: str) -> bytes:
    """What a vector is known by: the SHA-256 of the text that was embedded."""
    return hashlib.sha256(text.encode()).digest()


async def get_index(db: Database, tenant_id: UUID, default_model: str) -> IndexState:
    """The state of the tenant's index."""
    async with db.tenant(tenant_id) as conn:
        return await _state(conn, tenant_id, default_model)


async def choose_model(
    db: Database, embedder: Embedder, tenant_id: UUID, embed_model: str, default_model: str
) -> IndexState:
    """Chooses the tenant's model, "" for the deployment's, after it has embedded a word.

    What is known gets its vectors in the background. InvalidArgument for no name of a model; the
    errors of the model pass, naming the field.
    """
    if embed_model:
        await _try(embedder, embed_model)
    async with db.tenant(tenant_id) as conn:
        await chunk_store.lock_stat(conn, tenant_id)
        setting = await store.get_setting(conn, tenant_id)
        if setting.embed_model != embed_model:
            await store.put_setting(conn, tenant_id, EmbeddingSetting(embed_model))
        await remember_tenant(conn, tenant_id)
        await jobs.enqueue(conn, tenant_id, REEMBED, tenant_id)
        return await _state(conn, tenant_id, default_model)


async def writing_model(conn: FleetConnection, tenant_id: UUID, default_model: str) -> str:
    """The model to embed new passages by: the index's, or the chosen one while it is empty."""
    stat = await chunk_store.get_stat(conn, tenant_id)
    if stat.chunk_count and stat.model:
        return stat.model
    return chosen(await store.get_setting(conn, tenant_id), default_model)


async def check_writing(
    conn: FleetConnection, tenant_id: UUID, stat: IndexStat, model: str
) -> None:
    """Lets vectors of `model` into the locked index.

    Those of another version of its model come with an order to make all anew. Unavailable when the
    index has gone over to another model since they were made.
    """
    await remember_tenant(conn, tenant_id)
    if not stat.chunk_count or stat.model in ("", model):
        return
    if name_of(stat.model) != name_of(model):
        raise Unavailable("the embedding model changed meanwhile", retry_after_s=1.0)
    await jobs.enqueue(conn, tenant_id, REEMBED, tenant_id)


async def reembed(db: Database, tenant_id: UUID) -> None:
    """Asks for vectors of the chosen model for all passages that lack them."""
    async with db.tenant(tenant_id) as conn:
        await jobs.enqueue(conn, tenant_id, REEMBED, tenant_id)


async def reembed_changed(db: Database, default_model: str) -> None:
    """Asks for them where the deployment's choice is another one now, tenant by tenant."""
    after: UUID | None = None
    while tenants := await known_tenants(db, after):
        for tenant_id in tenants:
            async with db.tenant(tenant_id) as conn:
                if (await _state(conn, tenant_id, default_model)).is_changing:
                    await jobs.enqueue(conn, tenant_id, REEMBED, tenant_id)
        after = tenants[-1]


def chosen(setting: EmbeddingSetting, default_model: str) -> str:
    """The tenant's choice or else the deployment's."""
    return setting.embed_model or default_model


async def _state(conn: FleetConnection, tenant_id: UUID, default_model: str) -> IndexState:
    setting = await store.get_setting(conn, tenant_id)
    stat = await chunk_store.get_stat(conn, tenant_id)
    wanted = chosen(setting, default_model)
    target = setting.target_model or ("" if name_of(stat.model) == wanted else wanted)
    if not stat.chunk_count:
        target = ""
    count = await store.count_embedded(conn, tenant_id, target or stat.model)
    tokens = await store.mean_tokens(conn, tenant_id, _SAMPLED)
    passage_us = await store.speeds(conn)
    return IndexState(setting, default_model, stat, target, count, tokens, passage_us)


async def _try(embedder: Embedder, embed_model: str) -> None:
    provider, _, model = embed_model.partition("/")
    if not provider or not model or len(embed_model.encode()) > _MAX_NAME_BYTES:
        raise InvalidArgument(
            'embed_model is "provider/model", for example "local/all-minilm-l6-v2"',
            field="embed_model",
        )
    try:
        with attributed(Attribution(purpose="ingest")):
            await embedder.passages(["test"], embed_model)
    except FleetError as error:
        error.field = "embed_model"
        raise
