"""Conflicts: pairs of passages of different documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fleetkit.ids import new_id
from fleetkit.postgres.connection import FleetConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A passage to be compared; `embedding` is pgvector's text, by the model that serves."""

    chunk_no: int
    slot: int
    document_id: UUID
    title: str
    language: str
    text: str
    embedding: str


@dataclass(frozen=True, slots=True)
class NewConflict:
    """A pair to be kept; spans are within the passages."""

    kind: str
    reason: str
    score: float
    chunk_no: int
    span: tuple[int, int]
    other_chunk_no: int
    other_span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A pair; a side is chunk, document, title, link, text and span in the document's text.

    `dismiss_time` is None unless it was dismissed.
    """

    conflict_id: UUID
    kind: str
    reason: str
    score: float
    create_time: datetime
    chunk_id: UUID
    document_id: UUID
    title: str
    url: str
    text: str
    span_start: int
    span_end: int
    other_chunk_id: UUID
    other_document_id: UUID
    other_title: str
    other_url: str
    other_text: str
    other_span_start: int
    other_span_end: int
    dismiss_time: datetime | None


@dataclass(frozen=True, slots=True)
class ConflictCounts:
    """How many pairs are open, and how many dismissed."""

    open: int
    dismissed: int


_CONFLICTS = """
select f.conflict_id, f.kind, f.reason, f.score, f.create_time, a.chunk_id, a.document_id, d.title,
    coalesce(p.url, s.url) as url,
    substr(a.text, f.span_start + 1, f.span_end - f.span_start) as text,
    a.span_start + f.span_start as span_start, a.span_start + f.span_end as span_end,
    b.chunk_id as other_chunk_id, b.document_id as other_document_id, e.title as other_title,
    coalesce(q.url, t.url) as other_url,
    substr(b.text, f.other_span_start + 1, f.other_span_end - f.other_span_start) as other_text,
    b.span_start + f.other_span_start as other_span_start,
    b.span_start + f.other_span_end as other_span_end, g.dismiss_time
  from conflict f
    join chunk a on a.chunk_no = f.chunk_no and a.tenant_id = %(tenant_id)s
    join document d on d.document_id = a.document_id and d.tenant_id = %(tenant_id)s
    join source s on s.source_id = d.source_id and s.tenant_id = %(tenant_id)s
    left join page p on p.page_id = d.document_id and p.tenant_id = %(tenant_id)s
    join chunk b on b.chunk_no = f.other_chunk_no and b.tenant_id = %(tenant_id)s
    join document e on e.document_id = b.document_id and e.tenant_id = %(tenant_id)s
    join source t on t.source_id = e.source_id and t.tenant_id = %(tenant_id)s
    left join page q on q.page_id = e.document_id and q.tenant_id = %(tenant_id)s
    left join conflict_dismissal g on g.pair_sha256 = f.pair_sha256 and g.tenant_id = %(tenant_id)s
  where f.tenant_id = %(tenant_id)s"""
# A pair is known again by its documents, its passages' texts, and the places in them.
_NAME_PAIRS = """
update conflict f set pair_sha256 = sha256(convert_to(concat_ws(chr(31), f.kind,
    least(n.one, n.other), greatest(n.one, n.other)), 'UTF8'))
  from (select k.conflict_id,
      concat_ws(chr(30), a.document_id, k.span_start, k.span_end, a.text) as one,
      concat_ws(chr(30), b.document_id, k.other_span_start, k.other_span_end, b.text) as other
    from conflict k join chunk a on a.chunk_no = k.chunk_no
      join chunk b on b.chunk_no = k.other_chunk_no
    where k.tenant_id = %(tenant_id)s and a.tenant_id = %(tenant_id)s
      and b.tenant_id = %(tenant_id)s and k.pair_sha256 is null
      and (k.conflict_id = %(conflict_id)s::uuid
        or %(document_id)s::uuid in (a.document_id, b.document_id))) n
  where f.tenant_id = %(tenant_id)s and f.conflict_id = n.conflict_id"""


async def passages_of(
    conn: FleetConnection, tenant_id: UUID, document_id: UUID, limit: int
) -> list[ComparedRow]:
    """The first passages of a document that have a vector."""
    async with conn.cursor(row_factory=class_row(ComparedRow)) as cursor:
        await cursor.execute(
            "select c.chunk_no, c.slot, c.document_id, d.title, d.language, c.text,"
            "  e.embedding::text as embedding"
            " from chunk c join document d on d.document_id = c.document_id"
            "  join chunk_embedding e on e.slot = c.slot"
            " where c.tenant_id = %(tenant_id)s and d.tenant_id = %(tenant_id)s"
            "  and e.tenant_id = %(tenant_id)s and c.document_id = %(document_id)s"
            "  and e.model = (select model from index_stat where tenant_id = %(tenant_id)s)"
            " order by c.ordinal limit %(limit)s",
            {"tenant_id": tenant_id, "document_id": document_id, "limit": limit},
        )
        return await cursor.fetchall()


async def alike(
    conn: FleetConnection,
    tenant_id: UUID,
    row: ComparedRow,
    slots: Sequence[int],
    *,
    cosine: float,
    limit: int,
) -> list[ComparedRow]:
    """Of the passages in these slots those of other documents that are nearest to `row`."""
    async with conn.cursor(row_factory=class_row(ComparedRow)) as cursor:
        await cursor.execute(
            "select c.chunk_no, c.slot, c.document_id, d.title, d.language, c.text,"
            "  '' as embedding"
            " from chunk c join document d on d.document_id = c.document_id"
            "  join chunk_embedding e on e.slot = c.slot"
            " where c.tenant_id = %(tenant_id)s and d.tenant_id = %(tenant_id)s"
            "  and e.tenant_id = %(tenant_id)s and c.slot = any(%(slots)s)"
            "  and c.document_id <> %(document_id)s"
            "  and e.model = (select model from index_stat where tenant_id = %(tenant_id)s)"
            "  and e.embedding <#> %(embedding)s::halfvec <= -%(cosine)s::float8"
            " order by e.embedding <#> %(embedding)s::halfvec, c.chunk_no limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "slots": list(slots),
                "document_id": row.document_id,
                "embedding": row.embedding,
                "cosine": cosine,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def replace_of_document(
    conn: FleetConnection,
    tenant_id: UUID,
    document_id: UUID,
    found: Sequence[NewConflict],
    *,
    most: int,
    now: datetime,
) -> None:
    """The document's pairs in the place of its former ones; a tenant keeps at most so many.

    Pairs of passages that have gone meanwhile are left out.
    """
    await conn.execute(
        "delete from conflict where tenant_id = %(tenant_id)s and exists (select from chunk c"
        " where c.tenant_id = %(tenant_id)s and c.document_id = %(document_id)s"
        "  and c.chunk_no in (conflict.chunk_no, conflict.other_chunk_no))",
        {"tenant_id": tenant_id, "document_id": document_id},
    )
    await conn.execute(
        "insert into conflict (tenant_id, conflict_id, kind, reason, score, chunk_no, span_start,"
        "  span_end, other_chunk_no, other_span_start, other_span_end, create_time)"
        " select %(tenant_id)s, n.id, n.kind, n.reason, n.score, n.chunk_no, n.span_start,"
        "  n.span_end, n.other, n.other_start, n.other_end, %(now)s"
        " from unnest(%(ids)s::uuid[], %(kinds)s::text[], %(reasons)s::text[], %(scores)s::real[],"
        "  %(chunk_nos)s::bigint[], %(starts)s::int[], %(ends)s::int[], %(others)s::bigint[],"
        "  %(other_starts)s::int[], %(other_ends)s::int[])"
        "  as n (id, kind, reason, score, chunk_no, span_start, span_end, other, other_start,"
        "   other_end)"
        " where (select count(*) from chunk c where c.tenant_id = %(tenant_id)s"
        "   and c.chunk_no in (n.chunk_no, n.other)) = 2"
        " limit greatest(%(most)s - (select count(*) from conflict"
        "   where tenant_id = %(tenant_id)s), 0)"
        " on conflict do nothing",
        {
            "tenant_id": tenant_id,
            "now": now,
            "most": most,
            "ids": [new_id() for _ in found],
            "kinds": [pair.kind for pair in found],
            "reasons": [pair.reason for pair in found],
            "scores": [pair.score for pair in found],
            "chunk_nos": [pair.chunk_no for pair in found],
            "starts": [pair.span[0] for pair in found],
            "ends": [pair.span[1] for pair in found],
            "others": [pair.other_chunk_no for pair in found],
            "other_starts": [pair.other_span[0] for pair in found],
            "other_ends": [pair.other_span[1] for pair in found],
        },
    )


async def settle_dismissals(conn: FleetConnection, tenant_id: UUID, document_id: UUID) -> None:
    """Names the document's pairs, and forgets those of its dismissals that are of none now."""
    await conn.execute(
        _NAME_PAIRS, {"tenant_id": tenant_id, "document_id": document_id, "conflict_id": None}
    )
    await conn.execute(
        "delete from conflict_dismissal g where g.tenant_id = %(tenant_id)s"
        " and %(document_id)s in (g.document_id, g.other_document_id)"
        " and not exists (select from conflict f where f.tenant_id = %(tenant_id)s"
        "  and f.pair_sha256 = g.pair_sha256)",
        {"tenant_id": tenant_id, "document_id": document_id},
    )


async def dismiss(conn: FleetConnection, tenant_id: UUID, conflict_id: UUID, now: datetime) -> None:
    """Dismisses a pair; nothing when it is so already, or gone."""
    await conn.execute(
        _NAME_PAIRS, {"tenant_id": tenant_id, "document_id": None, "conflict_id": conflict_id}
    )
    await conn.execute(
        "insert into conflict_dismissal"
        " (tenant_id, pair_sha256, document_id, other_document_id, dismiss_time)"
        " select %(tenant_id)s, f.pair_sha256, a.document_id, b.document_id, %(now)s"
        " from conflict f join chunk a on a.chunk_no = f.chunk_no"
        "  join chunk b on b.chunk_no = f.other_chunk_no"
        " where f.tenant_id = %(tenant_id)s and a.tenant_id = %(tenant_id)s"
        "  and b.tenant_id = %(tenant_id)s and f.conflict_id = %(conflict_id)s"
        " on conflict do nothing",
        {"tenant_id": tenant_id, "conflict_id": conflict_id, "now": now},
    )


async def restore(conn: FleetConnection, tenant_id: UUID, conflict_id: UUID) -> None:
    """Opens a pair again; nothing when it is open, or gone."""
    await conn.execute(
        "delete from conflict_dismissal where tenant_id = %(tenant_id)s"
        " and pair_sha256 = (select pair_sha256 from conflict where tenant_id = %(tenant_id)s"
        "  and conflict_id = %(conflict_id)s)",
        {"tenant_id": tenant_id, "conflict_id": conflict_id},
    )


async def get_conflict(
    conn: FleetConnection, tenant_id: UUID, conflict_id: UUID
) -> ConflictRow | None:
    """One pair."""
    async with conn.cursor(row_factory=class_row(ConflictRow)) as cursor:
        await cursor.execute(
            _CONFLICTS + " and f.conflict_id = %(conflict_id)s",
            {"tenant_id": tenant_id, "conflict_id": conflict_id},
        )
        return await cursor.fetchone()


async def count_conflicts(conn: FleetConnection, tenant_id: UUID) -> ConflictCounts:
    """Pairs of both kinds."""
    async with conn.cursor(row_factory=class_row(ConflictCounts)) as cursor:
        await cursor.execute(
            "select (count(*) - count(g.pair_sha256))::int as open,"
            "  count(g.pair_sha256)::int as dismissed"
            " from conflict f left join conflict_dismissal g on g.tenant_id = %(tenant_id)s"
            "  and g.pair_sha256 = f.pair_sha256 where f.tenant_id = %(tenant_id)s",
            {"tenant_id": tenant_id},
        )
        return await cursor.fetchone() or ConflictCounts(0, 0)


async def list_conflicts(
    conn: FleetConnection,
    tenant_id: UUID,
    *,
    kind: str,
    dismissed: bool,
    before: UUID | None,
    limit: int,
) -> list[ConflictRow]:
    """Open or dismissed pairs of one kind or of both (""), newest first, those after `before`."""
    async with conn.cursor(row_factory=class_row(ConflictRow)) as cursor:
        await cursor.execute(
            _CONFLICTS + " and (%(kind)s = '' or f.kind = %(kind)s)"
            "  and (g.dismiss_time is not null) = %(dismissed)s"
            "  and (%(before)s::uuid is null or f.conflict_id < %(before)s)"
            " order by f.conflict_id desc limit %(limit)s",
            {
                "tenant_id": tenant_id,
                "kind": kind,
                "dismissed": dismissed,
                "before": before,
                "limit": limit,
            },
        )
        return await cursor.fetchall()
