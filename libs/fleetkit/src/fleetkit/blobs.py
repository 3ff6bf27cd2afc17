"""Blobs: uploaded originals and other bytes too big for rows, in a folder or an S3 bucket."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from fleetkit.errors import InvalidArgument, NotFound, Unavailable

# Tenant first, so that a tenant's blobs are one prefix; no dots first, so that no key can climb.
_KEY = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){1,8}"
)
_PREFIX = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){0,8}/"
)
_PAGE = 1000


class Blobs:
    """Bytes by key, `<tenant_id>/<name>/…`; a put is whole or not there, and replaces.

    `url` is `file:///folder` (made when absent) or `s3://bucket/prefix` (credentials and endpoint
    from the usual AWS variables). Raises InvalidArgument for a key that is not of that form and
    Unavailable when the store does not answer.
    """

    def __init__(self, url: str) -> None:
        self._store = _open(url)

    async def put(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, replacing what was there."""
        with _translated():
            await self._store.put_async(_checked(key, _KEY), data)

    async def get(self, key: str) -> bytes:
        """The bytes under `key`; NotFound when there are none."""
        with _translated():
            result = await self._store.get_async(_checked(key, _KEY))
            return bytes(await result.bytes_async())

    async def delete(self, key: str) -> None:
        """Deletes `key`; nothing happens when it is not there."""
        try:
            with _translated():
                await self._store.delete_async(_checked(key, _KEY))
        except NotFound:
            return

    async def delete_prefix(self, prefix: str) -> int:
        """Deletes every blob whose key starts with `prefix`, which ends with "/"; returns how many.

        Blobs put meanwhile may stay.
        """
        count = 0
        with _translated():
            async for page in self._store.list(_checked(prefix, _PREFIX), chunk_size=_PAGE):
                paths = [blob["path"] for blob in page]
                await self._store.delete_async(paths)
                count += len(paths)
        return count


def _open(url: str) -> ObjectStore:
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        return LocalStore(folder, automatic_cleanup=True, mkdir=True)
    if parts.scheme == "s3":
        return from_url(url)
    raise InvalidArgument("blob_url starts with file:// or s3://", field="blob_url")


def _checked(key: str, form: re.Pattern[str]) -> str:
    if not form.fullmatch(key):
        raise InvalidArgument(
            "a blob's key is its tenant's id and then names of letters, digits, '.', '_' and '-'",
            reason="BLOB_KEY_INVALID",
        )
    return key


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise NotFound("there is no such blob", reason="BLOB_NOT_FOUND") from error
    except (BaseError, OSError) as error:
        raise Unavailable("the blob store did not answer", retry_after_s=1.0) from error
