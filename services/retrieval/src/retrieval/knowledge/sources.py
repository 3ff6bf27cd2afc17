"""Sources: taken in, replaced, listed, read again, deleted."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from fleetkit import jobs
from fleetkit.errors import FleetError, InvalidArgument, NotFound
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from fleetkit.postgres.connection import FleetConnection

from retrieval.knowledge import requests, websites
from retrieval.knowledge.inputs import (
    MAX_BATCH,
    SourceInput,
    check_content,
    check_header,
    check_request_id,
    check_text,
    digest,
)
from retrieval.knowledge.originals import Originals, sweep_soon
from retrieval.knowledge.removal import remove_documents
from retrieval.knowledge.requests import Outcome
from retrieval.knowledge.work import INGEST, SYNC
from retrieval.store import documents as document_store
from retrieval.store import sites as site_store
from retrieval.store import sources as store
from retrieval.store.rows import PassageCounts, SourceRow

MAX_PAGE = 500
_DEFAULT_PAGE = 50
_DELETED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One page of sources, where the next begins, and counts over all states.

    `counts` are of sources, `document_counts` of their documents, `passages` of all of these.
    """

    rows: list[SourceRow]
    next_before: UUID | None
    counts: dict[str, int]
    document_counts: dict[str, int]
    passages: PassageCounts


async def create_sources(
    db: Database,
    originals: Originals,
    tenant_id: UUID,
    request_id: str,
    inputs: Sequence[SourceInput],
    *,
    max_content_bytes: int,
) -> list[Outcome]:
    """Stores originals and queues them; an outcome for each input, in order.

    An input whose external_id a source has replaces that source's content; one that changes
    nothing queues nothing. A repeated request gets the outcomes of the first; AlreadyExists when
    its id was used for another one.
    """
    check_request_id(request_id)
    if not 1 <= len(inputs) <= MAX_BATCH:
        raise InvalidArgument(f"sources has 1 to {MAX_BATCH} items", field="sources")
    fingerprint = await asyncio.to_thread(digest, inputs)
    if (earlier := await requests.answered(db, tenant_id, request_id, fingerprint)) is not None:
        return earlier
    checked = await asyncio.to_thread(
        lambda: [_checked(given, max_content_bytes) for given in inputs]
    )
    accepted = {new_id(): given for given in checked if isinstance(given, SourceInput)}
    contents = {
        key: given.content
        for key, given in accepted.items()
        if given.type not in websites.SITE_TYPES
    }
    await originals.put(tenant_id, contents)
    content_ids = iter(accepted)
    planned = [(next(content_ids), i) if isinstance(i, SourceInput) else i for i in checked]
    return await _commit(db, originals, tenant_id, request_id, fingerprint, planned)


async def get_source(db: Database, tenant_id: UUID, source_id: UUID) -> SourceRow:
    """The source; NotFound for another tenant's."""
    async with db.tenant(tenant_id) as conn:
        return await _existing(conn, tenant_id, source_id)


async def list_sources(
    db: Database,
    tenant_id: UUID,
    *,
    statuses: list[str],
    containing: str,
    before: UUID | None,
    page_size: int,
) -> SourcePage:
    """Sources, newest first, those after `before`; `containing` matches names and external ids."""
    limit = page_limit(page_size)
    check_text("filter", containing)
    async with db.tenant(tenant_id) as conn:
        rows = await store.list_sources(
            conn,
            tenant_id,
            statuses=statuses,
            containing=containing,
            before=before,
            limit=limit + 1,
        )
        counts = await store.count_by_status(conn, tenant_id)
        documents = await document_store.count_by_status(conn, tenant_id)
        passages = await document_store.count_passages(conn, tenant_id)
    following = rows[limit - 1].source_id if len(rows) > limit else None
    return SourcePage(rows[:limit], following, counts, documents, passages)


async def delete_source(
    db: Database, originals: Originals, tenant_id: UUID, source_id: UUID
) -> int:
    """Removes a source with everything made of it; returns how many chunks that were.

    A large one goes in steps, its reading being ended first; called again it goes on.
    """
    async with db.tenant(tenant_id) as conn:
        row = await _existing(conn, tenant_id, source_id, lock=True)
        await _stop(conn, tenant_id, row)
    count = 0
    while True:
        async with db.tenant(tenant_id) as conn:
            documents = await document_store.source_documents(
                conn, tenant_id, source_id, _DELETED_AT_ONCE
            )
            count += await remove_documents(conn, tenant_id, documents)
            if len(documents) < _DELETED_AT_ONCE:
                unused = await store.delete_source(conn, tenant_id, source_id)
                for content_id in unused:
                    await sweep_soon(conn, tenant_id, content_id)
                break
    await originals.remove(tenant_id, unused)
    return count


async def cancel_source(db: Database, tenant_id: UUID, source_id: UUID) -> SourceRow:
    """Ends the reading of a source; what was found before is found further on."""
    async with db.tenant(tenant_id) as conn:
        row = await _existing(conn, tenant_id, source_id, lock=True)
        await _stop(conn, tenant_id, row)
        return await _existing(conn, tenant_id, source_id)


async def schedule_source(
    db: Database, tenant_id: UUID, source_id: UUID, every_s: int
) -> SourceRow:
    """Reads a website again every so many seconds, 0 for never."""
    async with db.tenant(tenant_id) as conn:
        await _existing(conn, tenant_id, source_id, lock=True)
        await websites.schedule(conn, tenant_id, source_id, every_s)
        return await _existing(conn, tenant_id, source_id)


async def set_source_paths(
    db: Database,
    tenant_id: UUID,
    source_id: UUID,
    include_paths: tuple[str, ...],
    exclude_paths: tuple[str, ...],
) -> SourceRow:
    """Other beginnings of paths for a website, which is read again."""
    async with db.tenant(tenant_id) as conn:
        row = await _existing(conn, tenant_id, source_id, lock=True)
        await websites.set_paths(conn, tenant_id, row, include_paths, exclude_paths)
        return await _existing(conn, tenant_id, source_id)


async def sync_source(db: Database, tenant_id: UUID, request_id: str, source_id: UUID) -> SourceRow:
    """Reads the original, or the website, again; what was found before is found until then."""
    check_request_id(request_id)
    fingerprint = hashlib.sha256(b"sync" + source_id.bytes).digest()
    if (earlier := await requests.answered(db, tenant_id, request_id, fingerprint)) is not None:
        return earlier[0].source or await get_source(db, tenant_id, source_id)
    async with db.tenant(tenant_id) as conn:
        if await requests.recall(conn, tenant_id, request_id, fingerprint) is None:
            row = await _existing(conn, tenant_id, source_id, lock=True)
            await _read_again(conn, tenant_id, row)
            await requests.remember(conn, tenant_id, request_id, fingerprint, [Outcome(row)])
        return await _existing(conn, tenant_id, source_id)


def page_limit(page_size: int) -> int:
    """The rows of a page; InvalidArgument outside 0–500."""
    if not 0 <= page_size <= MAX_PAGE:
        raise InvalidArgument(f"page_size is 0 to {MAX_PAGE}", field="page_size")
    return page_size or _DEFAULT_PAGE


def _checked(given: SourceInput, max_content_bytes: int) -> SourceInput | FleetError:
    try:
        tidy = check_header(given)
        if tidy.type not in websites.SITE_TYPES:
            check_content(given.content, max_content_bytes)
    except InvalidArgument as error:
        return error
    return tidy


_Planned = tuple[UUID, SourceInput] | FleetError


async def _commit(
    db: Database,
    originals: Originals,
    tenant_id: UUID,
    request_id: str,
    fingerprint: bytes,
    planned: list[_Planned],
) -> list[Outcome]:
    unused: list[UUID] = []
    async with db.tenant(tenant_id) as conn:
        recalled = await requests.recall(conn, tenant_id, request_id, fingerprint)
        if recalled is not None:
            unused = [item[0] for item in planned if not isinstance(item, FleetError)]
            outcomes = recalled
        else:
            outcomes = [await _take(conn, tenant_id, item, unused) for item in planned]
            await requests.remember(conn, tenant_id, request_id, fingerprint, outcomes)
        for content_id in unused:
            await sweep_soon(conn, tenant_id, content_id)
    await originals.remove(tenant_id, unused)
    return outcomes


async def _take(
    conn: FleetConnection, tenant_id: UUID, item: _Planned, unused: list[UUID]
) -> Outcome:
    if isinstance(item, FleetError):
        return Outcome(None, item)
    content_id, given = item
    row = _row(conn, content_id, given)
    source_id = None
    if given.external_id:
        source_id = await store.find_by_external_id(conn, tenant_id, given.external_id)
    former = await _existing(conn, tenant_id, source_id) if source_id else None
    if row.type in websites.SITE_TYPES or (former and former.site):
        return await _take_website(conn, tenant_id, row, given, former)
    if former is None or source_id is None:
        document_id = new_id()
        await store.insert_source(conn, tenant_id, row, document_id)
        await _queue(conn, tenant_id, document_id)
        return Outcome(await _existing(conn, tenant_id, row.source_id))
    if _is_same(former, row):
        unused.append(content_id)
        return Outcome(former)
    if former.content_id is not None and former.document_id is not None:
        unused.append(former.content_id)
        await store.replace_content(conn, tenant_id, replace(row, source_id=source_id))
        await _queue(conn, tenant_id, former.document_id)
    return Outcome(await _existing(conn, tenant_id, source_id))


async def _take_website(
    conn: FleetConnection,
    tenant_id: UUID,
    row: SourceRow,
    given: SourceInput,
    former: SourceRow | None,
) -> Outcome:
    """A new website, or another address and other limits for a known one, which is read again."""
    if former is not None and former.type != row.type:
        error = InvalidArgument(
            f"external_id is that of a source of type {former.type}: delete that one first, or "
            "choose another external_id",
            field="external_id",
        )
        return Outcome(None, error)
    limits = websites.checked_limits(given.limits, row.type)
    if former is None:
        await store.insert_website(conn, tenant_id, row)
        await site_store.insert_site(conn, tenant_id, row.source_id, limits)
        await jobs.enqueue(conn, tenant_id, SYNC, row.source_id)
    else:
        row = replace(row, source_id=former.source_id)
        await store.set_website(conn, tenant_id, row)
        await site_store.set_limits(conn, tenant_id, row.source_id, limits)
        await websites.start_run(conn, tenant_id, row.source_id)
    return Outcome(await _existing(conn, tenant_id, row.source_id))


def _row(conn: FleetConnection, content_id: UUID, given: SourceInput) -> SourceRow:
    now = conn.now()
    return SourceRow(
        source_id=new_id(),
        document_id=None,
        type=given.type,
        external_id=given.external_id,
        title=given.title,
        url=given.url,
        file_name=given.file_name,
        media_type="",
        byte_count=len(given.content),
        status="queued",
        error="",
        error_reason="",
        chunk_count=0,
        revision=1,
        content_id=content_id,
        content_sha256=hashlib.sha256(given.content).digest(),
        given_title=given.title,
        create_time=now,
        update_time=now,
    )


def _is_same(former: SourceRow, row: SourceRow) -> bool:
    """Whether taking `row` would change nothing; a source that failed is tried again."""
    return former.status != "failed" and all(
        getattr(former, name) == getattr(row, name)
        for name in ("type", "given_title", "url", "file_name", "content_sha256")
    )


async def _read_again(conn: FleetConnection, tenant_id: UUID, row: SourceRow) -> None:
    if row.document_id is None:
        await websites.start_run(conn, tenant_id, row.source_id)
    else:
        await store.raise_revision(conn, tenant_id, row.source_id)
        await _queue(conn, tenant_id, row.document_id)


async def _stop(conn: FleetConnection, tenant_id: UUID, row: SourceRow) -> None:
    """Makes stale what is under way."""
    await store.raise_revision(conn, tenant_id, row.source_id)
    await websites.stop_run(conn, tenant_id, row.source_id)


async def _queue(conn: FleetConnection, tenant_id: UUID, document_id: UUID) -> None:
    await document_store.set_status(conn, tenant_id, document_id, "queued", conn.now())
    await jobs.enqueue(conn, tenant_id, INGEST, document_id)


async def _existing(
    conn: FleetConnection, tenant_id: UUID, source_id: UUID, *, lock: bool = False
) -> SourceRow:
    row = await store.get_source(conn, tenant_id, source_id, lock=lock)
    if row is None:
        raise NotFound("there is no such source", field="source_id", reason="SOURCE_NOT_FOUND")
    return row
