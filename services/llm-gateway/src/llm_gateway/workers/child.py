"""A worker process: reads pieces of text on stdin, answers with vectors on stdout.

Started by `workers.pool` as `python -m llm_gateway.workers.child <options as JSON>`. It ends when
stdin ends, so none outlives its service, however that died.
"""

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from fleetkit import blas

from llm_gateway.minilm import artifact
from llm_gateway.minilm.artifact import Precision
from llm_gateway.workers import frames


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """What a worker needs to know: where weights are and go, and how polite to be."""

    weights: Path
    cache: Path
    precision: Precision
    nice: int = 0

    def dumps(self) -> str:
        """As a command-line argument."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def loads(cls, text: str) -> "ChildOptions":
        """From a command-line argument."""
        fields = json.loads(text)
        fields |= {"weights": Path(fields["weights"]), "cache": Path(fields["cache"])}
        return cls(**fields)


def main() -> None:
    """Loads the model, says so, then answers frames until stdin ends."""
    # Ctrl-C in a terminal goes to the whole group; the service decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _take_stdout()
    options = ChildOptions.loads(sys.argv[1])
    os.nice(options.nice)
    serve(options, sys.stdin.buffer, answers)


def serve(options: ChildOptions, work: BinaryIO, answers: BinaryIO) -> None:
    """Answers each frame of `work` on `answers`, after a first one that names the version."""
    made = artifact.ensure(options.weights, options.cache, options.precision)
    # Loaded here: the service itself imports this module for its options, not for its model.
    from llm_gateway.minilm.encoder import Encoder

    blas.keep_to_one_thread()
    encoder = Encoder(made)
    encoder.window("warm up", 0)
    _send(answers, frames.pack({"version": made.version}))
    while (frame := frames.read(work)) is not None:
        started = time.process_time_ns()
        windows = [encoder.window(text, index, keep) for text, index, keep in frame[0]["pieces"]]
        _send(answers, frames.pack_windows(windows, time.process_time_ns() - started))


def _send(answers: BinaryIO, frame: bytes) -> None:
    answers.write(frame)
    answers.flush()


def _take_stdout() -> BinaryIO:
    """Keeps stdout for frames; what a library prints goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "wb")


if __name__ == "__main__":
    main()
