"""A parsing worker: reads files from untrusted people, so it may be killed at any moment.

`python -m retrieval.parsing.worker <tokenizer.json> <memory bytes>` answers requests on standard
input until it ends. It opens no network connection and writes no file.
"""

import os
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO

from fleetkit.tokens import TokenCounter

from retrieval.parsing import page, robots, sitemap, wire
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.prepare import prepare
from retrieval.parsing.wire import (
    document_frame,
    error_frame,
    facts_frame,
    frame,
    options_of,
    read_frame,
)


def main(tokenizer_file: Path, memory_bytes: int) -> None:
    """Serves requests; ends when the service closes the pipe."""
    replies = _take_stdout()
    tokens = TokenCounter(tokenizer_file)
    # After the libraries are loaded: the cap is then on what a document may need.
    _confine(memory_bytes)
    _send(replies, frame({"ready": True}))
    while (request := read_frame(sys.stdin.buffer)) is not None:
        head, content = request
        _send(replies, _answer(head, content, tokens, replies))


def _answer(head: dict[str, Any], content: bytes, tokens: TokenCounter, out: BinaryIO) -> bytes:
    try:
        match head["op"]:
            case wire.PAGE:
                return facts_frame(page.read(content, head["url"], head["robots"]))
            case wire.SITEMAP:
                return facts_frame(sitemap.read(content, head["robots"]))
            case wire.ROBOTS:
                return facts_frame(robots.read(content.decode(errors="replace"), head["urls"]))
            case _:
                document = prepare(
                    content, options_of(head), tokens, lambda n: _send(out, frame({"progress": n}))
                )
                return document_frame(document)
    except DocumentError as error:
        return error_frame(error)
    except MemoryError:
        return frame({"out_of_memory": True})


def _take_stdout() -> BinaryIO:
    """The pipe to the service; what libraries print goes to standard error."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return pipe


def _confine(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _send(pipe: BinaryIO, data: bytes) -> None:
    pipe.write(data)
    pipe.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
