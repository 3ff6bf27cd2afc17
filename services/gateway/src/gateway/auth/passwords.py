"""Passwords: argon2id, in threads, a few at a time."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from fleetkit.errors import InvalidArgument, ResourceExhausted

MIN_CHARS = 10
MAX_CHARS = 256
# Each hashing takes 64 MiB and most of a core for some 50 ms (RFC 9106, low memory).
_AT_ONCE = 2
_MAX_WAITING = 32

T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords without holding up the event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        # Verified when nobody has the e-mail, so that the answer takes as long.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The encoded argon2id hash. ResourceExhausted when too many wait."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password is right; takes as long, and is False, when `encoded` is None."""
        try:
            right = await self._run(self._hasher.verify, encoded or self._nobody, password)
        except VerificationError:
            return False
        return right and encoded is not None

    def is_outdated(self, encoded: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    async def _run(self, work: Callable[..., T], *args: str) -> T:
        if self._waiting >= _MAX_WAITING:
            raise ResourceExhausted(
                "too many sign-ins at the moment: try again", reason="BUSY", retry_after_s=2
            )
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *args)
        finally:
            self._waiting -= 1


def check_password(password: str, email: str) -> None:
    """Raises InvalidArgument unless the password keeps the policy."""
    if len(password) < MIN_CHARS:
        raise InvalidArgument(
            f"the password has {len(password)} characters: use at least {MIN_CHARS}",
            field="password",
            reason="PASSWORD_TOO_SHORT",
        )
    if len(password) > MAX_CHARS:
        raise InvalidArgument(
            f"the password is longer than {MAX_CHARS} characters: use a shorter one",
            field="password",
            reason="PASSWORD_TOO_LONG",
        )
    if password.casefold() in (email.casefold(), email.partition("@")[0].casefold()):
        raise InvalidArgument(
            "the password is the e-mail address: choose another",
            field="password",
            reason="PASSWORD_IS_EMAIL",
        )
    if len(set(password)) < 3:
        raise InvalidArgument(
            "the password repeats one or two characters: choose another",
            field="password",
            reason="PASSWORD_TOO_SIMPLE",
        )
