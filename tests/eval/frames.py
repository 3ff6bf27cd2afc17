"""How well vision-agent tells a changed screen from the same: `python -m tests.eval.frames`.

Beside it, imagehash's pHash and dHash and SSIM at several thresholds, as whole curves.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from subprocess import PIPE
from typing import Any

import cv2
import imagehash
import numpy as np
from llm_gateway.workers import frames as pipes
from PIL import Image
from vision_agent.frames.boxes import Box
from vision_agent.frames.deciding import Eyes, Rules
from vision_agent.frames.images import FrameLimits, to_gray
from vision_agent.frames.perceptual import phash

from .fit_frames import natural_frames, print_content, scripts_of
from .screen_scripts import Keep, Screen, Tally, as_script, play
from .screens import Gray, Recording, sessions, stills, videos, without_clock
from .workbench import parser, table

_SCRIPTS = 40
# The side to which pictures are reduced for SSIM, as its authors do before comparing.
_SSIM_SIDE = 512
_NEVER_S = 1e9
_FULL_HD = (1920, 1080)
# A name, and what makes one for each screen.
Method = tuple[str, Callable[[], Keep]]
_PARTS: dict[str, list[list[int]]] = {
    "a frame of 1920×1080": [],
    "a region of 640×96": [[320, 300, 640, 96]],
    "a region of 96×96": [[320, 300, 96, 96]],
}


def main() -> None:
    """Prints the tables."""
    arguments = parser("Measures the frame pipeline.")
    arguments.add_argument("--read", action="store_true", help="only time the reading of frames")
    arguments.add_argument("--speed", action="store_true", help="only time the deciding")
    arguments.add_argument("--alone", action="store_true", help="without the hashes and SSIM")
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    if options.read:
        print_reading(sessions(options.data, options.cache))
        return
    rules = Rules.load()
    if options.speed:
        print_speed(sessions(options.data, options.cache), rules)
        return
    quiet = replace(rules, heartbeat_s=_NEVER_S)
    recordings = videos(options.data, options.cache)
    desktop = sessions(options.data, options.cache)
    print_content([*stills(options.data), *natural_frames(recordings)])
    tried = methods(quiet)[: 1 if options.alone else None]
    print_scripts(desktop, options.data, tried)
    _HASHES.clear()
    print_recorded("screens_sessions_dev", desktop, tried)
    print_recorded("screens_sessions_dev, its clock stopped", without_clock(desktop), tried)
    print_recorded(
        "videos_dev, screens, 1 a second", [r for r in recordings if r.type != "video"], tried
    )
    print_speed(desktop, rules)


def print_scripts(desktop: Sequence[Recording], data: Path, tried: Sequence[Method]) -> None:
    """Scripted changes on captures of the sessions and stills, by method and threshold."""
    scripts = scripts_of(list(stills(data)), _SCRIPTS // 2)
    scripts += [
        list(Screen(recording.shots[0].gray, 1000 + seed).script())
        for seed, recording in enumerate(desktop[: _SCRIPTS // 2])
    ]
    print(f"scripts: {len(scripts)} screens, {sum(map(len, scripts))} frames")
    rows: list[list[str]] = []
    for name, make in tried:
        tally = Tally.new()
        for script in scripts:
            play(script, make(), tally)
        cells = [_part(tally.changes, kind) for kind in ("line", "change", "word", "digit")]
        cells += [
            _part(tally.others, kind) for kind in ("still", "caret", "pointer", "compression")
        ]
        rows.append([name, f"{tally.missed:.2%}", f"{tally.sent:.2%}", *cells])
    head = ["method", "missed", "duplicates sent", "line", "box", "word", "digit",
            "still", "caret", "pointer", "compression"]  # fmt: skip
    print(table(head, rows), end="\n\n")


def print_recorded(name: str, recordings: Sequence[Recording], tried: Sequence[Method]) -> None:
    """Recorded screens; whether text changed was read from the screens."""
    shots = [shot for recording in recordings for shot in recording.shots[1:]]
    counts = [sum(shot.changed is label for shot in shots) for label in (True, False, None)]
    print(f"{name}: {counts[0]} changes, {counts[1]} duplicates, {counts[2]} unclear")
    rows: list[list[str]] = []
    for method, make in tried:
        tally = Tally.new()
        for recording in recordings:
            play(as_script(recording), make(), tally)
        rows.append([method, f"{tally.missed:.2%}", f"{tally.sent:.2%}"])
    print(table(["method", "missed", "duplicates sent"], rows), end="\n\n")


def methods(rules: Rules) -> list[Method]:
    """Each method at each of its thresholds."""
    return [
        ("this pipeline", lambda: _pipeline(rules)),
        *((f"pHash > {t}", partial(_hashed, _phash, t)) for t in (0, 2, 4, 8, 12, 20)),
        *((f"dHash > {t}", partial(_hashed, _dhash, t)) for t in (0, 2, 4, 8)),
        *((f"SSIM < {t}", partial(_structural, t)) for t in (0.9999, 0.999, 0.995, 0.98, 0.95)),
    ]


def print_speed(desktop: Sequence[Recording], rules: Rules) -> None:
    """Milliseconds of wall and CPU time for a frame at 1080p, changed and not.

    As the service does it: decoded, then decided about.
    """
    grays = [
        np.asarray(
            cv2.resize(recording.shots[0].gray, _FULL_HD, interpolation=cv2.INTER_CUBIC), np.uint8
        )
        for recording in desktop[:12]
    ]
    timed: dict[str, list[tuple[float, float]]] = {}
    for seed, gray in enumerate(grays):
        eyes = Eyes()
        for number, step in enumerate(Screen(gray, seed).script()):
            packed = _packed(step.gray)
            pixels, decoding = _timed(lambda p=packed: to_gray(p, FrameLimits()))
            decision, spent = _timed(partial(eyes.look, pixels, float(number), rules))
            kind = "first" if not number else "kept" if decision.kept else "duplicate"
            both = (decoding[0] + spent[0], decoding[1] + spent[1])
            timed.setdefault(f"decision, {kind}", []).append(spent)
            timed.setdefault("decision, all", []).append(spent)
            timed.setdefault("decoding", []).append(decoding)
            timed.setdefault(f"both, {kind}", []).append(both)
        packed = _packed(gray)
        for _ in range(5):
            work: dict[str, Callable[[], Any]] = {
                "digest, of the same again": lambda p=packed: sha256(p).digest(),
                "pHash, ours": lambda g=gray: phash(g),
                "pHash, imagehash": lambda g=gray: imagehash.phash(Image.fromarray(g)),
                "SSIM": lambda g=gray: ssim(g, g),
            }
            for name, run in work.items():
                timed.setdefault(name, []).append(_timed(run)[1])
    rows = [
        [name, f"{len(spent)}", *(f"{np.quantile([s[i] for s in spent], q) * 1e3:.2f}"
                                  for i in (0, 1) for q in (0.5, 0.95))]
        for name, spent in timed.items()
    ]  # fmt: skip
    head = ["ms at 1080p", "times", "wall p50", "wall p95", "CPU p50", "CPU p95"]
    print(table(head, rows), end="\n\n")


def print_reading(desktop: Sequence[Recording]) -> None:
    """Milliseconds to read a frame at 1080p and parts of it, and the memory that reading takes.

    By llm-gateway's own worker with one thread.
    """
    command = [sys.executable, "-P", "-m", "llm_gateway.rapidocr_worker.child", "1", "0"]
    spent: dict[str, list[tuple[float, float]]] = {}
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as worker:
        assert worker.stdin
        assert worker.stdout
        pipes.read(worker.stdout)
        for recording in desktop[:12]:
            large = cv2.resize(recording.shots[0].gray, _FULL_HD, interpolation=cv2.INTER_CUBIC)
            image = _packed(np.asarray(large, np.uint8))
            for name, regions in _PARTS.items():
                began = time.perf_counter()
                worker.stdin.write(pipes.pack({"regions": regions}, image))
                worker.stdin.flush()
                answer = pipes.read(worker.stdout)
                assert answer
                taken = (time.perf_counter() - began, answer[0]["cpu_ns"] / 1e9)
                spent.setdefault(name, []).append(taken)
        status = Path(f"/proc/{worker.pid}/status").read_text()
        worker.stdin.close()
    rows = [
        [name, f"{len(s)}", *(f"{np.quantile([t[i] for t in s], q) * 1e3:.0f}"
                              for i in (0, 1) for q in (0.5, 0.95))]
        for name, s in spent.items()
    ]  # fmt: skip
    print(table(["ms to read", "times", "wall p50", "wall p95", "CPU p50", "CPU p95"], rows))
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(f"memory of the worker at its peak: {int(peak.split()[1]) // 1024} MB\n")


def _packed(gray: Gray) -> bytes:
    return cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _timed(run: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    wall, cpu = time.perf_counter(), time.thread_time()
    result = run()
    return result, (time.perf_counter() - wall, time.thread_time() - cpu)


def _pipeline(rules: Rules) -> Keep:
    eyes = Eyes()

    def keep(gray: Gray, at_s: float) -> tuple[bool, tuple[Box, ...] | None]:
        decision = eyes.look(gray, at_s, rules)
        return decision.kept, decision.boxes

    return keep


def _phash(gray: Gray) -> imagehash.ImageHash:
    return imagehash.phash(Image.fromarray(gray))


def _dhash(gray: Gray) -> imagehash.ImageHash:
    return imagehash.dhash(Image.fromarray(gray))


def _hashed(hashing: Callable[[Gray], imagehash.ImageHash], threshold: int) -> Keep:
    last: list[imagehash.ImageHash] = []

    def keep(gray: Gray, _: float) -> tuple[bool, None]:
        found = _once(hashing, gray)
        if last and last[0] - found <= threshold:
            return False, None
        last[:] = [found]
        return True, None

    return keep


# Every threshold asks for the same hashes of frames that live as long as the tables are made.
_HASHES: dict[tuple[str, int], imagehash.ImageHash] = {}


def _once(hashing: Callable[[Gray], imagehash.ImageHash], gray: Gray) -> imagehash.ImageHash:
    key = (hashing.__name__, id(gray))
    if key not in _HASHES:
        _HASHES[key] = hashing(gray)
    return _HASHES[key]


def _structural(threshold: float) -> Keep:
    last: list[Gray] = []

    def keep(gray: Gray, _: float) -> tuple[bool, None]:
        if last and last[0].shape == gray.shape and ssim(last[0], gray) >= threshold:
            return False, None
        last[:] = [gray]
        return True, None

    return keep


def ssim(one: Gray, other: Gray) -> float:
    """Mean structural similarity (Wang et al. 2004): Gaussian window of 11, sigma 1.5."""
    a, b = _reduced(one), _reduced(other)

    def blur(x: Any) -> Any:
        return cv2.GaussianBlur(x, (11, 11), 1.5)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    both = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    upper = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((upper / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def _reduced(gray: Gray) -> Any:
    scale = min(1.0, _SSIM_SIDE / max(gray.shape))
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def _part(counts: dict[str, list[int]], kind: str) -> str:
    hit, whole = counts.get(kind, [0, 0])
    return f"{hit}/{whole}"


if __name__ == "__main__":
    main()
