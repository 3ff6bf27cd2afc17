"""What kind of content a frame shows, from cheap signals of a small picture of it.

The weights are fitted on labelled screens (`python -m tests.eval.fit_frames`), because fixed
bounds of Laplacian variance and edge ratio do not tell real screens apart.
"""

import enum
import math
import tomllib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_agent.frames.images import Gray, reduced

_CANNY = (50, 150)
STABLE_FRAMES = 3
SIGNALS = (
    "log_laplacian", "edge_ratio", "background", "background_level", "midtones", "levels",
    "line_rhythm", "ink_left", "width_height",
)  # fmt: skip


class ContentType(enum.StrEnum):
    """Kinds of content, as they stand in statistics."""

    CODE_TEXT = "code_text"
    STATIC_UI = "static_ui"
    DOCUMENTATION = "documentation"
    VIDEO = "video"


TYPES = tuple(ContentType)


@dataclass(frozen=True, slots=True)
class ContentModel:
    """A linear model: standardised signals × weights + bias, one score for each type."""

    version: str
    means: NDArray[np.float64]
    scales: NDArray[np.float64]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]

    def classify(self, signals: NDArray[np.float64]) -> ContentType:
        """The type with the highest score."""
        scores = self.weights @ ((signals - self.means) / self.scales) + self.biases
        return TYPES[int(np.argmax(scores))]


@dataclass(slots=True)
class StableType:
    """The type shown by the last frames: another one must come three times in a row.

    Without it a frame in between (a menu, a half-drawn page) would change the threshold back and
    forth.
    """

    type: ContentType | None = None
    _candidates: deque[ContentType] = field(default_factory=lambda: deque(maxlen=STABLE_FRAMES))

    @property
    def settled(self) -> bool:
        """Whether the last frames looked at agreed on the type."""
        return len(self._candidates) == STABLE_FRAMES and set(self._candidates) == {self.type}

    def see(self, shown: ContentType) -> bool:
        """Takes one frame's type; whether the stable type changed."""
        self._candidates.append(shown)
        if self.type is None:
            self.type = shown
            return False
        agreed = len(self._candidates) == STABLE_FRAMES and len(set(self._candidates)) == 1
        if not agreed or shown == self.type:
            return False
        self.type = shown
        return True


def signals(gray: Gray) -> NDArray[np.float64]:
    """The signals named in SIGNALS; about 0.6 ms at 1080p."""
    small = reduced(gray)
    laplacian = cv2.meanStdDev(cv2.Laplacian(small, cv2.CV_16S))[1][0][0] ** 2
    edges = cv2.Canny(small, *_CANNY)
    counts = cv2.calcHist([small], [0], None, [32], [0, 256]).ravel() / small.size
    background = int(counts.argmax())
    near = counts[max(background - 1, 0) : background + 2].sum()
    rows = edges.mean(axis=1) / 255
    columns = edges.mean(axis=0) / 255
    left = columns[: len(columns) // 2].sum() / max(columns.sum(), 1e-9)
    present = counts[counts > 0]
    return np.array(
        [
            math.log1p(laplacian),
            float(edges.mean()) / 255,
            float(near),
            background / 31,
            float(counts[8:24].sum()),
            float(-(present * np.log2(present)).sum()) / 5,
            float(rows.std() / max(rows.mean(), 1e-9)),
            float(left),
            gray.shape[1] / gray.shape[0],
        ]
    )


def parse_model(entry: Mapping[str, object]) -> ContentModel:
    """The model in a table of the fitted file; ValueError when it does not fit the code."""
    if entry["signals"] != list(SIGNALS) or entry["types"] != list(TYPES):
        raise ValueError("the fitted content model has other signals or types than the code")
    array = {
        name: np.array(entry[name], np.float64) for name in ("means", "scales", "weights", "biases")
    }
    return ContentModel(str(entry["version"]), **array)


def load_fitted() -> dict[str, object]:
    """The fitted file that ships with the service."""
    return tomllib.loads(resources.files("vision_agent.frames").joinpath("fitted.toml").read_text())
