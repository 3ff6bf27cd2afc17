"""Plain text: paragraphs are separated by blank lines."""

import re

from retrieval.parsing.document import BlockKind, DocumentBuilder, ParsedDocument, clean
from retrieval.parsing.sniff import TEXT

_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def parse(text: str, max_chars: int) -> ParsedDocument:
    """A document without headings and title."""
    builder = DocumentBuilder(max_chars)
    for paragraph in _BLANK_LINES.split(clean(text)):
        builder.add(BlockKind.PARAGRAPH, paragraph)
    return builder.build(TEXT, "")
