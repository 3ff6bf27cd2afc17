"""HTML: the text of the main content, without scripts, navigation and markup."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from retrieval.parsing.document import (
    BlockKind,
    DocumentBuilder,
    ParsedDocument,
    one_line,
    squeeze,
)
from retrieval.parsing.nesting import flattened
from retrieval.parsing.sniff import HTML

# Not content wherever they stand; `strip_tags` removes them with all they hold.
_DROPPED = [
    "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "embed",
    "canvas", "audio", "video", "form", "button", "input", "select", "textarea", "dialog",
    "nav", "aside", "footer", "head",
]  # fmt: skip
_DROPPED_ROLES = (
    "[role=navigation],[role=banner],[role=contentinfo],[role=search],[role=complementary],"
    "[aria-hidden=true],[hidden]"
)
_MAIN = ("main", "[role=main]", "article", "#content", "body")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_INLINE_TAGS = """
    a abbr b bdi bdo cite code data del dfn em font i img ins kbd label mark q rp rt ruby s samp
    small span strong sub sup time tt u var wbr
"""
_INLINE = frozenset(_INLINE_TAGS.split())
_LISTS = frozenset(("ul", "ol", "menu", "dl"))
_ANY_LIST = ", ".join(sorted(_LISTS))
_COUNT = re.compile(r"\d{1,6}")
# Deeper markup is read as flat text, so that hostile nesting can't exhaust the stack.
_MAX_DEPTH = 100


def parse(markup: str, max_chars: int) -> ParsedDocument:
    """The main part as a document; the title is <title>'s, else the first <h1>'s."""
    tree = LexborHTMLParser(flattened(markup))
    title = tree.css_first("title")
    name = one_line(title.text()) if title is not None else ""
    builder = DocumentBuilder(max_chars)
    root = main_part(tree)
    if root is not None:
        _Walker(builder).walk(root)
    return builder.build(HTML, name)


def add_fragment(builder: DocumentBuilder, markup: str) -> None:
    """Adds the content of an HTML fragment to a document of another type."""
    root = main_part(LexborHTMLParser(flattened(markup)))
    if root is not None:
        _Walker(builder).walk(root)


def plain(markup: str) -> str:
    """The visible text of a fragment."""
    root = main_part(LexborHTMLParser(flattened(markup)))
    return squeeze(_text(root, 0)) if root is not None else ""


def main_part(tree: LexborHTMLParser) -> LexborNode | None:
    """The element with the page's own content; what is none is taken out of the tree."""
    tree.strip_tags(_DROPPED)
    for node in tree.css(_DROPPED_ROLES):
        if node.tag not in ("body", "html", "main"):
            node.decompose()
    body = tree.body
    if body is None:
        return None
    whole = len(one_line(body.text()))
    for selector in _MAIN:
        node = tree.css_first(selector)
        # A page whose <article> is only a teaser keeps its whole body.
        if node is not None and len(one_line(node.text())) * 4 >= whole:
            return node
    return body


class _Walker:
    """Turns a tree into blocks; inline content gathers until a block element ends it."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._pending: list[str] = []

    def walk(self, node: LexborNode) -> None:
        """Adds everything under `node`."""
        self._children(node, 0)
        self._flush()

    def _children(self, node: LexborNode, depth: int) -> None:
        for child in node.iter(include_text=True):
            self._visit(child, depth)

    def _visit(self, node: LexborNode, depth: int) -> None:
        tag = node.tag or ""
        if node.is_text_node or tag in _INLINE or tag == "br":
            self._pending.append(_text(node, depth))
            return
        self._flush()
        if tag in _HEADINGS:
            self._builder.heading(_HEADINGS[tag], _text(node, depth))
        elif tag in _LISTS:
            self._builder.add(BlockKind.LIST, "\n".join(_list_lines(node, depth)))
        elif tag == "pre":
            self._builder.add(BlockKind.CODE, node.text())
        elif tag == "table":
            self._builder.add(BlockKind.TABLE, "\n".join(_rows(node)))
        elif depth >= _MAX_DEPTH:
            self._builder.add(BlockKind.PARAGRAPH, squeeze(node.text(separator=" ")))
        else:
            self._children(node, depth + 1)
            self._flush()

    def _flush(self) -> None:
        text = squeeze("".join(self._pending))
        self._pending.clear()
        self._builder.add(BlockKind.PARAGRAPH, text)


def _text(node: LexborNode, depth: int) -> str:
    """Visible text; block children and <br> break the line, source line breaks are spaces."""
    if node.is_text_node:
        return (node.text() or "").replace("\n", " ").replace("\r", " ")
    tag = node.tag or ""
    if tag == "br":
        return "\n"
    if tag == "img":
        return node.attributes.get("alt") or ""
    if tag == "pre":
        return f"\n{node.text()}\n"
    if depth >= _MAX_DEPTH:
        return node.text(separator=" ")
    inner = "".join(_text(child, depth + 1) for child in node.iter(include_text=True))
    return inner if tag in _INLINE else f"\n{inner}\n"


def _list_lines(node: LexborNode, depth: int) -> Iterator[str]:
    number = _whole(node, "start", 1) if node.tag == "ol" else None
    for item in node.iter():
        if item.tag in _LISTS and depth < _MAX_DEPTH:
            yield from ("  " + line for line in _list_lines(item, depth + 1))
            continue
        marker = "" if item.tag in ("dt", "dd") else "- "
        if number is not None:
            number = _whole(item, "value", number)
            marker, number = f"{number}. ", number + 1
        yield from _item_lines(item, marker, depth)


def _whole(node: LexborNode, name: str, otherwise: int) -> int:
    """An attribute that is a whole number, as far as pages have any."""
    value = (node.attributes.get(name) or "").strip()
    return int(value) if _COUNT.fullmatch(value) else otherwise


def _item_lines(item: LexborNode, marker: str, depth: int) -> Iterator[str]:
    """The item's lines in their order, lists inside of it among them."""
    lines: list[str] = []
    pending: list[str] = []
    for part in _parts(item, depth):
        if isinstance(part, str):
            pending.append(part)
        elif part.tag in _LISTS and depth < _MAX_DEPTH:
            lines += _own_lines(pending, is_first=not lines)
            lines += _list_lines(part, depth + 1)
        else:
            pending.append(_text(part, depth + 1))
    lines += _own_lines(pending, is_first=not lines)
    indent = " " * len(marker)
    yield marker + lines[0]
    yield from (indent + line for line in lines[1:])


def _parts(node: LexborNode, depth: int) -> Iterator[LexborNode | str]:
    """What stands in an item, in order; a box with a list in it is opened, between line breaks."""
    for child in node.iter(include_text=True):
        is_box = child.is_element_node and child.tag not in _INLINE | _LISTS | {"table"}
        if is_box and depth < _MAX_DEPTH and child.css_first(_ANY_LIST) is not None:
            yield "\n"
            yield from _parts(child, depth + 1)
            yield "\n"
        else:
            yield child


def _own_lines(pending: list[str], *, is_first: bool) -> list[str]:
    """The lines of what was gathered, which begin an item even when they are empty."""
    text = squeeze("".join(pending))
    pending.clear()
    return text.split("\n") if text or is_first else []


def _rows(table: LexborNode) -> Iterator[str]:
    """Its own rows; a table inside of a cell is that cell's text."""
    for part in table.iter():
        if part.tag == "caption":
            yield one_line(_text(part, 0))
        for row in [part] if part.tag == "tr" else part.iter():
            cells = [one_line(_text(cell, 0)) for cell in row.iter() if cell.tag in ("th", "td")]
            if any(cells):
                yield " | ".join(cells)
