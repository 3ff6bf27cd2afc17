"""CSV with a column of questions and one of answers: each row becomes a section of its own."""

import csv
import io
from collections.abc import Sequence

from retrieval.parsing.document import BlockKind, DocumentBuilder, ParsedDocument, one_line
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.sniff import CSV, question_and_answer

_MAX_FIELD_CHARS = 1_000_000


def parse(text: str, max_chars: int) -> ParsedDocument:
    """A document with a heading for each question; other columns stand below the answer."""
    found = question_and_answer(text)
    assert found is not None  # noqa: S101 - that is how it was told from other texts
    csv.field_size_limit(_MAX_FIELD_CHARS)
    builder = DocumentBuilder(max_chars)
    try:
        rows = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=found.delimiter)
        names = [one_line(name) for name in next(rows)]
        for row in rows:
            _add(builder, names, row, found.question, found.answer)
    except csv.Error as error:
        raise DocumentError(
            "BROKEN_CSV",
            "A row of this table can't be read, probably because a quotation mark does not close. "
            "Export it again as CSV.",
        ) from error
    return builder.build(CSV, "")


def _add(
    builder: DocumentBuilder, names: Sequence[str], row: Sequence[str], question: int, answer: int
) -> None:
    if len(row) <= max(question, answer) or not (row[question].strip() and row[answer].strip()):
        return
    builder.heading(2, row[question])
    builder.add(BlockKind.PARAGRAPH, row[answer])
    others = [
        f"{name}: {one_line(value)}"
        for index, (name, value) in enumerate(zip(names, row, strict=False))
        if index not in (question, answer) and name and value.strip()
    ]
    builder.add(BlockKind.LIST, "\n".join(others))
