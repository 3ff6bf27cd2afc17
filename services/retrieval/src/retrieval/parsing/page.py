"""A fetched page: where it leads, and whether it is a document of its own."""

from collections.abc import Iterable, Iterator
from urllib.parse import urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser

from retrieval.parsing import html
from retrieval.parsing.document import one_line
from retrieval.parsing.facts import PageFacts
from retrieval.parsing.nesting import flattened
from retrieval.parsing.robots import read as read_robots
from retrieval.parsing.sniff import HTML, sniff

MAX_LINKS = 2_000
_MAX_URL_CHARS = 2_048
_MAX_LINK_SHARE = 0.8
_AGENTS = ("robots", "fleetdeskbot")
# Nothing to read in them, so they are not fetched.
_OTHER_FILES = frozenset(
    (
        ".7z", ".avi", ".bmp", ".bz2", ".css", ".dmg", ".doc", ".eot", ".exe", ".gif", ".gz",
        ".ico", ".iso", ".jar", ".jpeg", ".jpg", ".js", ".json", ".mov", ".mp3", ".mp4", ".mpg",
        ".msi", ".ogg", ".png", ".ppt", ".pptx", ".rar", ".rss", ".svg", ".tar", ".tgz", ".ttf",
        ".wav", ".webm", ".webp", ".woff", ".woff2", ".xls", ".xlsx", ".xml", ".zip",
    )
)  # fmt: skip


def read(content: bytes, url: str, robots: str) -> PageFacts:
    """The facts of a page found at `url`; of what is not HTML there are none."""
    sniffed = sniff(content)
    if sniffed.media_type != HTML:
        return PageFacts()
    tree = LexborHTMLParser(flattened(sniffed.text))
    wishes = _wishes(tree)
    base = _base(tree, url)
    links: Iterable[str] = () if "nofollow" in wishes or "none" in wishes else _links(tree, base)
    origin = _origin(url)
    inside = [link for link in dict.fromkeys(links) if _origin(link) == origin][:MAX_LINKS]
    canonical = tree.css_first("link[rel=canonical]")
    href = canonical.attributes.get("href") if canonical is not None else ""
    return PageFacts(
        links=read_robots(robots, inside).allowed,
        canonical=_joined(base, href or "") if href else "",
        unwanted="noindex" in wishes or "none" in wishes,
        only_links=_only_links(tree),
    )


def _wishes(tree: LexborHTMLParser) -> set[str]:
    wishes: set[str] = set()
    for meta in tree.css("meta[name][content]"):
        if (meta.attributes.get("name") or "").lower() in _AGENTS:
            content = (meta.attributes.get("content") or "").lower()
            wishes.update(part.strip() for part in content.split(","))
    return wishes


def _base(tree: LexborHTMLParser, url: str) -> str:
    node = tree.css_first("base[href]")
    return (_joined(url, node.attributes.get("href") or "") or url) if node is not None else url


def _links(tree: LexborHTMLParser, base: str) -> Iterator[str]:
    for node in tree.css("a[href]"):
        if "nofollow" in (node.attributes.get("rel") or "").lower().split():
            continue
        link = _joined(base, node.attributes.get("href") or "")
        if link and not _is_other_file(link):
            yield link


def _joined(base: str, href: str) -> str:
    """The absolute address without its fragment; "" for what is none."""
    try:
        link = urljoin(base, href.strip()).partition("#")[0]
        parts = urlsplit(link)
    except ValueError:
        return ""
    usable = parts.scheme in ("http", "https") and parts.netloc and len(link) <= _MAX_URL_CHARS
    return link if usable else ""


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _is_other_file(link: str) -> bool:
    name = urlsplit(link).path.rpartition("/")[2].lower()
    return "." in name and name[name.rindex(".") :] in _OTHER_FILES


def _only_links(tree: LexborHTMLParser) -> bool:
    """Whether the page's own text is made of links, as lists of articles are."""
    root = html.main_part(tree)
    if root is None:
        return False
    anchors = sum(len(one_line(node.text())) for node in root.css("a[href]"))
    headings = sum(len(one_line(node.text())) for node in root.css("h1,h2,h3,h4,h5,h6"))
    text = len(one_line(root.text())) - headings
    return anchors > 0 and anchors >= _MAX_LINK_SHARE * max(text, 1)
