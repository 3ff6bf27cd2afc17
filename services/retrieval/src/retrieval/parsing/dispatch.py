"""Bytes to a parsed document, whatever they are. Parsers are loaded when first needed."""

from collections.abc import Callable
from dataclasses import dataclass

from retrieval.parsing import sniff
from retrieval.parsing.document import ParsedDocument


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """The largest document that is read: code points of text, pages of a PDF."""

    max_chars: int = 2_000_000
    max_pages: int = 2_000


def parse(
    content: bytes, limits: ParseLimits, progress: Callable[[int], None] = lambda _: None
) -> ParsedDocument:
    """Sniffs the type and parses; DocumentError when the content can't be used."""
    found = sniff.sniff(content)
    match found.media_type:
        case sniff.PDF:
            from retrieval.parsing import pdf

            return pdf.parse(content, limits.max_chars, limits.max_pages, progress)
        case sniff.DOCX:
            from retrieval.parsing import docx

            return docx.parse(content, limits.max_chars)
        case sniff.CSV:
            from retrieval.parsing import table

            return table.parse(found.text, limits.max_chars)
        case sniff.HTML:
            from retrieval.parsing import html

            return html.parse(found.text, limits.max_chars)
        case sniff.MARKDOWN:
            from retrieval.parsing import markdown

            return markdown.parse(found.text, limits.max_chars)
        case _:
            from retrieval.parsing import text

            return text.parse(found.text, limits.max_chars)
