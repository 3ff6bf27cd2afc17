"""The labelled sets, read from their archives."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

RETRIEVAL_SETS = (
    "kb_arduino_help",
    "retrieval_emanual_s10",
    "retrieval_claude_docs",
    "retrieval_squad2_a",
    "retrieval_cranfield",
)
_OFF_TOPIC = (
    ("intents_clinc150", "test"),
    ("intents_clinc150", "oos_test"),
    ("intents_banking77", "test"),
)


@dataclass(frozen=True, slots=True)
class SetDocument:
    """A document of a set."""

    document_id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class SetQuery:
    """A question; `grades` by document, empty when the set has no answer to it.

    `excluded` is a document to leave out of its rankings: the question's words are taken from it.
    """

    text: str
    grades: dict[str, float]
    excluded: str = ""


@dataclass(frozen=True, slots=True)
class EvalSet:
    """Documents and questions about them."""

    name: str
    documents: tuple[SetDocument, ...]
    queries: tuple[SetQuery, ...]

    @property
    def answerable(self) -> list[SetQuery]:
        """The questions that some document answers."""
        return [query for query in self.queries if query.grades]

    @property
    def unanswerable(self) -> list[SetQuery]:
        """The questions about the documents' topics that none of them answers."""
        return [query for query in self.queries if not query.grades]


def available(data: Path, names: tuple[str, ...] = RETRIEVAL_SETS) -> Iterator[EvalSet]:
    """The sets that are there; a line for each that is not."""
    for name in names:
        archive = data / f"{name}.tar.gz"
        if archive.is_file():
            yield _read_set(name, archive)
        else:
            print(f"skipped {name}: {archive} is not there")


def untitled(evaluated: EvalSet) -> EvalSet:
    """The set with its documents' titles taken off, as many a file comes."""
    documents = tuple(replace(document, title="") for document in evaluated.documents)
    return replace(evaluated, documents=documents)


def off_topic(data: Path) -> list[str]:
    """Short questions of other businesses, in the order of the archives; empty without them."""
    found: list[str] = []
    for name, part in _OFF_TOPIC:
        archive = data / f"{name}.tar.gz"
        if archive.is_file():
            lines = _read(archive, f"{part}.tsv").splitlines()[1:]
            found.extend(line.split("\t", 1)[0] for line in lines if line)
    return found


def labelled(archive: Path, part: str) -> list[tuple[str, str]]:
    """Texts with their intent."""
    rows = (line.split("\t") for line in _read(archive, f"{part}.tsv").splitlines()[1:] if line)
    return [(row[0], row[1]) for row in rows]


def _read_set(name: str, archive: Path) -> EvalSet:
    grades: dict[str, dict[str, float]] = {}
    for line in _read(archive, "qrels.tsv").splitlines()[1:]:
        query_id, document_id, grade = line.split("\t")
        grades.setdefault(query_id, {})[document_id] = float(grade)
    documents = tuple(
        SetDocument(item["id"], item["title"], item["text"])
        for item in _lines(archive, "corpus.jsonl")
    )
    queries = tuple(
        SetQuery(item["text"], grades.get(item["id"], {}), item.get("from_article", ""))
        for item in _lines(archive, "queries.jsonl")
        if item["id"] in grades or item.get("answerable") is False
    )
    return EvalSet(name, documents, queries)


def _lines(archive: Path, member: str) -> Iterator[dict[str, Any]]:
    for line in _read(archive, member).split("\n"):
        if line.strip():
            yield json.loads(line)


def _read(archive: Path, name: str) -> str:
    with tarfile.open(archive) as tar:
        for member in tar:
            if Path(member.name).name == name and (file := tar.extractfile(member)):
                return file.read().decode()
    raise FileNotFoundError(f"{archive} has no {name}")
