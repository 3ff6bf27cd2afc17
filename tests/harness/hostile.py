"""Other people's lists of strings and files that break programs, and what became of them here."""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

_DATA = Path(__file__).parents[3] / "shared" / "data"
_STRINGS = "payload_lists/naughty_strings.json"
_ADDRESSES = "payload_lists/ssrf_urls.txt"


def _open(name: str) -> tarfile.TarFile:
    """One of the archives; without it the test is skipped."""
    path = _DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return tarfile.open(path)


def strings() -> list[str]:
    """The "big list of naughty strings", then addresses that nobody should fetch, then ours."""
    with _open("payload_lists.tar.gz") as archive:
        naughty: Any = archive.extractfile(_STRINGS)
        addresses: Any = archive.extractfile(_ADDRESSES)
        listed = [*json.load(naughty), *addresses.read().decode().split("\n")]
    return [*dict.fromkeys(listed), "\x00", "a\x00b", "\u200b", "\x7f\x85", "x" * 20_000]


def addresses() -> list[str]:
    """Addresses that nobody should fetch."""
    with _open("payload_lists.tar.gz") as archive:
        listed: Any = archive.extractfile(_ADDRESSES)
        return [line for line in listed.read().decode().split("\n") if line.strip()]


def files() -> Iterator[tuple[str, bytes]]:
    """(name, content) of every malformed file."""
    with _open("badfiles_a.tar.gz") as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                yield member.name, file.read()


@dataclass(slots=True)
class Outcomes:
    """What came of it: counts for a table, and what must not be."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def judge(self, door: str, given: str, answer: httpx.Response) -> bool:
        """Counts an answer, and says whether what was given was taken.

        2xx is fine, and so is a problem below 500 that names a field and says what to do.
        """
        if answer.is_success:
            self.counts[door, "taken"] += 1
            return True
        problem: dict[str, Any] = {}
        if answer.headers.get("content-type") == "application/problem+json":
            problem = answer.json()
        self.counts[door, f"{answer.status_code} {problem.get('reason')}"] += 1
        if answer.status_code >= 500 or not (problem.get("errors") and problem["detail"]):
            self.wrong.append(f"{door}: {given!a:.200}: {answer.status_code} {answer.text[:300]}")
        return False

    def table(self) -> str:
        """One line for each door and outcome."""
        lines = sorted(self.counts.items())
        return "\n".join(f"{count:6}  {door:24}  {what}" for (door, what), count in lines)
