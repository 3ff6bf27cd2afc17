"""Tables: heads that sort, and CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

NUMERIC = frozenset({"passages", "size", "added", "messages", "cost", "updated", "amount", "share"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head: where a click on it leads, and how it is sorted now ("" when not)."""

    key: str
    label: str
    href: str
    direction: str = ""

    @property
    def end(self) -> bool:
        """Whether the column is aligned to its end, as figures are."""
        return self.key in NUMERIC


def columns(
    labels: Mapping[str, str],
    *,
    link_to: Callable[..., str],
    sort: str,
    descending: bool,
) -> tuple[Column, ...]:
    """Heads that sort: a click on the sorted column turns it round; figures begin with the most."""

    def direction_after(key: str) -> str:
        turned = not descending if key == sort else key in NUMERIC
        return "desc" if turned else ""

    return tuple(
        Column(
            key=key,
            label=label,
            href=link_to(sort=key, dir=direction_after(key)),
            direction=("descending" if descending else "ascending") if sort == key else "",
        )
        for key, label in labels.items()
    )


def to_csv(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """CSV (RFC 4180) of text and whole numbers.

    Text that a spreadsheet would take for a formula gets a leading apostrophe (OWASP, CSV
    injection).
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(head)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return out.getvalue()


def _plain(cell: str | int) -> str | int:
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return cell
