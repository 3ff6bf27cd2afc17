"""One reading of a URL: what is checked here is exactly what is asked for."""

import re
from ipaddress import AddressValueError, IPv4Address, ip_address

from yarl import URL

from fleetkit.fetch.errors import invalid

MAX_URL_CHARS = 2_048
# What readers of URLs disagree about.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f-\xa0\\<>^`{|}\"\u2028\u2029]")
_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")


def checked_url(url: str) -> URL:
    """The URL without its fragment; FetchError URL_INVALID unless it is plain http or https.

    Refused are names and passwords in it, spellings that readers disagree about, and hosts that
    are numbers in any other spelling than an IPv4 address's own ("2130706433", "0x7f.1", "127.1").
    """
    if len(url) > MAX_URL_CHARS:
        raise invalid(f"it is longer than {MAX_URL_CHARS:,} characters")
    if _AMBIGUOUS.search(url):
        raise invalid("it has a space or a character that does not belong into an address")
    try:
        parsed = URL(url)
        host, port = parsed.host or "", parsed.port
        userinfo = parsed.raw_authority.rpartition("@")[1]
    except (ValueError, UnicodeError):
        raise invalid("it can't be read") from None
    if parsed.scheme not in ("http", "https"):
        raise invalid("it does not start with http:// or https://")
    if userinfo:
        raise invalid("it has a name or password in it")
    if not 1 <= (port or 0) <= 65_535:
        raise invalid("its port is no port")
    _check_host(parsed.raw_host or "", host)
    parsed = parsed.with_fragment(None)
    return parsed if parsed.raw_path != "/" else parsed.with_path("/", keep_query=True)


def _check_host(raw: str, host: str) -> None:
    """FetchError unless it is a name, or an IP address in its own spelling."""
    if not raw:
        raise invalid("it names no host")
    if ":" in raw:
        _check_v6(raw)
        return
    name = raw.removesuffix(".")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            IPv4Address(host)
        except (AddressValueError, ValueError):
            raise invalid("its host is a number") from None
    elif not _HOST.fullmatch(name) or ".." in name:
        raise invalid("its host is no name")


def _check_v6(raw: str) -> None:
    try:
        ip_address(raw)
    except ValueError:
        raise invalid("its host is no name") from None
