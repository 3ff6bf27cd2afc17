"""Word documents (DOCX): headings by their styles, lists and tables, but no pictures."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from docx.opc.exceptions import OpcError

from retrieval.parsing.document import BlockKind, DocumentBuilder, ParsedDocument, one_line
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.sniff import DOCX

_MAX_UNPACKED_BYTES = 200 * 2**20
_MAX_PARTS = 5_000
# What python-docx and zipfile let pass when they stumble; DocumentError is none of them.
_DAMAGED = (
    KeyError, IndexError, ValueError, TypeError, AttributeError, AssertionError, OSError,
    RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error, OpcError,
)  # fmt: skip


def parse(content: bytes, max_chars: int) -> ParsedDocument:
    """A document whose title is its properties', else that of its style "Title"."""
    import docx
    from lxml.etree import LxmlError

    _check_size(content)
    builder = DocumentBuilder(max_chars)
    try:
        title = _read(docx.Document(io.BytesIO(content)), builder)
    except (LxmlError, *_DAMAGED) as error:
        raise _broken() from error
    return builder.build(DOCX, title)


def _read(document: Any, builder: DocumentBuilder) -> str:
    """Adds all blocks; returns the title."""
    title = one_line(document.core_properties.title or "")
    items: list[str] = []
    for block in document.iter_inner_content():
        if line := _list_line(block):
            items.append(line)
            continue
        builder.add(BlockKind.LIST, "\n".join(items))
        items.clear()
        if hasattr(block, "rows"):
            builder.add(BlockKind.TABLE, "\n".join(_rows(block)))
        elif level := _heading_level(block):
            builder.heading(level, block.text)
        elif _style(block) == "title":
            title = title or one_line(block.text)
        else:
            builder.add(BlockKind.PARAGRAPH, block.text)
    builder.add(BlockKind.LIST, "\n".join(items))
    return title


def _check_size(content: bytes) -> None:
    """DocumentError for an archive that is broken, or a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except _DAMAGED as error:
        raise _broken() from error
    if len(parts) > _MAX_PARTS or sum(part.file_size for part in parts) > _MAX_UNPACKED_BYTES:
        raise DocumentError(
            "PARSE_OUT_OF_MEMORY",
            "Unpacked, this document is larger than a document may be. Split it into several, or "
            "take out its pictures.",
        )


def _style(block: Any) -> str:
    style = block.style
    return (style.name or "").casefold() if style is not None else ""


def _heading_level(block: Any) -> int | None:
    name, _, number = _style(block).rpartition(" ")
    return min(int(number), 6) if name == "heading" and number in "123456789" else None


def _list_line(block: Any) -> str:
    """The line of a list's item; "" for what is none."""
    if hasattr(block, "rows") or _heading_level(block):
        return ""
    properties = block.paragraph_format.element.pPr
    number = properties.numPr if properties is not None else None
    text = one_line(block.text)
    if not text or (number is None and not _style(block).startswith("list ")):
        return ""
    depth = number.ilvl.val if number is not None and number.ilvl is not None else 0
    return f"{'  ' * min(depth, 8)}- {text}"


def _rows(table: Any) -> Iterator[str]:
    for row in table.rows:
        cells = [one_line(cell.text) for cell in row.cells]
        if any(cells):
            yield " | ".join(cells)


def _broken() -> DocumentError:
    return DocumentError(
        "BROKEN_DOCX",
        "This Word document is damaged and can't be opened. Open it in Word, save it again and "
        "upload that.",
    )
