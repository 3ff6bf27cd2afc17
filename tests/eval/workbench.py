"""What both the evaluation and the fit need: sets, their indexes, ranked questions."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetkit.tokens import TokenCounter, tokenizer_path
from retrieval.index.weights import FusionWeights

from .fitting import RankedQuery
from .memory_index import MemoryIndex, Query
from .relevance_data import ExampleMaker
from .sets import EvalSet, SetQuery, available, off_topic, untitled
from .vectors import VectorCache


@dataclass(frozen=True, slots=True)
class Workbench:
    """The sets that are there, each with its index."""

    data: Path
    cache: VectorCache
    sets: list[EvalSet]
    indexes: dict[str, MemoryIndex]

    def ranked_queries(self, evaluated: EvalSet, limit: int) -> list[RankedQuery]:
        """Candidates of at most `limit` of the set's questions, spread evenly over them."""
        index = self.indexes[evaluated.name]
        return [
            RankedQuery(
                candidates=(found := index.candidates(query, asked.excluded))[0],
                facts=found[1],
                documents=[index.chunks[c.chunk_no].document_id for c in found[0]],
                grades=asked.grades,
            )
            for asked, query in self.asked(evaluated, limit)
        ]

    def examples(self, fusion: FusionWeights) -> ExampleMaker:
        """Questions with and without an answer."""
        return ExampleMaker(self.sets, self.indexes, self.cache, off_topic(self.data), fusion)

    def asked(self, evaluated: EvalSet, limit: int) -> list[tuple[SetQuery, Query]]:
        """At most `limit` of the set's questions that have an answer, with their vectors."""
        asked = evaluated.answerable
        asked = asked[:: max(1, len(asked) // limit)][:limit]
        vectors = self.cache.embed([query.text for query in asked])
        return [(q, Query(q.text, v)) for q, v in zip(asked, vectors, strict=True)]


def parser(description: str) -> argparse.ArgumentParser:
    """The arguments that every script here has."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"), help="the archives")
    arguments.add_argument("--cache", type=Path, default=Path(".data/eval"), help="kept vectors")
    arguments.add_argument("--untitled", action="store_true", help="take the documents' titles off")
    arguments.add_argument("--queries", type=int, default=400, help="most questions of a set")
    return arguments


def open_workbench(arguments: argparse.Namespace) -> Workbench:
    """Reads, cuts and embeds every set that is there."""
    cache = VectorCache(arguments.cache)
    tokens = TokenCounter(tokenizer_path(None))
    sets = list(available(arguments.data))
    if arguments.untitled:
        sets = [untitled(evaluated) for evaluated in sets]
    indexes: dict[str, MemoryIndex] = {}
    for evaluated in sets:
        indexes[evaluated.name] = MemoryIndex.of(evaluated, tokens, cache)
    return Workbench(arguments.data, cache, sets, indexes)


def short(name: str) -> str:
    """A set's name as the tables have it."""
    return name.removeprefix("retrieval_").removeprefix("kb_")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to the widest cell; the first column to the left."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines: list[str] = []
    for row in [header, *rows]:
        cells = [
            row[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
