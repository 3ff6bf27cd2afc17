"""Fetching with the address checked where it counts: on the socket, when it is connected.

A host is resolved once; its addresses are checked, and the connection goes to one of those and no
other, so that a name which changes its answer gains nothing. The same is done for each redirect.
"""

import asyncio
import socket
import ssl
import zlib
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from fleetkit.fetch.addresses import AddressPolicy
from fleetkit.fetch.errors import FetchError, forbidden, invalid
from fleetkit.fetch.urls import checked_url

_REDIRECTS = (301, 302, 303, 307, 308)
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one fetch may take: time in all and until connected, bytes unpacked, redirects."""

    total_s: float = 15.0
    connect_s: float = 5.0
    max_bytes: int = 20 * 2**20
    max_redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, whatever its status; `url` is where the last redirect led."""

    url: str
    status: int
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes


class _Refused(OSError):
    """Raised into the client where an address may not be reached."""


class _CheckedResolver(AbstractResolver):
    """Passes on those addresses of a name that may be reached."""

    def __init__(self, inner: AbstractResolver, policy: AddressPolicy) -> None:
        self._inner = inner
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        kept = [entry for entry in found if self._policy.permits(entry["host"], port)]
        if found and not kept:
            raise _Refused("no address of this name may be reached")
        return kept

    async def close(self) -> None:
        await self._inner.close()


class Fetcher:
    """Fetches public pages by GET; close it, or use it as a context manager.

    It sends no cookies, no credentials and no referrer, and goes through no proxy.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        user_agent: str,
        limits: FetchLimits | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._policy = policy
        self._user_agent = user_agent
        self._limits = limits or FetchLimits()
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self, url: str, *, accept: str = "*/*", etag: str = "", last_modified: str = ""
    ) -> Fetched:
        """The answer to a GET; with `etag` or `last_modified` it may be a 304 without a body.

        FetchError when there is none, it is too large, too slow, or not to be asked for.
        """
        headers = {"Accept": accept, "Accept-Encoding": "gzip, deflate"}
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        try:
            async with asyncio.timeout(self._limits.total_s):
                return await self._follow(checked_url(url), headers)
        except TimeoutError:
            raise FetchError(
                "FETCH_TIMEOUT",
                f"The site did not answer within {self._limits.total_s:.0f} seconds. Try again "
                "later.",
                passing=True,
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _explained(error) from error

    async def _follow(self, url: URL, headers: dict[str, str]) -> Fetched:
        for _ in range(self._limits.max_redirects + 1):
            self._check_literal(url)
            async with self._opened().get(url, headers=headers, allow_redirects=False) as answer:
                location = answer.headers.get("Location", "")
                if answer.status not in _REDIRECTS or not location:
                    return Fetched(
                        url=str(url),
                        status=answer.status,
                        headers={name.lower(): value for name, value in answer.headers.items()},
                        body=await self._body(answer),
                    )
            url = _joined(url, location)
        raise FetchError(
            "TOO_MANY_REDIRECTS",
            "The page sends its readers on and on to other addresses. Use the address that the "
            "browser shows in the end.",
        )

    def _check_literal(self, url: URL) -> None:
        """An address in the URL itself is resolved by nobody."""
        host = url.host or ""
        if (":" in host or host.replace(".", "").isdigit()) and not self._policy.permits(
            host, url.port or 0
        ):
            raise forbidden()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = self._resolver or aiohttp.ThreadedResolver()
            connector = aiohttp.TCPConnector(
                resolver=_CheckedResolver(resolver, self._policy),
                use_dns_cache=False,
                limit=32,
                limit_per_host=4,
                socket_factory=self._socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent},
                timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_s),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _socket(self, address: Any) -> socket.socket:
        """The last check, whatever led here: the very address that is going to be connected."""
        family, kind, protocol, _, target = address
        if not self._policy.permits(target[0], target[1]):
            raise _Refused("this address may not be reached")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        unpack = _Unpacker(answer.headers.get("Content-Encoding", ""), self._limits.max_bytes)
        async for piece in answer.content.iter_chunked(_PIECE):
            unpack.feed(piece)
        return bytes(unpack.content)


class _Unpacker:
    """Gathers a body and unpacks it as it comes, so that a small bomb does not become a large one.

    FetchError TOO_LARGE as soon as there is more than `max_bytes`.
    """

    def __init__(self, encoding: str, max_bytes: int) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise FetchError("BROKEN_ANSWER", "The site answers in a form that can't be read.")
        self._zipped = encoding not in ("", "identity")
        # 32: gzip or zlib, whichever it begins with.
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if self._zipped else None
        self._max_bytes = max_bytes
        self.content = bytearray()

    def feed(self, piece: bytes) -> None:
        """The next piece as it came."""
        if self._inflate is None:
            self.content += piece
        else:
            room = self._max_bytes + 1 - len(self.content)
            try:
                self.content += self._inflate.decompress(piece, room)
            except zlib.error as error:
                raise FetchError(
                    "BROKEN_ANSWER", "The site's answer arrived damaged.", passing=True
                ) from error
        if len(self.content) > self._max_bytes:
            raise FetchError(
                "TOO_LARGE",
                f"The page is larger than {self._max_bytes // 2**20} MiB, which is the limit.",
            )


def _joined(url: URL, location: str) -> URL:
    try:
        target = url.join(URL(location))
    except (ValueError, UnicodeError):
        raise invalid("the page leads to an address that can't be read") from None
    return checked_url(str(target))


def _explained(error: Exception) -> FetchError:
    """The closed set's error for one of the client's."""
    causes = [error, getattr(error, "os_error", None), error.__cause__, error.__context__]
    causes += [sub for one in causes if isinstance(one, ExceptionGroup) for sub in one.exceptions]
    if any(isinstance(cause, _Refused) for cause in causes):
        return forbidden()
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchError(
            "HOST_UNKNOWN",
            "There is no site of this name. Check how the address is spelled.",
            passing=True,
        )
    if isinstance(error, aiohttp.InvalidURL):
        return invalid("it can't be read")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return FetchError("TLS_FAILED", "The site's certificate is not valid.", passing=True)
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return FetchError("BROKEN_ANSWER", "The site's answer arrived damaged.", passing=True)
    return FetchError(
        "UNREACHABLE", "The site could not be reached. Try again later.", passing=True
    )
