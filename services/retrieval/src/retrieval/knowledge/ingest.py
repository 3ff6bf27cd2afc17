"""Ingest: an original becomes text, chunks, vectors and postings, all in one transaction.

The work before that transaction is idempotent and leaves only states: a process that dies in it
loses nothing, and the job starts over. Until the transaction commits, searches see the former
chunks of the document, or none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from uuid import UUID

from fleetdesk.retrieval.v1.events_pb2 import DocumentFailed, KnowledgeChanged
from fleetkit import jobs
from fleetkit.context import Attribution, attributed
from fleetkit.errors import FleetError, NotFound, Unavailable
from fleetkit.events.outbox import publish
from fleetkit.ids import new_id
from fleetkit.jobs import Job
from fleetkit.postgres import Database

from retrieval.index import writing
from retrieval.index.embedding import Embedded, Embedder, name_of
from retrieval.knowledge import models
from retrieval.knowledge.originals import Originals
from retrieval.knowledge.work import COMPARE
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.pool import ParsingPool
from retrieval.parsing.prepare import PreparedDocument, PrepareOptions, embedded_text
from retrieval.store import chunks as chunk_store
from retrieval.store import documents as document_store
from retrieval.store import token_vectors as token_store
from retrieval.store.rows import KnownVectors, NewChunk, OriginalRow

_BATCHES_IN_FLIGHT = 2

_Note = Callable[[int], Awaitable[None]]


class Ingest:
    """The handler of ingest jobs; `options` are the limits that every document has."""

    def __init__(
        self,
        db: Database,
        originals: Originals,
        pool: ParsingPool,
        embedder: Embedder,
        options: PrepareOptions,
        *,
        default_model: str,
        batch_size: int,
    ) -> None:
        self._db = db
        self._originals = originals
        self._pool = pool
        self._embedder = embedder
        self._options = options
        self._default_model = default_model
        self._batch_size = batch_size

    async def run(self, job: Job) -> None:
        """Reads the document of the job again, whatever state it is in.

        A content that can't be used ends as "failed"; other errors are raised, to be retried.
        """
        row = await self._begin(job.tenant_id, job.subject_id)
        if row is None:
            return
        try:
            content = await self._originals.get(job.tenant_id, row.content_id)
            document = await self._pool.prepare(content, self._options_for(row))
        except DocumentError as error:
            await self._fail(job.tenant_id, row, error.reason, error.message)
            return
        except NotFound:
            # Replaced or deleted meanwhile, or lost by the store.
            await self._fail(job.tenant_id, row, "ORIGINAL_LOST", _ORIGINAL_LOST)
            return
        purpose = Attribution(purpose="ingest", knowledge_document_id=row.document_id)
        with attributed(purpose):
            await self._finish(job.tenant_id, row, document)

    async def give_up(self, job: Job, error: Exception) -> None:
        """The last attempt failed for a reason that is not the document's."""
        async with self._db.tenant(job.tenant_id) as conn:
            row = await document_store.get_original(conn, job.tenant_id, job.subject_id)
        if row:
            reason = error.reason if isinstance(error, FleetError) else "INTERNAL"
            await self._fail(job.tenant_id, row, reason, _GAVE_UP)

    async def _begin(self, tenant_id: UUID, document_id: UUID) -> OriginalRow | None:
        """The document's original; None when it is gone, or its reading was stopped."""
        async with self._db.tenant(tenant_id) as conn:
            row = await document_store.get_original(conn, tenant_id, document_id, lock=True)
            if row is None or row.error_reason == "CANCELLED":
                return None
            await document_store.set_status(conn, tenant_id, document_id, "parsing", conn.now())
            return row

    def _options_for(self, row: OriginalRow) -> PrepareOptions:
        return PrepareOptions(
            title=row.given_title,
            fallback_title=PurePath(row.fallback_title).stem,
            limits=self._options.limits,
            sizes=self._options.sizes,
            max_chunks=self._options.max_chunks,
        )

    async def _finish(self, tenant_id: UUID, row: OriginalRow, document: PreparedDocument) -> None:
        inputs = await asyncio.to_thread(_inputs, document)
        texts = dict(inputs)
        async with self._db.tenant(tenant_id) as conn:
            now = await document_store.get_original(conn, tenant_id, row.document_id, lock=True)
            if now is None or now.revision != row.revision:
                return  # stopped or replaced meanwhile: that has set the state which holds
            model = await models.writing_model(conn, tenant_id, self._default_model)
            known = await chunk_store.vectors_of_document(conn, tenant_id, row.document_id, model)
            known.tokens.update(
                await token_store.of_document(conn, tenant_id, row.document_id, known.model)
            )
            done = len(texts.keys() & known.by_input.keys())
            await document_store.set_embedding(
                conn, tenant_id, row.document_id, count=len(texts), done=done, now=conn.now()
            )

        async def note(count: int) -> None:
            async with self._db.tenant(tenant_id) as conn:
                await document_store.add_embedded(conn, tenant_id, row.document_id, count)

        vectors = await self._embed(texts, known, note)
        chunks = await asyncio.to_thread(_new_chunks, document, inputs, vectors)
        await self._replace(tenant_id, row, document, vectors, chunks)

    async def _embed(
        self, inputs: dict[bytes, str], known: KnownVectors, note: _Note
    ) -> KnownVectors:
        """A vector for each input, by the model that `known` names.

        Those that the document has already are not made again, unless the model is there in
        another version.
        """
        name = name_of(known.model)
        kept = {key: known.by_input[key] for key in inputs if key in known.by_input}
        missing = [key for key in inputs if key not in kept]
        if not missing:
            return KnownVectors(known.model, kept, known.tokens)
        made = await self._embed_batches(missing, inputs, name, note)
        if kept and made.model != known.model:
            again = await self._embed_batches(list(kept), inputs, name, note)
            _check_model(made.model, again.model)
            return KnownVectors(
                made.model, {**again.by_input, **made.by_input}, {**again.tokens, **made.tokens}
            )
        return KnownVectors(made.model, {**kept, **made.by_input}, {**known.tokens, **made.tokens})

    async def _embed_batches(
        self, keys: list[bytes], inputs: dict[bytes, str], name: str, note: _Note
    ) -> KnownVectors:
        """Vectors of all `keys`; `note` hears how many each batch made, but for a lone one."""
        size = self._batch_size
        slots = asyncio.Semaphore(_BATCHES_IN_FLIGHT)

        async def embed(batch: list[bytes]) -> Embedded:
            async with slots:
                made = await self._embedder.passages([inputs[key] for key in batch], name)
                if len(batches) > 1:
                    await note(len(batch))
                return made

        batches = [keys[i : i + size] for i in range(0, len(keys), size)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(embed(batch)) for batch in batches]
        except* FleetError as errors:
            raise errors.exceptions[0] from None
        found: dict[bytes, str] = {}
        tokens: dict[bytes, bytes] = {}
        model = tasks[0].result().model
        for batch, task in zip(batches, tasks, strict=True):
            _check_model(model, task.result().model)
            found.update(zip(batch, task.result().vectors, strict=True))
            given = zip(batch, task.result().tokens, strict=True)
            tokens.update((key, vectors) for key, vectors in given if vectors)
        return KnownVectors(model, found, tokens)

    async def _replace(
        self,
        tenant_id: UUID,
        row: OriginalRow,
        document: PreparedDocument,
        vectors: KnownVectors,
        chunks: list[NewChunk],
    ) -> None:
        """Everything that makes the document findable, at once; nothing if it is stale."""
        async with self._db.tenant(tenant_id) as conn:
            stat = await chunk_store.lock_stat(conn, tenant_id)
            if chunks:
                await models.check_writing(conn, tenant_id, stat, vectors.model)
            now = await document_store.get_original(conn, tenant_id, row.document_id, lock=True)
            if now is None or now.revision != row.revision:
                return
            version = await writing.replace_document(
                conn, tenant_id, row.document_id, vectors.model, chunks
            )
            tokens = {
                chunk.ordinal: (chunk.input_sha256, vectors.tokens[chunk.input_sha256])
                for chunk in chunks
                if chunk.input_sha256 in vectors.tokens
            }
            await token_store.put(conn, tenant_id, row.document_id, vectors.model, tokens)
            await document_store.set_ready(
                conn,
                tenant_id,
                row.document_id,
                media_type=document.media_type,
                title=document.title,
                text=document.text,
                chunk_count=len(chunks),
                now=conn.now(),
            )
            await document_store.set_language(conn, tenant_id, row.document_id, document.language)
            await jobs.enqueue(conn, tenant_id, COMPARE, row.document_id)
            event = KnowledgeChanged(document_id=str(row.document_id))
            await publish(conn, event, revision=version)

    async def _fail(self, tenant_id: UUID, row: OriginalRow, reason: str, message: str) -> None:
        async with self._db.tenant(tenant_id) as conn:
            now = await document_store.get_original(conn, tenant_id, row.document_id, lock=True)
            if now is None or now.revision != row.revision:
                return
            await document_store.set_failed(
                conn,
                tenant_id,
                row.document_id,
                error=message,
                error_reason=reason,
                now=conn.now(),
            )
            event = DocumentFailed(document_id=str(row.document_id), error_reason=reason)
            await publish(conn, event, revision=row.revision)


_ORIGINAL_LOST = "The uploaded file is no longer there. Upload it again."
_GAVE_UP = (
    "The document could not be made searchable because another part of the system kept failing. "
    "Try again with a sync; if that fails too, tell your operator."
)


def _inputs(document: PreparedDocument) -> list[tuple[bytes, str]]:
    """For each chunk the text that is embedded, and its hash."""
    texts = (
        embedded_text(document.title, chunk.heading_path, document.text[chunk.start : chunk.end])
        for chunk in document.chunks
    )
    return [(models.input_key(text), text) for text in texts]


def _new_chunks(
    document: PreparedDocument, inputs: list[tuple[bytes, str]], vectors: KnownVectors
) -> list[NewChunk]:
    return [
        NewChunk(
            chunk_id=new_id(),
            ordinal=ordinal,
            heading_path=list(chunk.heading_path),
            span_start=chunk.start,
            span_end=chunk.end,
            token_count=chunk.token_count,
            text=document.text[chunk.start : chunk.end],
            input_sha256=key,
            embedding=vectors.by_input[key],
            terms=chunk.terms,
            length=chunk.length,
        )
        for ordinal, (chunk, (key, _)) in enumerate(zip(document.chunks, inputs, strict=True))
    ]


def _check_model(expected: str, model: str) -> None:
    if model != expected:
        raise Unavailable("the embedding model changed meanwhile", retry_after_s=1.0)
