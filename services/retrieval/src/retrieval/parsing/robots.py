"""What a site's robots.txt asks of us. Its patterns are other people's: read in the worker only."""

from collections.abc import Iterable

from protego import Protego

from retrieval.parsing.facts import RobotsFacts

AGENT = "FleetdeskBot"
# What RFC 9309 says must be read; the rest is ignored.
MAX_BYTES = 512 * 1024
_MAX_SITEMAPS = 50


def read(robots: str, urls: Iterable[str]) -> RobotsFacts:
    """The facts of a robots.txt for our agent; "" allows everything."""
    rules = Protego.parse(robots)
    delay = rules.crawl_delay(AGENT)
    sitemaps = [url.strip() for url in rules.sitemaps][:_MAX_SITEMAPS]
    return RobotsFacts(
        allowed=tuple(url for url in urls if rules.can_fetch(url, AGENT)),
        crawl_delay_s=max(float(delay or 0.0), 0.0),
        sitemaps=tuple(sitemaps),
    )
