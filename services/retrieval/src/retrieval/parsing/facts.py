"""What is found out about a website's files in the worker, as the service sees it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageFacts:
    """`links` lead to the same origin and may be followed; `canonical` is "" when not given.

    `unwanted` says that the page asks not to be listed, `only_links` that it has nothing else.
    """

    links: tuple[str, ...] = ()
    canonical: str = ""
    unwanted: bool = False
    only_links: bool = False


@dataclass(frozen=True, slots=True)
class RobotsFacts:
    """Which of the addresses asked about may be fetched, the pause wanted, and the sitemaps."""

    allowed: tuple[str, ...]
    crawl_delay_s: float
    sitemaps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SitemapFacts:
    """Addresses of pages with when they last changed ("" when not said), and of sitemaps."""

    pages: tuple[tuple[str, str], ...]
    sitemaps: tuple[str, ...]
