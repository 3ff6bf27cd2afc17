"""Which IP addresses may be reached: the public internet, and what a setting opens on purpose."""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses, and what has an IPv4 address hidden in it.
_BLOCKS = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
    198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64
    2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10
    fec0::/10 ff00::/8
"""
_FORBIDDEN: tuple[Network, ...] = tuple(ip_network(block) for block in _BLOCKS.split())
_PUBLIC_V6 = IPv6Network("2000::/3")
# Web servers listen here; others would be asked in a language that is not theirs.
_PORTS = frozenset((80, 443, 8080, 8443))


class AddressPolicy:
    """Says which addresses and ports may be reached.

    `allowed` opens networks beside the public internet, with all their ports: for tests and a
    local fleet.
    """

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    @classmethod
    def parse(cls, networks: str) -> "AddressPolicy":
        """From networks separated by commas, "127.0.0.0/8,::1"; ValueError when one is none."""
        return cls(ip_network(part.strip()) for part in networks.split(",") if part.strip())

    def permits(self, address: str, port: int) -> bool:
        """Whether a connection to `address` may be made; False for what is no address."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if any(found in network for network in self._allowed):
            return True
        return port in _PORTS and _is_public(found)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (
        address.scope_id is not None or address not in _PUBLIC_V6
    ):
        return False
    return address.is_global and not any(address in network for network in _FORBIDDEN)
