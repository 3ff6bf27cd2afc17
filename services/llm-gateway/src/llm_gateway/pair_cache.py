"""Scores of query–document pairs that a reranker gave before: so many, then the oldest go."""

import hashlib
from collections import OrderedDict
from uuid import UUID


class PairCache:
    """At most `size` scores; each belongs to one tenant, model, query and document."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._scores: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, key: bytes) -> float | None:
        """The score kept under a `pair_key`, or None."""
        score = self._scores.get(key)
        if score is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: bytes, score: float) -> None:
        """Keeps a score; the one that was used longest ago makes room for it."""
        self._scores[key] = score
        self._scores.move_to_end(key)
        while len(self._scores) > self._size:
            self._scores.popitem(last=False)


def pair_key(tenant_id: UUID, model: str, query: str, document: str) -> bytes:
    """A key of 16 bytes; texts are not kept, and another tenant's pairs have other keys."""
    digest = hashlib.blake2b(tenant_id.bytes, digest_size=16)
    for part in (model, query, document):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()
