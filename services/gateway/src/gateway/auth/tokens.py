"""Random secrets and their hashes: session tokens, API keys, CSRF tokens."""

import hashlib
import hmac
import secrets

KEY_PREFIX = "fd_"
_SHOWN_CHARS = 11
_RANDOM_BYTES = 32


def new_session_token() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def new_api_key() -> str:
    """`fd_` and 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def shown_prefix(key: str) -> str:
    """The part of an API key that is kept and shown, to tell keys apart."""
    return key[:_SHOWN_CHARS]


def sha256(value: str) -> bytes:
    """The hash a credential is looked up by. Enough for random secrets; not for passwords."""
    return hashlib.sha256(value.encode()).digest()


def csrf_token_of(session_token: str) -> str:
    """The CSRF token of a session: known to whoever may read its pages, and to nobody else.

    Derived, so that it needs no row and changes with the session.
    """
    return hmac.new(session_token.encode(), b"fleetdesk csrf", hashlib.sha256).hexdigest()


def same(left: str, right: str) -> bool:
    """Compares secrets in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())
