"""Sitemaps: addresses of pages, or of further sitemaps. Streamed, so that size does not matter."""

import io
import zlib
from typing import Any

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it has no types

from retrieval.parsing.errors import DocumentError
from retrieval.parsing.facts import SitemapFacts
from retrieval.parsing.robots import read as read_robots

# What the sitemap protocol allows in one file.
MAX_UNPACKED_BYTES = 52_428_800
MAX_ENTRIES = 50_000
_MAX_URL_CHARS = 2_048
_GZIP = b"\x1f\x8b"


def read(content: bytes, robots: str) -> SitemapFacts:
    """The entries of a sitemap, XML or plain text, gzip or not, that robots.txt allows.

    DocumentError when it is none.
    """
    content = _unpacked(content)
    facts = _xml(content) if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else None
    facts = facts or _lines(content)
    allowed = frozenset(read_robots(robots, (url for url, _ in facts.pages)).allowed)
    return SitemapFacts(
        tuple(entry for entry in facts.pages if entry[0] in allowed), facts.sitemaps
    )


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(_GZIP):
        return content
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        unpacked = inflate.decompress(content, MAX_UNPACKED_BYTES + 1)
    except zlib.error as error:
        raise _broken() from error
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise DocumentError("TOO_LARGE", "Unpacked, the sitemap is larger than 50 MiB.")
    return unpacked


def _xml(content: bytes) -> SitemapFacts:
    pages: list[tuple[str, str]] = []
    sitemaps: list[str] = []
    try:
        for _, element in etree.iterparse(
            io.BytesIO(content), resolve_entities=False, no_network=True, recover=True
        ):
            match etree.QName(element).localname:
                case "url":
                    pages.append(_entry(element))
                case "sitemap":
                    sitemaps.append(_entry(element)[0])
                case _:
                    continue
            element.clear()
            if len(pages) + len(sitemaps) >= MAX_ENTRIES:
                break
    except (etree.LxmlError, ValueError) as error:
        if not pages and not sitemaps:
            raise _broken() from error
    if not pages and not sitemaps:
        raise _broken()
    return SitemapFacts(
        tuple(entry for entry in pages if entry[0]), tuple(url for url in sitemaps if url)
    )


def _entry(element: Any) -> tuple[str, str]:
    found = {"loc": "", "lastmod": ""}
    for child in element:
        if isinstance(child.tag, str) and (name := etree.QName(child).localname) in found:
            found[name] = (child.text or "").strip()
    return (found["loc"] if len(found["loc"]) <= _MAX_URL_CHARS else "", found["lastmod"][:64])


def _lines(content: bytes) -> SitemapFacts:
    """The text form: an address on each line."""
    lines = content.decode("utf-8", errors="replace").lstrip("\ufeff").split("\n")[:MAX_ENTRIES]
    urls = [line.strip() for line in lines if line.strip().startswith(("http://", "https://"))]
    if not urls:
        raise _broken()
    return SitemapFacts(tuple((url, "") for url in urls if len(url) <= _MAX_URL_CHARS), ())


def _broken() -> DocumentError:
    return DocumentError(
        "BROKEN_SITEMAP",
        "There is no sitemap at this address: nothing in it names a page. Check the address, or "
        "read the site by following its links.",
    )
