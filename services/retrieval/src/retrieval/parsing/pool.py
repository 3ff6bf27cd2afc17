"""A small pool of warm parsing workers; one that hangs, bursts or dies is replaced."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.parsing import wire
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.facts import PageFacts, RobotsFacts, SitemapFacts
from retrieval.parsing.prepare import PreparedDocument, PrepareOptions
from retrieval.parsing.wire import LENGTHS, document_of, frame, options_head

# A worker is replaced after so many documents, so that no parser's leak lives long.
_DOCUMENTS_PER_WORKER = 500
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What a worker may use. `stall_s` is the longest time without progress (a page, a passage)."""

    tokenizer_file: Path
    workers: int = 2
    memory_bytes: int = 1_500_000_000
    stall_s: float = 12.0
    total_s: float = 120.0


class ParsingPool:
    """Prepares documents in worker processes; `close` ends them."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._free: list[_Worker] = []
        self._slots = asyncio.Semaphore(settings.workers)
        self._all: set[_Worker] = set()

    async def prepare(self, content: bytes, options: PrepareOptions) -> PreparedDocument:
        """The prepared document; DocumentError when the content can't be used.

        A worker that takes too long or too much is killed: PARSE_TIMEOUT, PARSE_OUT_OF_MEMORY;
        one that dies by itself gives PARSE_CRASHED. A cancelled call kills its worker, too.
        """
        head, body = await self._ask(options_head(options), content)
        return await asyncio.to_thread(document_of, head["document"], body)

    async def read_page(self, content: bytes, url: str, robots: str) -> PageFacts:
        """Where a page leads; raises as `prepare` does."""
        head, _ = await self._ask({"op": wire.PAGE, "url": url, "robots": robots}, content)
        return wire.page_facts(head["facts"])

    async def read_sitemap(self, content: bytes, robots: str) -> SitemapFacts:
        """What a sitemap lists; raises as `prepare` does."""
        head, _ = await self._ask({"op": wire.SITEMAP, "robots": robots}, content)
        return wire.sitemap_facts(head["facts"])

    async def read_robots(self, robots: str, urls: list[str]) -> RobotsFacts:
        """What a robots.txt says about addresses; raises as `prepare` does."""
        head, _ = await self._ask({"op": wire.ROBOTS, "urls": urls}, robots.encode())
        return wire.robots_facts(head["facts"])

    async def _ask(self, head: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        async with self._slots:
            worker = self._free.pop() if self._free else await self._start()
            try:
                result = await worker.ask(head, content)
            except BaseException as error:
                if isinstance(error, DocumentError) and worker.usable:
                    self._free.append(worker)
                else:
                    await self._end(worker)
                raise
            if worker.usable:
                self._free.append(worker)
            else:
                await self._end(worker)
            return result

    @property
    def process_ids(self) -> list[int]:
        """Of the workers that live."""
        return [worker.process.pid for worker in self._all]

    async def close(self) -> None:
        """Kills all workers."""
        for worker in tuple(self._all):
            await self._end(worker)
        self._free.clear()

    async def _start(self) -> "_Worker":
        worker = await _Worker.start(self._settings)
        self._all.add(worker)
        return worker

    async def _end(self, worker: "_Worker") -> None:
        self._all.discard(worker)
        await asyncio.shield(worker.kill())


class _Worker:
    """One worker process, with at most one document at a time."""

    def __init__(self, process: Process, settings: PoolSettings) -> None:
        self.process = process
        self._settings = settings
        self._left = _DOCUMENTS_PER_WORKER
        self._clean = True

    @classmethod
    async def start(cls, settings: PoolSettings) -> "_Worker":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "retrieval.parsing.worker",
            str(settings.tokenizer_file),
            str(settings.memory_bytes),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            # Nothing of the service's environment: neither secrets nor settings.
            env={"TOKENIZERS_PARALLELISM": "false", "LC_ALL": "C.UTF-8"},
            limit=2**20,
            start_new_session=True,
        )
        worker = cls(process, settings)
        try:
            async with asyncio.timeout(_START_S):
                await worker._read()
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            await worker.kill()
            raise RuntimeError("a parsing worker does not start") from error
        return worker

    @property
    def usable(self) -> bool:
        """Whether it can take another document."""
        return self._clean and self._left > 0 and self.process.returncode is None

    async def ask(self, head: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        """Sends one request and waits for its outcome, as long as there is progress."""
        self._clean = False
        self._left -= 1
        try:
            async with asyncio.timeout(self._settings.total_s):
                head, body = await self._exchange(head, content)
        except TimeoutError as error:
            raise _timeout() from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _crashed() from error
        if "out_of_memory" in head:
            raise _out_of_memory()
        self._clean = True
        if refused := head.get("error"):
            raise DocumentError(refused["reason"], refused["message"])
        return head, body

    async def kill(self) -> None:
        """Ends the process, whatever it is doing."""
        if self.process.returncode is None:
            try:
                self.process.kill()
            except ProcessLookupError:
                pass  # it ended a moment ago
        await self.process.wait()

    async def _exchange(self, head: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        stdin = self.process.stdin
        assert stdin is not None  # noqa: S101 - started with a pipe
        stdin.write(frame(head, content))
        await stdin.drain()
        while True:
            async with asyncio.timeout(self._settings.stall_s):
                head, body = await self._read()
            if "progress" not in head:
                return head, body

    async def _read(self) -> tuple[dict[str, Any], bytes]:
        stdout = self.process.stdout
        assert stdout is not None  # noqa: S101 - started with a pipe
        head_length, body_length = LENGTHS.unpack(await stdout.readexactly(LENGTHS.size))
        head = await stdout.readexactly(head_length)
        body = await stdout.readexactly(body_length)
        return await _decoded(head), body


async def _decoded(head: bytes) -> dict[str, Any]:
    decode: Callable[[bytes], dict[str, Any]] = _load
    # A large document's JSON takes long enough to be felt by other requests.
    return await asyncio.to_thread(decode, head) if len(head) > 50_000 else decode(head)


def _load(head: bytes) -> dict[str, Any]:
    import json

    return json.loads(head)


def _timeout() -> DocumentError:
    return DocumentError(
        "PARSE_TIMEOUT",
        "Reading this file took too long, so it was stopped. Save it in a simpler form, or split "
        "it into several files.",
    )


def _out_of_memory() -> DocumentError:
    return DocumentError(
        "PARSE_OUT_OF_MEMORY",
        "Reading this file needs more memory than a file may use. Split it into several files.",
    )


def _crashed() -> DocumentError:
    return DocumentError(
        "PARSE_CRASHED",
        "This file made its reader stop. It is probably damaged: export it again from its source.",
    )
