"""What becomes of malformed files and of addresses that nobody should fetch, as a table.

Run: python -m tests.load.bad_inputs [--files]

Every file of badfiles_a goes through the parsing workers as an upload would, every address of
payload_lists through the fetch client, with a name server that leads each name inside: a request
would reach this machine, and is counted. `--files` prints a line for each file.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.website import Names, Website, serve_website
from fleetkit.fetch import AddressPolicy, Fetcher, FetchError
from fleetkit.tokens import tokenizer_path
from harness import hostile
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.pool import ParsingPool, PoolSettings
from retrieval.parsing.prepare import PrepareOptions

from . import machine
from .tables import table

_INSIDE = "127.0.0.1"


async def of_files(*, each: bool) -> tuple[list[list[str]], float]:
    """Outcomes of the files with their counts, and the longest that one took in seconds."""
    pool = ParsingPool(PoolSettings(tokenizer_path(None)))
    outcomes: Counter[str] = Counter()
    longest = 0.0
    try:
        for name, content in hostile.files():
            started = time.monotonic()
            try:
                document = await pool.prepare(content, PrepareOptions())
                outcome = f"read as {document.media_type}"
            except DocumentError as error:
                outcome = error.reason
            longest = max(longest, time.monotonic() - started)
            outcomes[outcome] += 1
            if each:
                print(f"{outcome:40} {name}")
    finally:
        await pool.close()
    return [[outcome, str(count)] for outcome, count in outcomes.most_common()], longest


async def of_addresses(site: Website) -> list[list[str]]:
    """Outcomes of the addresses with their counts, and the requests that reached anything."""
    outcomes: Counter[str] = Counter()
    policy = AddressPolicy.parse("")
    async with Fetcher(policy, user_agent="bench", resolver=Names(lambda _: [_INSIDE])) as fetcher:
        for address in hostile.addresses():
            try:
                answer = await fetcher.get(address)
                outcomes[f"fetched, status {answer.status}"] += 1
            except FetchError as error:
                outcomes[error.reason] += 1
    rows = [[outcome, str(count)] for outcome, count in outcomes.most_common()]
    return [*rows, ["requests that reached a server", str(len(site.requests))]]


async def measure(*, each: bool) -> None:
    """Prints the tables."""
    files, longest = await of_files(each=each)
    async with serve_website() as site:
        addresses = await of_addresses(site)
    print(f"Measured on {machine.describe()}.\n")
    print(table(["malformed files", "count"], files))
    print(f"The slowest took {longest:.1f} s.\n")
    print(table(["addresses nobody should fetch", "count"], addresses))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", action="store_true", help="a line for each file")
    asyncio.run(measure(each=parser.parse_args(arguments).files))


if __name__ == "__main__":
    main()
