"""Embedding models of tenants: which one is chosen, and the passages that lack its vectors."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row

from retrieval.store.rows import EmbeddingSetting, UnembeddedRow


async def get_setting(conn: FleetConnection, tenant_id: UUID) -> EmbeddingSetting:
    """The tenant's choice, and the change that is under way."""
    async with conn.cursor(row_factory=class_row(EmbeddingSetting)) as cursor:
        await cursor.execute(
            "select embed_model, target_model, begin_time, error_reason from embedding_setting"
            " where tenant_id = %s",
            [tenant_id],
        )
        return await cursor.fetchone() or EmbeddingSetting()


async def put_setting(conn: FleetConnection, tenant_id: UUID, setting: EmbeddingSetting) -> None:
    """Replaces it."""
    await conn.execute(
        "insert into embedding_setting"
        " (tenant_id, embed_model, target_model, begin_time, error_reason)"
        " values (%s, %s, %s, %s, %s) on conflict (tenant_id) do update"
        " set embed_model = excluded.embed_model, target_model = excluded.target_model,"
        "  begin_time = excluded.begin_time, error_reason = excluded.error_reason",
        [
            tenant_id,
            setting.embed_model,
            setting.target_model,
            setting.begin_time,
            setting.error_reason,
        ],
    )


async def set_error(conn: FleetConnection, tenant_id: UUID, error_reason: str) -> None:
    """Why a change does not get on; "" when it does."""
    await conn.execute(
        "insert into embedding_setting (tenant_id, error_reason) values (%s, %s)"
        " on conflict (tenant_id) do update set error_reason = excluded.error_reason"
        " where embedding_setting.error_reason <> excluded.error_reason",
        [tenant_id, error_reason],
    )


async def set_target(
    conn: FleetConnection, tenant_id: UUID, target_model: str, begin_time: datetime | None
) -> None:
    """The model whose vectors are being made, since when; "" and None when that has ended."""
    await conn.execute(
        "insert into embedding_setting (tenant_id, target_model, begin_time) values (%s, %s, %s)"
        " on conflict (tenant_id) do update set target_model = excluded.target_model,"
        "  begin_time = excluded.begin_time, error_reason = ''",
        [tenant_id, target_model, begin_time],
    )


async def lacking(
    conn: FleetConnection, tenant_id: UUID, model: str, after_slot: int, limit: int
) -> list[UnembeddedRow]:
    """Passages behind a slot that lack a vector by `model`, or its token vectors, by slot.

    The local models are those that have token vectors.
    """
    async with conn.cursor(row_factory=class_row(UnembeddedRow)) as cursor:
        await cursor.execute(
            "select c.chunk_no, c.slot, c.document_id, d.title, c.heading_path, c.text"
            " from chunk c join document d on d.document_id = c.document_id"
            " where c.tenant_id = %(tenant_id)s and d.tenant_id = %(tenant_id)s"
            "  and c.slot > %(after)s"
            "  and (not exists (select from chunk_embedding e where e.tenant_id = %(tenant_id)s"
            "    and e.slot = c.slot and e.model = %(model)s)"
            "   or %(model)s like 'local/%%' and not exists (select from chunk_tokens t"
            "    where t.tenant_id = %(tenant_id)s and t.chunk_no = c.chunk_no"
            "     and t.model = %(model)s))"
            " order by c.slot limit %(limit)s",
            {"tenant_id": tenant_id, "model": model, "after": after_slot, "limit": limit},
        )
        return await cursor.fetchall()


async def is_lacking(conn: FleetConnection, tenant_id: UUID, model: str) -> bool:
    """Whether a passage lacks a vector by `model`."""
    rows = await conn.execute(
        "select exists (select from chunk c where c.tenant_id = %(tenant_id)s"
        " and c.slot is not null and not exists (select from chunk_embedding e"
        "  where e.tenant_id = %(tenant_id)s and e.slot = c.slot and e.model = %(model)s))",
        {"tenant_id": tenant_id, "model": model},
    )
    row = await rows.fetchone()
    return row is not None and row[0]


async def count_embedded(conn: FleetConnection, tenant_id: UUID, model: str) -> int:
    """How many passages have a vector by `model`."""
    rows = await conn.execute(
        "select count(*) from chunk_embedding where tenant_id = %s and model = %s",
        [tenant_id, model],
    )
    row = await rows.fetchone()
    return row[0] if row else 0


async def mean_tokens(conn: FleetConnection, tenant_id: UUID, latest: int) -> int:
    """Tokens of a passage on average, by the latest ones; 0 where there is none."""
    rows = await conn.execute(
        "select coalesce(round(avg(token_count)), 0)::int from (select token_count from chunk"
        " where tenant_id = %s and slot is not null order by slot desc limit %s) latest",
        [tenant_id, latest],
    )
    row = await rows.fetchone()
    return row[0] if row else 0


async def still_there(
    conn: FleetConnection, tenant_id: UUID, chunk_nos: Sequence[int]
) -> frozenset[int]:
    """Which of these passages are still in the index."""
    rows = await conn.execute(
        "select chunk_no from chunk where tenant_id = %s and chunk_no = any(%s)",
        [tenant_id, list(chunk_nos)],
    )
    return frozenset(row[0] for row in await rows.fetchall())


async def put_vectors(
    conn: FleetConnection, tenant_id: UUID, model: str, by_slot: Mapping[int, tuple[bytes, str]]
) -> None:
    """Vectors of passages by slot, each with the SHA-256 of what was embedded."""
    await conn.execute(
        "insert into chunk_embedding (tenant_id, slot, model, input_sha256, embedding)"
        " select %s, n.slot, %s, n.input_sha256, n.embedding::halfvec"
        " from unnest(%s::int[], %s::bytea[], %s::text[]) as n (slot, input_sha256, embedding)"
        " on conflict (tenant_id, slot, model) do update"
        " set input_sha256 = excluded.input_sha256, embedding = excluded.embedding",
        [
            tenant_id,
            model,
            list(by_slot),
            [key for key, _ in by_slot.values()],
            [vector for _, vector in by_slot.values()],
        ],
    )


async def set_model(conn: FleetConnection, tenant_id: UUID, model: str) -> int:
    """Lets searches use another model, of which no passage lacks a vector; the new version."""
    rows = await conn.execute(
        "update index_stat set model = %s, knowledge_version = knowledge_version + 1"
        " where tenant_id = %s returning knowledge_version",
        [model, tenant_id],
    )
    row = await rows.fetchone()
    assert row is not None  # noqa: S101 - the caller has locked it
    return row[0]


async def delete_others(conn: FleetConnection, tenant_id: UUID, limit: int) -> int:
    """Some vectors, codes and token vectors of models that don't serve; how many rows went."""
    deleted = 0
    for statement in (
        (
            "delete from chunk_embedding where ctid = any(array(select ctid from chunk_embedding"
            " where tenant_id = %(tenant_id)s and model <> (select model from index_stat"
            "  where tenant_id = %(tenant_id)s) limit %(limit)s)) and tenant_id = %(tenant_id)s"
        ),
        (
            "delete from code_block where ctid = any(array(select ctid from code_block"
            " where tenant_id = %(tenant_id)s and model <> (select model from index_stat"
            "  where tenant_id = %(tenant_id)s) limit %(limit)s)) and tenant_id = %(tenant_id)s"
        ),
        (
            "delete from chunk_tokens where ctid = any(array(select ctid from chunk_tokens"
            " where tenant_id = %(tenant_id)s and model <> (select model from index_stat"
            "  where tenant_id = %(tenant_id)s) limit %(limit)s)) and tenant_id = %(tenant_id)s"
        ),
    ):
        result = await conn.execute(statement, {"tenant_id": tenant_id, "limit": limit})
        deleted += result.rowcount
    return deleted


async def note_speed(db: Database, model: str, passage_us: float, weight: float) -> None:
    """What a passage took by a model just now; it has that weight in what one took lately."""
    await db.fleet_call(
        "insert into model_speed (model, passage_us) values (%(model)s, %(passage_us)s)"
        " on conflict (model) do update set passage_us = model_speed.passage_us"
        "  + %(weight)s * (excluded.passage_us - model_speed.passage_us)",
        {"model": model, "passage_us": passage_us, "weight": weight},
    )


async def speeds(conn: FleetConnection) -> dict[str, int]:
    """Microseconds that a passage took lately, by "provider/model"."""
    found = await conn.execute("select model, round(passage_us)::int from model_speed")
    return dict(await found.fetchall())
