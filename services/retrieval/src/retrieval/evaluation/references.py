"""Which of the tenant's documents a name means."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from fleetkit.postgres.connection import FleetConnection

from retrieval.evaluation.pairs import Asked, Problem, Reference, refuse
from retrieval.store import evaluations as store
from retrieval.store.evaluations import Named

_SHOWN_CHARS = 80


async def resolve(
    conn: FleetConnection, tenant_id: UUID, questions: Sequence[Asked]
) -> list[list[UUID]]:
    """The documents of each question; InvalidArgument naming the place of those that are none.

    A document is meant by its id, else by its source's external_id, its link, its file name or
    its title, whichever fits first.
    """
    references = [reference for asked in questions for reference in asked.documents]
    wanted = sorted({reference.text for reference in references})
    named = await store.find_named(conn, tenant_id, wanted, list(_ids(wanted)))
    by_kind: dict[tuple[str, str], list[Named]] = {}
    for row in named:
        for kind in ("document_id", "external_id", "url", "file_name", "title"):
            if name := str(getattr(row, kind)).casefold():
                by_kind.setdefault((kind, name), []).append(row)
    problems: list[Problem] = []
    found = [
        list(dict.fromkeys(_meant(reference, by_kind, problems) for reference in asked.documents))
        for asked in questions
    ]
    refuse(problems)
    return [[document_id for document_id in each if document_id] for each in found]


def _ids(wanted: Iterable[str]) -> Iterable[UUID]:
    for text in wanted:
        try:
            yield UUID(text)
        except ValueError:
            continue


def _meant(
    reference: Reference, by_kind: dict[tuple[str, str], list[Named]], problems: list[Problem]
) -> UUID | None:
    name = reference.text.casefold()
    shown = f"“{reference.text[:_SHOWN_CHARS]}”"
    for kind in ("document_id", "external_id", "url", "file_name", "title"):
        rows = by_kind.get((kind, name), [])
        if len(rows) > 1:
            problem = f"{len(rows):,} documents have the {_KINDS[kind]} {shown}: name one by its id"
            problems.append(Problem(reference.place, problem))
            return None
        if rows and not rows[0].chunk_count:
            problem = f"{shown} can't be found yet: wait until it is read"
            problems.append(Problem(reference.place, problem))
            return None
        if rows:
            return rows[0].document_id
    problems.append(Problem(reference.place, f"you have no document {shown}"))
    return None


_KINDS = {
    "document_id": "id",
    "external_id": "external id",
    "url": "link",
    "file_name": "file name",
    "title": "title",
}
