"""Questions and the documents that answer them, as people send them: CSV or JSON."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from fleetkit.errors import InvalidArgument

MAX_CONTENT_BYTES = 2**20
MAX_QUESTIONS = 1_000
MAX_DOCUMENTS = 20
_MAX_QUESTION_BYTES = 2_000
_MAX_REFERENCE_BYTES = 2_048
_SHOWN_PROBLEMS = 5
_DELIMITERS = ",;\t"
_SHAPE = (
    'send CSV with the columns "question" and "document", or a JSON list of objects with '
    '"question" and "document"'
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A document as somebody named it, and where, such as "row 4, column document"."""

    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the documents that answer it."""

    question: str
    documents: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place."""

    place: str
    text: str


def refuse(problems: list[Problem]) -> None:
    """Raises InvalidArgument with the first few problems, if there are any."""
    if not problems:
        return
    said = "; ".join(f"{each.place}: {each.text}" for each in problems[:_SHOWN_PROBLEMS])
    more = len(problems) - _SHOWN_PROBLEMS
    raise InvalidArgument(
        said + (f"; and {more:,} more" if more > 0 else ""),
        field=problems[0].place,
        reason="QUESTIONS_INVALID",
    )


def parse(content: bytes) -> list[Asked]:
    """The questions, each once, in the order given; InvalidArgument naming what is wrong where."""
    if len(content) > MAX_CONTENT_BYTES:
        raise _refused(
            f"the questions have {len(content):,} bytes; at most {MAX_CONTENT_BYTES:,} are allowed",
            "TOO_LARGE",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(
            f"the questions are not UTF-8 (byte {error.start:,}): save the file as UTF-8"
        ) from error
    if not text.strip():
        raise _refused(f"there are no questions: {_SHAPE}")
    rows = _json_rows(text) if text.lstrip()[0] in "[{" else _csv_rows(text)
    return _gathered(rows)


@dataclass(frozen=True, slots=True)
class _Row:
    question: str
    place: str
    documents: tuple[Reference, ...]
    problems: tuple[Problem, ...] = ()


def _gathered(rows: Iterator[_Row]) -> list[Asked]:
    """Rows of the same question together."""
    found: dict[str, dict[str, Reference]] = {}
    problems: list[Problem] = []
    for row in rows:
        problems += row.problems or _wrong_with(row)
        documents = found.setdefault(" ".join(row.question.split()), {})
        for reference in row.documents:
            documents.setdefault(reference.text, reference)
        if len(documents) > MAX_DOCUMENTS:
            problems.append(Problem(row.place, f"a question has at most {MAX_DOCUMENTS} documents"))
        if len(found) > MAX_QUESTIONS:
            problems.append(Problem(row.place, f"at most {MAX_QUESTIONS:,} questions are allowed"))
            break
    refuse(problems)
    if not found:
        raise _refused(f"there are no questions: {_SHAPE}")
    return [Asked(question, tuple(given.values())) for question, given in found.items()]


def _wrong_with(row: _Row) -> list[Problem]:
    problems: list[Problem] = []
    if not row.question.strip():
        problems.append(Problem(row.place, "the question is empty"))
    elif (size := len(row.question.encode())) > _MAX_QUESTION_BYTES:
        problems.append(Problem(row.place, f"{size:,} bytes; at most {_MAX_QUESTION_BYTES:,}"))
    if "\x00" in row.question:
        problems.append(Problem(row.place, "a NUL character: leave it out"))
    for reference in row.documents:
        if not reference.text:
            problems.append(Problem(reference.place, "no document is named"))
        elif len(reference.text.encode()) > _MAX_REFERENCE_BYTES or "\x00" in reference.text:
            problems.append(Problem(reference.place, "this is no document's name"))
    return problems


def _csv_rows(text: str) -> Iterator[_Row]:
    """Rows as a spreadsheet counts them: the head is row 1."""
    head = text.lstrip().partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        names = [name.strip().casefold() for name in next(reader)]
        question, document = _columns(names)
        for number, cells in enumerate(reader, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            yield _csv_row(number, cells, question, document)
    except csv.Error as error:
        raise _refused(f"row {number + 1} can't be read as CSV ({error})") from error


def _columns(names: list[str]) -> tuple[int, int]:
    missing = [name for name in ("question", "document") if name not in names]
    if missing:
        raise _refused(f'row 1 has no column "{missing[0]}": {_SHAPE}')
    return names.index("question"), names.index("document")


def _csv_row(number: int, cells: list[str], question: int, document: int) -> _Row:
    place = f"row {number}, column question"
    if len(cells) <= max(question, document):
        short = Problem(f"row {number}", f"it has only {len(cells)} of the columns")
        return _Row("", place, (), (short,))
    reference = Reference(cells[document].strip(), f"row {number}, column document")
    return _Row(cells[question], place, (reference,))


def _json_rows(text: str) -> Iterator[_Row]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused("the questions begin like JSON and are none") from error
    items = cast(dict[str, Any], given).get("questions") if isinstance(given, dict) else given
    if not isinstance(items, list):
        raise _refused(f"the JSON is no list: {_SHAPE}")
    for index, item in enumerate(cast(list[Any], items)):
        yield _json_row(f"questions[{index}]", item)


def _json_row(place: str, item: Any) -> _Row:
    if not isinstance(item, dict):
        return _Row("", place, (), (Problem(place, "this is no object"),))
    fields = cast(dict[str, Any], item)
    question = fields.get("question")
    problems: list[Problem] = []
    if unknown := sorted(set(fields) - {"question", "document", "documents"}):
        problems.append(Problem(f"{place}.{unknown[0][:60]}", "there is no such field"))
    if not isinstance(question, str):
        problems.append(Problem(f"{place}.question", "a text is needed"))
    documents = _json_documents(place, fields)
    if not documents:
        problems.append(Problem(f"{place}.documents", "no document is named"))
    question = question if isinstance(question, str) else ""
    return _Row(question, f"{place}.question", documents, tuple(problems))


def _json_documents(place: str, fields: Mapping[str, Any]) -> tuple[Reference, ...]:
    """What is no text counts as empty, and is refused with its place."""
    if "documents" not in fields:
        one = fields.get("document")
        return (Reference(_text(one), f"{place}.document"),) if one is not None else ()
    given = fields["documents"]
    several = cast(list[Any], given) if isinstance(given, list) else [given]
    return tuple(
        Reference(_text(one), f"{place}.documents[{index}]") for index, one in enumerate(several)
    )


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _refused(why: str, reason: str = "QUESTIONS_INVALID") -> InvalidArgument:
    return InvalidArgument(why, field="content", reason=reason)
