"""What the gateway reads of a request before a handler does."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_V6_PREFIX = 64


class Head:
    """The headers of a request, decoded when asked for; the first of several counts."""

    def __init__(self, scope: Any) -> None:
        self._raw: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            self._raw.setdefault(name, value)
        self.method: str = scope["method"]
        self.scheme: str = scope["scheme"]
        self._client = scope.get("client")

    def get(self, name: bytes) -> str:
        """A header's value; "" when it is not there."""
        value = self._raw.get(name)
        return value.decode("latin-1") if value is not None else ""

    @property
    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer …`; "" when it is malformed, None when absent."""
        value = self.get(b"authorization")
        if not value:
            return None
        kind, _, token = value.partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    @property
    def media_type(self) -> str:
        """The Content-Type without parameters, in lower case; "" when absent."""
        return self.get(b"content-type").partition(";")[0].strip().lower()

    @property
    def has_body(self) -> bool:
        """Whether a body is announced."""
        length = self._raw.get(b"content-length")
        return b"transfer-encoding" in self._raw or (length is not None and length != b"0")

    @property
    def client_ip(self) -> str:
        """The address of the client; "" when there is none (a socket of this machine)."""
        return self._client[0] if self._client else ""


@lru_cache(maxsize=4096)
def network_of(client_ip: str) -> str:
    """What a limit counts by: an IPv4 address, or the /64 that one IPv6 customer is given."""
    try:
        address = ipaddress.ip_address(client_ip)
    except ValueError:
        return client_ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _V6_PREFIX), strict=False))
    return client_ip


def client_ip_of(scope: Mapping[str, Any]) -> str:
    """The address a request came from, as uvicorn sees it."""
    client = scope.get("client")
    return client[0] if client else ""
