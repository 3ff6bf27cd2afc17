"""What a file is, from its bytes alone. A name or a declared type is never believed."""

import csv
import re
from dataclasses import dataclass

import puremagic

from retrieval.parsing.charset import decode
from retrieval.parsing.errors import empty_file, unsupported_type

CSV = "text/csv"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
PDF = "application/pdf"
TEXT = "text/plain"

_PDF_WINDOW = 1024
_TEXT_WINDOW = 65_536
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:.*\n){0,200}?---[ \t]*(?:\n|\Z)")
# Possessive: what was read as comments is not tried again in all the ways to divide it.
_HTML_START = re.compile(
    r"\A\s*(?:<!--.*?-->\s*)*+<(?:!doctype\s+html|html|head|body|article|main|section|div|h[1-6]|p"
    r"|table|ul|ol|title|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
_XML_HTML = re.compile(r"\A\s*<\?xml[^>]*\?>\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_MARKDOWN = re.compile(
    r"""^(?:\#{1,6}[ \t]+\S              # heading
        |[ \t]*[-*+][ \t]+\S             # bullet
        |[ \t]*\d{1,3}[.)][ \t]+\S       # step
        |(?:```|~~~)                     # fence
        |\|.*\|[ \t]*$|>[ \t]            # table, quote
        |\S.*\n(?:={3,}|-{3,})[ \t]*$    # underlined heading
        )|\]\([^)\s]{1,500}\)|\*\*\S|`[^`\n]+` # link, strong, code""",
    re.MULTILINE | re.VERBOSE,
)
_NAMED_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"{\\rtf", "a Rich Text (RTF) file"),
    (b"%!PS", "a PostScript file"),
    (b"PK\x03\x04", "a ZIP archive or Office document"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
)
_DOCX_PART = b"word/document.xml"
_QUESTION_NAMES = "question questions frage fragen pregunta domanda vraag q"
_QUESTIONS = frozenset(_QUESTION_NAMES.split())
_ANSWER_NAMES = "answer answers response antwort antworten réponse respuesta risposta antwoord a"
_ANSWERS = frozenset(_ANSWER_NAMES.split())
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Sniffed:
    """The media type, and the decoded text where it is a text type."""

    media_type: str
    text: str = ""


def sniff(content: bytes) -> Sniffed:
    """The type of `content`; DocumentError when it is empty, unknown or undecodable."""
    refuse_early(content)
    if _is_pdf(content):
        return Sniffed(PDF)
    if _is_docx(content):
        return Sniffed(DOCX)
    text = decode(content)
    if text is None:
        raise unsupported_type(_binary_name(content))
    return Sniffed(_text_type(text[:_TEXT_WINDOW]), text)


def refuse_early(content: bytes) -> None:
    """DocumentError for what a look at its bytes shows to be empty or of no use; cheap and safe."""
    if not content.strip(b"\x00 \t\r\n\x0c"):
        raise empty_file()
    if _is_pdf(content) or _is_docx(content):
        return
    for start, name in _NAMED_STARTS:
        # "MZ" may begin a text; a program has zero bytes near its start.
        if content.startswith(start) and (start != b"MZ" or b"\x00" in content[:256]):
            raise unsupported_type(name)
    if _looks_binary(content):
        raise unsupported_type(_binary_name(content))


def _is_pdf(content: bytes) -> bool:
    return b"%PDF-" in content[:_PDF_WINDOW]


def _is_docx(content: bytes) -> bool:
    return content.startswith(b"PK\x03\x04") and _DOCX_PART in content


@dataclass(frozen=True, slots=True)
class QuestionTable:
    """Where questions and answers stand in a table's rows."""

    delimiter: str
    question: int
    answer: int


def question_and_answer(text: str) -> QuestionTable | None:
    """The columns of questions and answers by the names in the first row; None without both."""
    first = text.lstrip("\ufeff").partition("\n")[0][:2_000]
    for delimiter in (",", ";", "\t"):
        try:
            row = next(csv.reader([first], delimiter=delimiter), [])
        except csv.Error:
            continue
        names = [name.strip().casefold() for name in row]
        question = next((i for i, name in enumerate(names) if name in _QUESTIONS), None)
        answer = next((i for i, name in enumerate(names) if name in _ANSWERS), None)
        if question is not None and answer is not None:
            return QuestionTable(delimiter, question, answer)
    return None


def _looks_binary(content: bytes) -> bool:
    window = content[:_TEXT_WINDOW]
    if window.startswith(_UTF16_MARKS):
        return False
    controls = sum(window.count(bytes([b])) for b in (*range(9), *range(14, 27), *range(28, 32)))
    return b"\x00" in window or controls * 50 > len(window)


def _text_type(text: str) -> str:
    if _HTML_START.match(text) or _XML_HTML.match(text):
        return HTML
    if text.lstrip().startswith(("<?xml", "<svg")):
        raise unsupported_type("an XML file")
    if question_and_answer(text) is not None:
        return CSV
    if _FRONT_MATTER.match(text) or _MARKDOWN.search(text):
        return MARKDOWN
    return TEXT


def _binary_name(content: bytes) -> str:
    """What a binary file is, with its article, as far as its signature tells."""
    try:
        media_type = puremagic.from_string(content[: _TEXT_WINDOW * 4], mime=True)
    except (puremagic.PureError, ValueError, IndexError):
        media_type = ""
    family = media_type.partition("/")[0]
    if family in ("image", "audio", "video", "font"):
        article = "an" if family in ("image", "audio") else "a"
        return f"{article} {family} file ({media_type})"
    return f"a binary file ({media_type})" if media_type else "an unknown kind of binary file"
