"""Malformed files of other people: each is read or refused with a sentence, soon."""

import asyncio
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from fleetkit.tokens import tokenizer_path
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.pool import ParsingPool, PoolSettings
from retrieval.parsing.prepare import PrepareOptions

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "badfiles_a.tar.gz"
LONGEST_S = 20.0
REASONS = {
    "EMPTY_FILE", "UNSUPPORTED_TYPE", "UNDECODABLE_TEXT", "TOO_MUCH_TEXT", "NO_TEXT",
    "ENCRYPTED_PDF", "BROKEN_PDF", "TOO_MANY_PAGES", "PARSE_TIMEOUT", "PARSE_OUT_OF_MEMORY",
}  # fmt: skip


@pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"{ARCHIVE} is not there")
async def test_every_bad_file_is_read_or_refused():
    pool = ParsingPool(PoolSettings(tokenizer_path(None)))
    outcomes: Counter[str] = Counter()

    async def take(name: str, content: bytes) -> None:
        try:
            async with asyncio.timeout(LONGEST_S):
                document = await pool.prepare(content, PrepareOptions())
        except DocumentError as error:
            outcomes[error.reason] += 1
        else:
            assert document.chunks, name
            outcomes[f"read as {document.media_type}"] += 1

    try:
        with tarfile.open(ARCHIVE) as archive:
            for member in archive:
                if (file := archive.extractfile(member)) is not None:
                    await take(member.name, file.read())
    finally:
        await pool.close()
    for outcome, count in outcomes.most_common():
        print(f"{count:4}  {outcome}")
    assert outcomes.total() > 300
    read = {outcome for outcome in outcomes if outcome.startswith("read as ")}
    assert set(outcomes) - read <= REASONS
    assert {"BROKEN_PDF", "ENCRYPTED_PDF", "UNSUPPORTED_TYPE"} <= set(outcomes)
