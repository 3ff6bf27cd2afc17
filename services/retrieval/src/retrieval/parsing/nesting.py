"""Keeps HTML from nesting so deep that its parser, which looks up the whole way, takes minutes."""

import re
from collections.abc import Iterator

# As deep as browsers go.
MAX_DEPTH = 500
_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|textarea|title)\b.*?(?:</\1|\Z)"
    r"|<(?P<close>/?)(?P<name>[a-z][^\s/>]*)[^>]*>",
    re.IGNORECASE | re.DOTALL,
)
# Those that have no end, or end by themselves where the next one begins.
_SHALLOW_TAGS = """
    area base br col embed hr img input link meta source track wbr p li dt dd tr td th tbody thead
    tfoot option optgroup colgroup caption rp rt html head body
"""
_SHALLOW = frozenset(_SHALLOW_TAGS.split())


def flattened(markup: str) -> str:
    """The markup without the tags that lie deeper than `MAX_DEPTH`; what they hold stays."""
    if markup.count("<") <= MAX_DEPTH or not any(depth > MAX_DEPTH for _, depth in _tags(markup)):
        return markup
    kept: list[str] = []
    end = 0
    for match, depth in _tags(markup):
        if depth > MAX_DEPTH:
            kept += (markup[end : match.start()], " ")
            end = match.end()
    kept.append(markup[end:])
    return "".join(kept)


def _tags(markup: str) -> Iterator[tuple[re.Match[str], int]]:
    """Each tag that may nest, with the depth of its element; scripts and comments are left out."""
    depth = 0
    for match in _TAG.finditer(markup):
        name = match["name"]
        if name is None or name.lower() in _SHALLOW or match[0].endswith("/>"):
            continue
        if match["close"]:
            yield match, depth
            depth = max(depth - 1, 0)
        else:
            depth += 1
            yield match, depth
