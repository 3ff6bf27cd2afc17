"""The labelled screens and recordings, read from their archives."""

import csv
import hashlib
import io
import json
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from vision_agent.frames.content import ContentType

Gray = NDArray[np.uint8]
_LABELS = Path(__file__).with_name("frame_labels.toml")

# Which kind of content each kind of the labelled stills is.
TYPE_OF = {
    "code_editor": ContentType.CODE_TEXT,
    "terminal_or_log": ContentType.CODE_TEXT,
    "web_app_ui": ContentType.STATIC_UI,
    "desktop_dialog": ContentType.STATIC_UI,
    "dashboard_chart": ContentType.STATIC_UI,
    "doc_page": ContentType.DOCUMENTATION,
    "diagram": ContentType.DOCUMENTATION,
    "photo_hardware": ContentType.VIDEO,
}
# Pixels that differ by so much are a change to the eye; share of the frame from which no reading
# is needed to say so, and below which a change without other text counts as none.
_VISIBLE_LEVELS = 24
_OBVIOUS_SHARE = 0.15
_SAME_SHARE = 0.005
_QUALITY = 80
# Where these desktops have their clock, and the share of a pair that differs little.
_CLOCK = np.s_[728:760, 921:970]
_LITTLE_SHARE = 0.0015


@dataclass(frozen=True, slots=True)
class Still:
    """A labelled still; `family` keeps near-alike ones in one fold."""

    name: str
    family: str
    type: ContentType
    gray: Gray


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame of a recorded screen; `changed` against the one before: None where unclear."""

    gray: Gray
    at_s: float
    changed: bool | None


@dataclass(frozen=True, slots=True)
class Recording:
    """Frames of one screen in time order."""

    name: str
    type: str
    shots: list[Shot]


def as_sent(image: Gray, quality: int = _QUALITY) -> Gray:
    """The image after the JPEG compression that the widget applies."""
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)


def stills(data: Path) -> Iterator[Still]:
    """The typed stills."""
    files = _unpacked(data / "screens_typed_dev.tar.gz")
    for row in _manifest(files, "screens_typed_dev"):
        gray = _decode(files[f"screens_typed_dev/{row['file']}"])
        name = row["file"].split("/")[1]
        family = (
            name.split("_y")[0] if row["type"] == "doc_page" else row["origin"].rsplit("/", 1)[0]
        )
        yield Still(name, family, TYPE_OF[row["type"]], gray)


def sessions(data: Path, cache: Path) -> list[Recording]:
    """Recorded desktop sessions; their frames are minutes apart."""
    files = _unpacked(data / "screens_sessions_dev.tar.gz")
    reader = PairLabels(cache)
    by_session: dict[str, list[dict[str, str]]] = {}
    for row in _manifest(files, "screens_sessions_dev"):
        by_session.setdefault(row["session"], []).append(row)
    found: list[Recording] = []
    for name, rows in by_session.items():
        frames = [_decode(files[f"screens_sessions_dev/{row['file']}"]) for row in rows]
        times = [
            datetime.strptime(f"{row['timestamp']}Z", "%Y-%m-%d_%H-%M-%S-%f%z").timestamp()
            for row in rows
        ]
        found.append(Recording(name, rows[0]["type"], _shots(frames, times, reader)))
    reader.keep()
    return found


def without_clock(recordings: list[Recording]) -> list[Recording]:
    """The sessions with their first clock in every frame, so that its minutes are no change.

    Which of the pairs that differ little then differ by other text was looked up by eye; those that
    differ somewhat more are unclear.
    """
    labels = tomllib.loads(_LABELS.read_text())["beside_the_clock"]
    found: list[Recording] = []
    for recording in recordings:
        shots: list[Shot] = []
        for number, shot in enumerate(recording.shots):
            gray = shot.gray.copy()
            if shots and gray.shape == shots[0].gray.shape:
                gray[_CLOCK] = shots[0].gray[_CLOCK]
            changed = shot.changed
            if changed and gray.shape == shots[-1].gray.shape:
                share = float(_visible(shots[-1].gray, gray).mean())
                if share < _SAME_SHARE:
                    changed = None
                if share < _LITTLE_SHARE:
                    changed = number in labels.get(recording.name, ())
            shots.append(Shot(gray, shot.at_s, changed))
        found.append(replace(recording, shots=shots))
    return found


def videos(data: Path, cache: Path, fps: float = 1.0) -> list[Recording]:
    """Screen recordings and two natural videos, sampled."""
    files = _unpacked(data / "videos_dev.tar.gz")
    reader = PairLabels(cache)
    found: list[Recording] = []
    for row in _manifest(files, "videos_dev"):
        frames = list(_sampled(files[f"videos_dev/{row['file']}"], fps))
        times = [number / fps for number in range(len(frames))]
        kind = "video" if row["type"].startswith("natural") else row["type"]
        shots = _by_eye(row["file"], _shots(frames, times, reader), fps)
        found.append(Recording(row["file"], kind, shots))
    reader.keep()
    return found


class PairLabels:
    """Says whether two frames show other text, by reading both where they differ; kept in a file.

    This is the one judge here that does not count pixels.
    """

    def __init__(self, cache: Path) -> None:
        self._path = cache / "frame_pairs.json"
        self._known: dict[str, bool | None] = {}
        if self._path.exists():
            self._known = json.loads(self._path.read_text())
        self._engine = None

    def keep(self) -> None:
        """Writes what was read."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._known))

    def changed(self, before: Gray, after: Gray) -> bool | None:
        """True for other text or another picture, False for the same, None where unclear."""
        if before.shape != after.shape:
            return True
        mask = _visible(before, after)
        share = float(mask.mean())
        if share > _OBVIOUS_SHARE:
            return True
        if not mask.any():
            return False
        key = hashlib.sha256(before.tobytes() + after.tobytes()).hexdigest()[:24]
        if key not in self._known:
            other_text = self._other_text(before, after, mask)
            self._known[key] = True if other_text else (False if share < _SAME_SHARE else None)
            if len(self._known) % 20 == 0:
                self.keep()
        return self._known[key]

    def _other_text(self, before: Gray, after: Gray, mask: Gray) -> bool:
        near = cv2.dilate(mask, np.ones((25, 121), np.uint8))
        count, _, stats, _ = cv2.connectedComponentsWithStats(near)
        parts = [
            np.s_[y : y + height, x : x + width]
            for x, y, width, height, _ in stats[1:count].tolist()
        ]
        return any(self._read(before[part]) != self._read(after[part]) for part in parts)

    def _read(self, part: Gray) -> list[str]:
        if self._engine is None:
            from rapidocr import RapidOCR

            self._engine = RapidOCR(
                params={
                    "Global.log_level": "critical",
                    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                    "Det.limit_type": "max",
                    "Det.limit_side_len": 1280,
                }
            )
        if part.size < 200_000:
            part = np.asarray(cv2.resize(part, None, fx=2, fy=2), np.uint8)
        read: Any = self._engine(cv2.cvtColor(part, cv2.COLOR_GRAY2BGR), use_cls=False)
        # A caret is read as a bar, an l or an I; blanks come and go.
        texts = [text.translate(str.maketrans("", "", " |lI1_.'`,-")) for text in read.txts or ()]
        return sorted(text for text in texts if len(text) > 1)


def _visible(before: Gray, after: Gray) -> Gray:
    return (cv2.absdiff(before, after) > _VISIBLE_LEVELS).astype(np.uint8)


def _shots(frames: list[Gray], times: list[float], reader: PairLabels) -> list[Shot]:
    shots = [Shot(frames[0], times[0], None)]
    for before, after, at_s in zip(frames, frames[1:], times[1:], strict=False):
        shots.append(Shot(after, at_s, reader.changed(before, after)))
    return shots


def _by_eye(name: str, shots: list[Shot], fps: float) -> list[Shot]:
    """The shots with the labels that somebody looked at, which are of one frame a second."""
    if fps != 1:
        return shots
    labels = tomllib.loads(_LABELS.read_text())
    seen = {"same": False, "changed": True, "unclear": None}
    corrected = {
        number: said for label, said in seen.items() for number in labels[label].get(name, ())
    }
    return [
        replace(shot, changed=corrected.get(number, shot.changed))
        for number, shot in enumerate(shots)
    ]


def _unpacked(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {
            member.name: file.read()
            for member in tar.getmembers()
            if member.isfile() and (file := tar.extractfile(member)) is not None
        }


def _manifest(files: dict[str, bytes], name: str) -> list[dict[str, str]]:
    text = files[f"{name}/manifest.tsv"].decode()
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def _decode(packed: bytes) -> Gray:
    gray = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(gray, np.uint8)


def _sampled(packed: bytes, fps: float) -> Iterator[Gray]:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(packed)
        file.flush()
        video = cv2.VideoCapture(file.name)
        native = video.get(cv2.CAP_PROP_FPS) or fps
        number, wanted = 0, 0.0
        while video.grab():
            if number >= wanted:
                frame = video.retrieve()[1]
                yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
                wanted += native / fps
            number += 1
        video.release()
