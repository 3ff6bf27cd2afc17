"""Markdown and HTML markup: what a reader sees of a piece of text."""

import html
import re

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# Bounded, so that brackets that never close cost little.
_IMAGE = re.compile(r"!\[[^\]\n]{0,300}\](?:\([^)\n]{0,2000}\)|\[[^\]\n]{0,300}\])")
_LINK = re.compile(
    r"\[([^\[\]\n]{1,300})\](?:\((?:[^()\n]|\([^()\n]{0,200}\)){0,2000}\)|\[[^\]\n]{0,300}\])"
)
_AUTOLINK = re.compile(r"<((?:https?|mailto):[^\s<>]+)>")
# The elements that texts are written with: "<name>" in a text that was cleaned is no markup.
_TAG = re.compile(
    r"</?(?:a|abbr|b|blockquote|br|caption|center|code|dd|del|details|div|dl|dt|em|figcaption|figure"
    r"|font|h[1-6]|hr|i|iframe|img|ins|kbd|li|mark|ol|p|picture|pre|q|s|samp|section|small|source"
    r"|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var|video)"
    r"(?:\s[^<>\n]{0,300}|/)?>",
    re.IGNORECASE,
)
_ADMONITION = re.compile(r"\[!(?:NOTE|TIP|IMPORTANT|WARNING|CAUTION|INFO)\]", re.IGNORECASE)
# A run of backticks is closed by one of the same length, and tried as a whole only.
_CODE = re.compile(r"(?<!`)(`++)\s?(.+?)\s?(?<!`)\1(?!`)", re.DOTALL)
_EMPHASIS = (
    re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])(.{1,500}?)(?<=[^\s*])\1(?![\w*])", re.DOTALL),
    re.compile(r"(?<![\w_])(_{1,3})(?=[^\s_])(.{1,500}?)(?<=[^\s_])\1(?![\w_])", re.DOTALL),
    re.compile(r"(~~)(?=\S)(.{1,500}?)(?<=\S)\1", re.DOTALL),
)
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|<>~])")
# Escaped characters and code hide in a private plane of Unicode while the markup is taken away.
_ESCAPED = 0xF0000
_RESTORED = re.compile("[\U000f0000-\U000f007f]")
_ATTRIBUTES = re.compile(r"\{[.#:][^{}\n]*\}")
_LOOSE_EMPHASIS = re.compile(r"\*{2,}|(?<!\w)_{2,}(?!\w)")
_QUOTE_MARK = re.compile(r"^[ \t]{0,3}>[ \t]?", re.MULTILINE)
_SPACES = re.compile(r"\s+")


# "Learn more about …", and the lists of contents that documentation begins with.
_POINTER = re.compile(
    r"(learn (more|how|about)|read (more|about)|see( also)?\b|for more|more information|refer to"
    r"|check out|in this article|on this page|contents|related|back to)",
    re.IGNORECASE,
)
_MOSTLY = 0.6


def points_elsewhere(text: str) -> bool:
    """Whether `text` rather sends the reader to another page than tells something."""
    shown = plain(text)
    if _POINTER.match(shown.lstrip("- ").split("\n")[0]):
        return True
    linked = sum(len(match[1]) for match in _LINK.finditer(text))
    return linked > _MOSTLY * max(1, len(shown))


def plain(text: str) -> str:
    """What a reader sees of `text`: without markup, on one line."""
    text = _ESCAPE.sub(lambda match: _hidden(match[1]), text)
    text = _CODE.sub(lambda match: _hidden(_literal(match[2])), text)
    text = _COMMENT.sub(" ", text)
    text = _QUOTE_MARK.sub("", text)
    text = _ADMONITION.sub(" ", text)
    # The alternative text of a picture describes what an answer cannot show.
    text = _IMAGE.sub(" ", text)
    text = _LINK.sub(r"\1", text)
    text = _AUTOLINK.sub(r"\1", text)
    text = _TAG.sub(" ", text)
    for emphasis in _EMPHASIS:
        text = emphasis.sub(r"\2", text)
    text = _LOOSE_EMPHASIS.sub("", _ATTRIBUTES.sub("", text))
    text = _RESTORED.sub(lambda match: chr(ord(match[0]) - _ESCAPED), html.unescape(text))
    return _SPACES.sub(" ", text).strip()


def _hidden(text: str) -> str:
    """The text with its ASCII characters in the private plane, where no markup is seen in them."""
    return "".join(chr(_ESCAPED + ord(one)) if ord(one) < 128 else one for one in text)


def _literal(code: str) -> str:
    """Code as it was written: a backslash in it escapes nothing."""
    return _RESTORED.sub(lambda match: "\\" + chr(ord(match[0]) - _ESCAPED), code)
