"""PDF through pypdf: page texts, without running headers and footers, as paragraphs."""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from retrieval.parsing.document import BlockKind, DocumentBuilder, ParsedDocument, clean, one_line
from retrieval.parsing.errors import DocumentError, too_much_text
from retrieval.parsing.sniff import PDF

_NUMBERED_HEADING = re.compile(r"(?P<number>\d{1,2}(?:\.\d{1,2}){0,3})\.?\s+[^\W\d_][^.;:!?]{2,70}")
_SENTENCE_END = re.compile(r"[.!?:;。！？]['\"”’)\]]*$")
_HYPHENATED = re.compile(r"(?<=[a-z])[-\u00ad]$")
_BULLET = re.compile(r"(?:[•◦▪‣–*-]|\d{1,2}[.)]|[a-z]\))\s+")
_FILE_NAME = re.compile(r"\.(?:docx?|pdf|indd|tex|rtf)$|^untitled", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_EDGE_LINES = 2
_MIN_PAGES_FOR_EDGES = 4
_SHORT_LINE_RATIO = 0.7
# What damaged files make pypdf raise besides its own errors; a crash is the worker's to report.
_DAMAGE = (
    PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError,
    ZeroDivisionError, OverflowError, RecursionError, NotImplementedError, OSError, EOFError,
)  # fmt: skip


def parse(
    content: bytes, max_chars: int, max_pages: int, progress: Callable[[int], None]
) -> ParsedDocument:
    """A document from the pages' text; `progress` is told the number of each page read."""
    reader = _open(content)
    page_count = _page_count(reader)
    if page_count > max_pages:
        raise DocumentError(
            "TOO_MANY_PAGES",
            f"The PDF has {page_count:,} pages; at most {max_pages:,} can be read. "
            "Split it into several files.",
        )
    pages = _pages(reader, page_count, max_chars, progress)
    builder = DocumentBuilder(max_chars)
    for page in _without_edges(pages):
        _add_page(builder, page)
    return _build(builder, _title(reader))


def _open(content: bytes) -> PdfReader:
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise _encrypted()
    except _DAMAGE as error:
        raise _broken() from error
    return reader


def _page_count(reader: PdfReader) -> int:
    try:
        count = len(reader.pages)
    except _DAMAGE as error:
        raise _broken() from error
    if count == 0:
        raise _broken()
    return count


def _pages(
    reader: PdfReader, count: int, max_chars: int, progress: Callable[[int], None]
) -> list[list[str]]:
    """The lines of each page. A damaged page is skipped; all damaged means a broken file."""
    pages: list[list[str]] = []
    damaged = 0
    length = 0
    for number in range(count):
        try:
            text = clean(reader.pages[number].extract_text())
        except _DAMAGE:
            damaged += 1
            text = ""
        length += len(text)
        if length > max_chars:
            raise too_much_text(length, max_chars)
        pages.append([line.strip() for line in text.split("\n")])
        progress(number + 1)
    if damaged == count:
        raise _broken()
    return pages


def _without_edges(pages: list[list[str]]) -> Iterator[list[str]]:
    """Drops first and last lines that most pages share but for their digits (page numbers)."""
    counts: Counter[str] = Counter()
    for page in pages:
        lines = [line for line in page if line]
        counts.update({_edge_key(line) for line in lines[:_EDGE_LINES] + lines[-_EDGE_LINES:]})
    enough = max(_MIN_PAGES_FOR_EDGES, (len(pages) + 1) // 2)
    repeated = {key for key, count in counts.items() if count >= enough}
    for page in pages:
        yield [line for line in page if not line or _edge_key(line) not in repeated]


def _edge_key(line: str) -> str:
    return _DIGITS.sub("0", line.lower())


def _add_page(builder: DocumentBuilder, lines: list[str]) -> None:
    width = max((len(line) for line in lines), default=0)
    paragraph = ""
    for line in [*lines, ""]:
        heading = _NUMBERED_HEADING.fullmatch(line)
        if paragraph and (not line or heading or _BULLET.match(line)):
            builder.add(BlockKind.PARAGRAPH, paragraph)
            paragraph = ""
        if heading is not None:
            # Level 1 would make the first one the title of the document.
            builder.heading(heading["number"].count(".") + 2, line)
        elif line:
            paragraph = _join(paragraph, line)
            # A short line that ends a sentence ends its paragraph: PDFs have no blank lines.
            if len(line) < width * _SHORT_LINE_RATIO and _SENTENCE_END.search(line):
                builder.add(BlockKind.PARAGRAPH, paragraph)
                paragraph = ""


def _join(paragraph: str, line: str) -> str:
    if _HYPHENATED.search(paragraph) and line[:1].islower():
        return paragraph[:-1] + line
    return f"{paragraph} {line}" if paragraph else line


def _title(reader: PdfReader) -> str:
    try:
        title = reader.metadata.title if reader.metadata else None
    except _DAMAGE:
        return ""
    name = one_line(title) if isinstance(title, str) else ""
    # Programs write their own file names here ("Microsoft Word - draft3.doc").
    return (
        "" if re.search(r"\.(?:docx?|pdf|indd|tex|rtf)$|^untitled", name, re.IGNORECASE) else name
    )


def _build(builder: DocumentBuilder, title: str) -> ParsedDocument:
    try:
        return builder.build(PDF, title)
    except DocumentError as error:
        if error.reason != "NO_TEXT":
            raise
        raise DocumentError(
            "NO_TEXT",
            "This PDF has no text, only pictures of pages (a scan). Run text recognition (OCR) on "
            "it and upload the result.",
        ) from error


def _encrypted() -> DocumentError:
    return DocumentError(
        "ENCRYPTED_PDF",
        "The PDF is protected by a password. Remove the password and upload it again.",
    )


def _broken() -> DocumentError:
    return DocumentError(
        "BROKEN_PDF", "The PDF is damaged and can't be read. Export it again from its source."
    )
