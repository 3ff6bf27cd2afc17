"""The worker process: reads pictures and boxes on stdin, answers with lines of text on stdout.

Started as `python -m llm_gateway.rapidocr_worker.child <threads> <nice>`. It ends when stdin
ends, so none outlives its service, however that died.
"""

import os
import signal
import sys
import time
from typing import Any, BinaryIO

import cv2
import numpy as np
from fleetkit import blas

from llm_gateway.workers import frames

# Screen text is small for models made for photographs: enlarged, it is read better.
_ENLARGE = 2.0
_LARGE_SIDE = 1400


def main() -> None:
    """Loads the models, says so, then answers frames until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints goes to stderr.
    os.dup2(2, 1)
    threads, nice = int(sys.argv[1]), int(sys.argv[2])
    os.nice(nice)
    cv2.setNumThreads(1)
    blas.keep_to_one_thread()
    engine = _engine(threads)
    _send(answers, {"ready": True})
    while (frame := frames.read(sys.stdin.buffer)) is not None:
        started = time.process_time_ns()
        head, image = frame
        answer = read(engine, image, head["regions"])
        _send(answers, answer | {"cpu_ns": time.process_time_ns() - started})


def read(engine: Any, image: bytes, regions: list[list[int]]) -> dict[str, Any]:
    """`lines` as [text, x, y, width, height, confidence], or `error` for what is no picture."""
    # As the picture is stored: regions were found in it without what is noted of its orientation.
    picture = cv2.imdecode(
        np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if picture is None:
        return {"error": "the image is damaged: it could not be decoded"}
    height, width = picture.shape[:2]
    lines: list[list[Any]] = []
    for x, y, w, h in regions or [[0, 0, width, height]]:
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            return {"error": f"a region is outside of the image, which is {width}×{height}"}
        lines += _lines(engine, picture[y : y + h, x : x + w], x, y)
    return {"lines": lines}


def _lines(engine: Any, part: Any, left: int, top: int) -> list[list[Any]]:
    scale = _ENLARGE if max(part.shape[:2]) * _ENLARGE <= _LARGE_SIDE else 1.0
    if scale != 1.0:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    found = engine(np.ascontiguousarray(part), use_cls=False)
    if found.boxes is None or found.txts is None:
        return []
    lines: list[list[Any]] = []
    for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
        points = np.asarray(corners) / scale
        x, y = points.min(axis=0)
        right, bottom = points.max(axis=0)
        box = [left + int(x), top + int(y), max(int(right - x), 1), max(int(bottom - y), 1)]
        lines.append([text, *box, round(float(score), 4)])
    return sorted(lines, key=lambda line: (line[2], line[1]))


def _engine(threads: int) -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            # Small regions are enlarged above; the default would enlarge them once more.
            "Det.limit_type": "max",
            "Det.limit_side_len": 1920,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _send(answers: BinaryIO, head: dict[str, Any]) -> None:
    answers.write(frames.pack(head))
    answers.flush()


if __name__ == "__main__":
    main()
