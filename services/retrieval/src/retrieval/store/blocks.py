"""Blocks of the index: lists of terms, lengths, codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row, scalar_row

from retrieval.store.rows import IndexStat


@dataclass(frozen=True, slots=True)
class PostingBlock:
    """A block of a term's list."""

    term: str
    first_slot: int
    postings: bytes


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A block of a model's codes."""

    model: str
    first_slot: int
    codes: bytes


@dataclass(frozen=True, slots=True)
class IndexBlocks:
    """What a search reads of a tenant's index; blocks without a name are (first slot, body)."""

    stat: IndexStat
    lengths: list[tuple[int, bytes]]
    postings: list[PostingBlock]
    codes: list[tuple[int, bytes]]


async def posting_blocks_between(
    conn: FleetConnection, tenant_id: UUID, terms: Sequence[str], first: int, last: int
) -> list[PostingBlock]:
    """The blocks of these terms that slots `first` to `last` belong into, in order."""
    async with conn.cursor(row_factory=class_row(PostingBlock), binary=True) as cursor:
        await cursor.execute(
            "select b.term, b.first_slot, b.postings from unnest(%(terms)s::text[]) as t (term)"
            ' join posting_block b on b.tenant_id = %(tenant_id)s and b.term = t.term collate "C"'
            "  and b.first_slot <= %(last)s and b.first_slot >= coalesce((select max(m.first_slot)"
            "   from posting_block m where m.tenant_id = %(tenant_id)s"
            '   and m.term = t.term collate "C" and m.first_slot <= %(first)s), 0)'
            " order by b.term, b.first_slot",
            {"tenant_id": tenant_id, "terms": list(terms), "first": first, "last": last},
        )
        return await cursor.fetchall()


async def put_posting_blocks(
    conn: FleetConnection,
    tenant_id: UUID,
    changed: Sequence[PostingBlock],
    emptied: Sequence[tuple[str, int]],
) -> None:
    """Writes blocks, and removes those that hold nothing any more."""
    if emptied:
        await conn.execute(
            "delete from posting_block b"
            " using unnest(%s::text[], %s::int[]) as n (term, first_slot)"
            ' where b.tenant_id = %s and b.term = n.term collate "C"'
            " and b.first_slot = n.first_slot",
            [[term for term, _ in emptied], [first for _, first in emptied], tenant_id],
        )
    if changed:
        await conn.execute(
            "insert into posting_block (tenant_id, term, first_slot, postings)"
            " select %s, n.term, n.first_slot, n.postings"
            " from unnest(%s::text[], %s::int[], %s::bytea[]) as n (term, first_slot, postings)"
            " on conflict (tenant_id, term, first_slot) do update set postings = excluded.postings",
            [
                tenant_id,
                [block.term for block in changed],
                [block.first_slot for block in changed],
                [block.postings for block in changed],
            ],
        )


async def read(
    conn: FleetConnection, tenant_id: UUID, terms: Sequence[str], known_version: int = -1
) -> IndexBlocks:
    """What a search reads of an index, in one round trip; of a snapshot, all of one moment.

    The codes are those of the model that the index serves with. Codes and lengths are left out
    when the version is `known_version`.
    """
    async with conn.pipeline():
        stat = conn.cursor(row_factory=class_row(IndexStat))
        lengths, codes = conn.cursor(binary=True), conn.cursor(binary=True)
        postings = conn.cursor(row_factory=class_row(PostingBlock), binary=True)
        await stat.execute(
            "select knowledge_version, chunk_count, length_sum, slot_count, model,"
            " languages from index_stat"
            " where tenant_id = %s",
            [tenant_id],
        )
        await lengths.execute(
            "select first_slot, lengths from length_block where tenant_id = %(tenant_id)s"
            " and %(known)s is distinct from (select knowledge_version from index_stat"
            "  where tenant_id = %(tenant_id)s)",
            {"tenant_id": tenant_id, "known": known_version},
        )
        await postings.execute(
            "select term, first_slot, postings from posting_block"
            " where tenant_id = %s and term = any(%s) order by term, first_slot",
            [tenant_id, list(terms)],
        )
        await codes.execute(
            "select first_slot, codes from code_block where tenant_id = %(tenant_id)s and model ="
            " (select model from index_stat where tenant_id = %(tenant_id)s)"
            " and %(known)s is distinct from (select knowledge_version from index_stat"
            "  where tenant_id = %(tenant_id)s)",
            {"tenant_id": tenant_id, "known": known_version},
        )
        return IndexBlocks(
            stat=await stat.fetchone() or IndexStat(0, 0, 0.0, 0),
            lengths=await lengths.fetchall(),
            postings=await postings.fetchall(),
            codes=await codes.fetchall(),
        )


async def posting_blocks(
    conn: FleetConnection, tenant_id: UUID, terms: Sequence[str]
) -> list[PostingBlock]:
    """The whole lists of these terms, in order."""
    async with conn.cursor(row_factory=class_row(PostingBlock), binary=True) as cursor:
        await cursor.execute(
            "select term, first_slot, postings from posting_block"
            " where tenant_id = %s and term = any(%s) order by term, first_slot",
            [tenant_id, list(terms)],
        )
        return await cursor.fetchall()


async def vocabulary(
    conn: FleetConnection, tenant_id: UUID, letter: str, shortest: int, longest: int
) -> list[str]:
    """The tenant's terms that begin with a letter and have so many characters; some thousands."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "select distinct term from posting_block where tenant_id = %(tenant_id)s"
            " and term >= %(letter)s and term < %(next)s"
            " and char_length(term) between %(shortest)s and %(longest)s limit 5000",
            {
                "tenant_id": tenant_id,
                "letter": letter,
                "next": chr(ord(letter) + 1),
                "shortest": shortest,
                "longest": longest,
            },
        )
        return await cursor.fetchall()


async def length_blocks(
    conn: FleetConnection, tenant_id: UUID, firsts: Sequence[int] | None = None
) -> list[tuple[int, bytes]]:
    """The blocks of lengths with these first slots; all when none are named."""
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(
            "select first_slot, lengths from length_block where tenant_id = %(tenant_id)s"
            " and (%(firsts)s::int[] is null or first_slot = any(%(firsts)s::int[]))",
            {"tenant_id": tenant_id, "firsts": None if firsts is None else list(firsts)},
        )
        return await cursor.fetchall()


async def put_length_blocks(
    conn: FleetConnection, tenant_id: UUID, blocks: Mapping[int, bytes]
) -> None:
    """Writes blocks of lengths by their first slots."""
    await conn.execute(
        "insert into length_block (tenant_id, first_slot, lengths)"
        " select %s, n.first_slot, n.lengths from unnest(%s::int[], %s::bytea[])"
        "  as n (first_slot, lengths)"
        " on conflict (tenant_id, first_slot) do update set lengths = excluded.lengths",
        [tenant_id, list(blocks), list(blocks.values())],
    )


async def code_blocks_at(
    conn: FleetConnection, tenant_id: UUID, firsts: Sequence[int]
) -> list[CodeBlock]:
    """The blocks of codes with these first slots, of every model."""
    async with conn.cursor(row_factory=class_row(CodeBlock), binary=True) as cursor:
        await cursor.execute(
            "select model, first_slot, codes from code_block"
            " where tenant_id = %s and first_slot = any(%s)",
            [tenant_id, list(firsts)],
        )
        return await cursor.fetchall()


async def put_code_blocks(
    conn: FleetConnection, tenant_id: UUID, blocks: Sequence[CodeBlock]
) -> None:
    """Writes blocks of codes."""
    await conn.execute(
        "insert into code_block (tenant_id, model, first_slot, codes)"
        " select %s, n.model, n.first_slot, n.codes"
        " from unnest(%s::text[], %s::int[], %s::bytea[]) as n (model, first_slot, codes)"
        " on conflict (tenant_id, model, first_slot) do update set codes = excluded.codes",
        [
            tenant_id,
            [block.model for block in blocks],
            [block.first_slot for block in blocks],
            [block.codes for block in blocks],
        ],
    )


async def index_terms(conn: FleetConnection, tenant_id: UUID, document_id: UUID) -> bytes:
    """The terms of a document's passages, packed."""
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(
            "select index_terms from document where tenant_id = %s and document_id = %s",
            [tenant_id, document_id],
        )
        row = await cursor.fetchone()
    return row[0] if row else b""


async def put_index_terms(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, terms: bytes
) -> None:
    """Notes the terms of a document's passages."""
    await conn.execute(
        "update document set index_terms = %s where tenant_id = %s and document_id = %s",
        [terms, tenant_id, document_id],
    )
