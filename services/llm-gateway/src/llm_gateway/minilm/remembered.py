"""Vectors of texts that were embedded for a person lately, so that they need not be made again.

The sentences of a tenant's knowledge come up in one question after another. Kept are vectors under
a hash of tenant and text, no text; nobody meets a vector of another tenant's text, not even by how
long it takes. A text has one vector whatever its neighbours are, so nothing changes but the time.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
_KEPT_S = 3600.0


class RememberedVectors:
    """At most `most` vectors (1.7 kB each), each for an hour after its last use."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._vectors: OrderedDict[bytes, tuple[float, Vector]] = OrderedDict()

    def get(self, tenant_id: UUID, text: str) -> Vector | None:
        """The vector, which is thereby used; None when it is not there."""
        self._forget_old()
        key = _key(tenant_id, text)
        found = self._vectors.get(key)
        if found is None:
            return None
        self._vectors[key] = self._now(), found[1]
        self._vectors.move_to_end(key)
        return found[1]

    def put(self, tenant_id: UUID, text: str, vector: Vector) -> None:
        """Keeps a vector; those used longest ago make room."""
        if not self._most:
            return
        key = _key(tenant_id, text)
        self._vectors[key] = self._now(), vector
        self._vectors.move_to_end(key)
        if len(self._vectors) > self._most:
            self._vectors.popitem(last=False)

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._vectors)

    def _forget_old(self) -> None:
        before = self._now() - _KEPT_S
        while self._vectors:
            key = next(iter(self._vectors))
            if self._vectors[key][0] >= before:
                return
            del self._vectors[key]


def _key(tenant_id: UUID, text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16, key=tenant_id.bytes).digest()
