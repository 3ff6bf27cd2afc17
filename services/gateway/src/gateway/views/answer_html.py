"""An answer's Markdown as safe HTML, with its citations as footnotes."""

from collections.abc import Sequence
from functools import cache

import nh3
from fleetdesk.conversation.v1 import conversation_pb2 as conv
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

# A character of the private use area stands for "footnote n here" while Markdown is rendered.
_FOOTNOTE_BASE = 0xE000
_FOOTNOTE_LIMIT = 500
_TAGS = {
    "p", "br", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "a", "hr",
    "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "del",
}  # fmt: skip


@cache
def _markdown() -> MarkdownIt:
    return (
        MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image")
    )


def plain_html(text: str) -> Markup:
    """Text as it was typed: lines kept, nothing interpreted."""
    return Markup("<br>").join(escape(line) for line in text.splitlines())


def answer_html(message: conv.Message, why_href: str) -> Markup:
    """The answer with footnotes that link to the quotes in the pane at `why_href`."""
    marked = _with_marks(_without_private_use(message.text), message.citations)
    html = _markdown().render(marked)
    html = html.replace("<h1>", "<h3>").replace("</h1>", "</h3>")
    html = html.replace("<h2>", "<h3>").replace("</h2>", "</h3>")
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    for number, citation in enumerate(message.citations[:_FOOTNOTE_LIMIT], start=1):
        clean = clean.replace(chr(_FOOTNOTE_BASE + number), _footnote(number, citation, why_href))
    return Markup(clean)  # noqa: S704 - cleaned by nh3 above; footnotes are built from escaped parts


def _without_private_use(text: str) -> str:
    end = _FOOTNOTE_BASE + _FOOTNOTE_LIMIT
    return "".join("\ufffd" if _FOOTNOTE_BASE <= ord(char) <= end else char for char in text)


def _with_marks(text: str, citations: Sequence[conv.MessageCitation]) -> str:
    """The text with a mark after each cited part, last first so that positions stay true."""
    numbered = list(enumerate(citations, start=1))[:_FOOTNOTE_LIMIT]
    for number, citation in sorted(
        numbered, key=lambda entry: (entry[1].answer_end, entry[0]), reverse=True
    ):
        at = citation.answer_end or len(text)
        text = text[:at] + chr(_FOOTNOTE_BASE + number) + text[at:]
    return text


def _footnote(number: int, citation: conv.MessageCitation, why_href: str) -> str:
    title = escape(citation.title or "the document")
    return (
        f'<a class="foot" href="{escape(why_href)}#passage-{escape(citation.chunk_id)}"'
        f' aria-label="Source {number}: {title}">{number}</a>'
    )
