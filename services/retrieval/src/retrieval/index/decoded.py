"""Codes and lengths of large tenants, decoded and kept between searches.

They are as good as the version of the index that they were read at, which a search compares in its
own snapshot: it reads the blocks again when the index has changed by then.
"""

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from retrieval.index import packing
from retrieval.index.packing import Codes, Lengths
from retrieval.store.blocks import IndexBlocks

# Smaller ones are decoded sooner than looked for.
_FEWEST_SLOTS = 2_000


@dataclass(frozen=True, slots=True)
class Decoded:
    """Arrays by slot; `codes` is None where no passage has a vector."""

    version: int
    lengths: Lengths
    codes: Codes | None

    @property
    def byte_count(self) -> int:
        """What it takes of memory."""
        return self.lengths.nbytes + (0 if self.codes is None else self.codes.nbytes)


class DecodedIndexes:
    """The ones used last, together at most `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[UUID, Decoded] = OrderedDict()
        self._bytes = 0

    def get(self, tenant_id: UUID) -> Decoded | None:
        """What is kept of a tenant."""
        kept = self._kept.get(tenant_id)
        if kept is not None:
            self._kept.move_to_end(tenant_id)
        return kept

    def keep(self, tenant_id: UUID, made: Decoded) -> None:
        """Keeps it in the place of what was kept before, where it is worth it."""
        if len(made.lengths) < _FEWEST_SLOTS:
            return
        former = self._kept.pop(tenant_id, None)
        self._bytes -= former.byte_count if former else 0
        if made.byte_count > self._most_bytes:
            return
        self._kept[tenant_id] = made
        self._bytes += made.byte_count
        while self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.byte_count


def decode(blocks: IndexBlocks) -> Decoded:
    """The arrays of blocks."""
    count = blocks.stat.slot_count
    lengths = packing.read_lengths(blocks.lengths, count)
    codes = packing.read_codes(blocks.codes, count) if blocks.codes and count else None
    return Decoded(blocks.stat.knowledge_version, lengths, codes)
