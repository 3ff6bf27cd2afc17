"""The certificates by which providers are known."""

import ssl
from functools import cache

import httpx2


@cache
def trusted() -> ssl.SSLContext:
    """Those of this machine, or of SSL_CERT_FILE; read once, which takes 20 ms, for all clients."""
    return httpx2.create_ssl_context()
