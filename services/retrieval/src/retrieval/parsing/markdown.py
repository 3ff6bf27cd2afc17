"""Markdown (CommonMark with tables): rendered to plain text that reads well as a quote.

Marks of emphasis and the targets of links go; list markers, table rows and code stay.
"""

import re
from collections.abc import Iterator

import yaml
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from retrieval.parsing import html
from retrieval.parsing.document import BlockKind, DocumentBuilder, ParsedDocument
from retrieval.parsing.sniff import MARKDOWN

_FRONT_MATTER = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)
_ALERT = re.compile(r"\A\[!(?P<kind>[A-Za-z]+)\][ \t]*")
_MAX_FRONT_MATTER_CHARS = 20_000
_KINDS = {
    "bullet_list": BlockKind.LIST,
    "ordered_list": BlockKind.LIST,
    "table": BlockKind.TABLE,
    "fence": BlockKind.CODE,
    "code_block": BlockKind.CODE,
}


def parse(text: str, max_chars: int) -> ParsedDocument:
    """A document whose title is its front matter's, else its first heading's of level 1."""
    title, body = _front_matter(text)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    builder = DocumentBuilder(max_chars)
    for node in SyntaxTreeNode(parser.parse(body)).children:
        if node.type == "heading":
            builder.heading(int(node.tag[1]), _inline(node))
        elif node.type == "html_block":
            html.add_fragment(builder, node.content)
        else:
            builder.add(_KINDS.get(node.type, BlockKind.PARAGRAPH), _block(node))
    return builder.build(MARKDOWN, title)


def _front_matter(text: str) -> tuple[str, str]:
    match = _FRONT_MATTER.match(text)
    if match is None or len(match["yaml"]) > _MAX_FRONT_MATTER_CHARS:
        return "", text
    try:
        values = yaml.safe_load(match["yaml"])
    except (yaml.YAMLError, ValueError, RecursionError):
        values = None
    title = values.get("title") if isinstance(values, dict) else None
    return (str(title) if isinstance(title, str | int | float) else ""), text[match.end() :]


def _block(node: SyntaxTreeNode) -> str:
    match node.type:
        case "paragraph" | "heading":
            return _inline(node)
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "table":
            return "\n".join(_rows(node))
        case "fence" | "code_block":
            return node.content.rstrip("\n")
        case "html_block":
            return html.plain(node.content)
        case "blockquote":
            return _ALERT.sub(_alert, "\n".join(_block(child) for child in node.children))
        case _:
            return "\n".join(_block(child) for child in node.children)


def _alert(match: re.Match[str]) -> str:
    return f"{match['kind'].capitalize()}: "


def _list(node: SyntaxTreeNode) -> str:
    number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
    lines: list[str] = []
    for offset, item in enumerate(node.children):
        marker = "- " if number is None else f"{number + offset}. "
        body = "\n".join(_block(child) for child in item.children)
        lines.append(marker + body.replace("\n", "\n" + " " * len(marker)))
    return "\n".join(lines)


def _rows(table: SyntaxTreeNode) -> Iterator[str]:
    for section in table.children:
        for row in section.children:
            yield " | ".join(" ".join(_inline(cell).split()) for cell in row.children)


def _inline(node: SyntaxTreeNode) -> str:
    return "".join(_inline_piece(piece) for child in node.children for piece in child.children)


def _inline_piece(node: SyntaxTreeNode) -> str:
    match node.type:
        case "text" | "code_inline" | "text_special":
            return node.content
        case "softbreak":
            return " "
        case "hardbreak":
            return "\n"
        case "html_inline":
            return "\n" if node.content.lower().startswith("<br") else ""
        case "image":
            return node.content
        case _:
            return "".join(_inline_piece(child) for child in node.children)
