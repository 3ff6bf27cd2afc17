"""Fits `fitted.toml` of vision-agent: `python -m tests.eval.fit_frames [--write]`.

Prints the accuracy of content types by cross-validation over families of stills first: by the two
signals that the product plan names, then by all signals.
"""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from vision_agent.frames import content
from vision_agent.frames.content import SIGNALS, TYPES, ContentModel, ContentType
from vision_agent.frames.deciding import Eyes, Rules
from vision_agent.frames.perceptual import distance, phash
from vision_agent.frames.tiles import TileRule

from .screen_scripts import Screen, Step, Tally, play
from .screens import Recording, Still, sessions, stills, videos
from .workbench import parser, table

Matrix = NDArray[np.float64]
_FOLDS = 5
_RIDGE = 1e-2
_SCREENS = 30


def main() -> None:
    """Fits, prints, and writes where told to."""
    arguments = parser("Fits the thresholds of the frame pipeline.")
    arguments.add_argument("--write", action="store_true", help="replace fitted.toml")
    arguments.add_argument("--version", default="1", help="version of the new file")
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    recordings = videos(options.data, options.cache)
    labelled = [*stills(options.data), *natural_frames(recordings)]
    accuracy = print_content(labelled)
    model = fit_model(labelled, options.version)
    thresholds = fit_thresholds(sessions(options.data, options.cache), recordings, model)
    scripts = scripts_of(labelled, _SCREENS)
    tiles = fit_tiles(scripts, model, thresholds)
    text = as_toml(model, thresholds, tiles, options.version, accuracy, len(labelled))
    print(text)
    if options.write:
        path = Path(str(files("vision_agent.frames") / "fitted.toml"))
        path.write_text(text)
        print(f"wrote {path}")


def natural_frames(recordings: Sequence[Recording]) -> list[Still]:
    """Frames of the natural videos: the stills have too few pictures that are no screen."""
    return [
        Still(f"{recording.name}-{number}", recording.name, ContentType.VIDEO, shot.gray)
        for recording in recordings
        if recording.type == "video"
        for number, shot in enumerate(recording.shots)
    ]


def print_content(labelled: Sequence[Still]) -> float:
    """Cross-validated accuracy of both sets of signals, and the confusions of the full one."""
    features = np.array([content.signals(still.gray) for still in labelled])
    truth = np.array([TYPES.index(still.type) for still in labelled])
    two = features[:, :2]
    guessed = {"two signals": held_out(two, truth, labelled)}
    guessed["all signals"] = held_out(features, truth, labelled)
    rows = [[name, *_accuracies(truth, found)] for name, found in guessed.items()]
    print(table(["by", "accuracy", "balanced", *TYPES], rows), end="\n\n")
    found = guessed["all signals"]
    confusion = [
        [TYPES[t], *(str(int(((truth == t) & (found == g)).sum())) for g in range(len(TYPES)))]
        for t in range(len(TYPES))
    ]
    print(table(["is \\ taken for", *TYPES], confusion), end="\n\n")
    return float((found == truth).mean())


def held_out(features: Matrix, truth: NDArray[np.intp], labelled: Sequence[Still]) -> NDArray[Any]:
    """Each still's type by a model fitted without its family's fold."""
    families = sorted({still.family for still in labelled})
    fold_of = {family: number % _FOLDS for number, family in enumerate(families)}
    folds = np.array([fold_of[still.family] for still in labelled])
    guessed = np.zeros(len(truth), int)
    for fold in range(_FOLDS):
        test = folds == fold
        means, scales, weights, biases = softmax_regression(features[~test], truth[~test])
        scores = (features[test] - means) / scales @ weights.T + biases
        guessed[test] = scores.argmax(axis=1)
    return guessed


def softmax_regression(
    features: Matrix, truth: NDArray[np.intp]
) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Means, scales, weights and biases; types count the same whatever their number."""
    means, scales = features.mean(axis=0), features.std(axis=0) + 1e-9
    inputs = np.hstack([(features - means) / scales, np.ones((len(features), 1))])
    wanted = np.eye(len(TYPES))[truth]
    share = wanted.sum(axis=0)
    importance = (1 / np.maximum(share, 1))[truth][:, None] * len(truth) / len(TYPES)
    weights = np.zeros((len(TYPES), inputs.shape[1]))
    for _ in range(3000):
        scores = inputs @ weights.T
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        slope = ((likely - wanted) * importance).T @ inputs / len(inputs)
        slope[:, :-1] += _RIDGE * weights[:, :-1]
        weights -= 0.3 * slope
    return means, scales, weights[:, :-1], weights[:, -1]


def fit_model(labelled: Sequence[Still], version: str) -> ContentModel:
    """The model of all stills."""
    features = np.array([content.signals(still.gray) for still in labelled])
    truth = np.array([TYPES.index(still.type) for still in labelled])
    return ContentModel(version, *softmax_regression(features, truth))


def fit_thresholds(
    desktop: Sequence[Recording], recordings: Sequence[Recording], model: ContentModel
) -> dict[str, int]:
    """For each type the hash distance that tells another scene best from the same.

    Another scene: more than a quarter of the pixels differ; the same: fewer than a twentieth.
    The seed's value stays where a type has fewer than ten pairs of a kind.
    """
    seed = dict(zip(TYPES, (10, 12, 15, 20), strict=True))
    found: dict[str, int] = {}
    rows: list[list[str]] = []
    pairs: dict[ContentType, tuple[list[int], list[int]]] = {kind: ([], []) for kind in TYPES}
    for recording in (*desktop, *recordings):
        for before, after in itertools.pairwise(shot.gray for shot in recording.shots):
            if before.shape != after.shape:
                continue
            kind = (
                ContentType.VIDEO
                if recording.type == "video"
                else model.classify(content.signals(after))
            )
            share = float((cv2.absdiff(before, after) > 24).mean())
            if 0.05 < share < 0.25:
                continue
            pairs[kind][int(share >= 0.25)].append(distance(phash(before), phash(after)))
    for kind, (same, other) in pairs.items():
        best = seed[kind]
        if min(len(same), len(other)) >= 10:
            best = max(range(2, 33), key=lambda t: _youden(same, other, t))
        found[kind] = best
        rows.append([kind, f"{len(same)}", f"{len(other)}", f"{seed[kind]}",
                     f"{_youden(same, other, seed[kind]):.3f}", f"{best}",
                     f"{_youden(same, other, best):.3f}"])  # fmt: skip
    head = ["type", "same", "other scene", "seed", "its J", "fitted", "its J"]
    print(table(head, rows), end="\n\n")
    return found


def _youden(same: list[int], other: list[int], threshold: int) -> float:
    kept = np.mean([d <= threshold for d in same]) if same else 0.0
    seen = np.mean([d > threshold for d in other]) if other else 0.0
    return float(kept + seen - 1)


def scripts_of(labelled: Sequence[Still], most: int) -> list[list[Step]]:
    """Scripts on captures large enough, spread over the types."""
    large = [s for s in labelled if min(s.gray.shape) >= 400 and s.gray.shape[1] >= 600]
    chosen = large[:: max(1, len(large) // most)][:most]
    return [list(Screen(still.gray, seed).script()) for seed, still in enumerate(chosen)]


def fit_tiles(
    scripts: Sequence[Sequence[Step]], model: ContentModel, thresholds: dict[str, int]
) -> dict[str, float]:
    """The tile rule with the best balance: a missed change counts as ten unchanged frames sent."""
    rows: list[list[str]] = []
    tried: list[tuple[float, dict[str, float]]] = []
    for levels, pixels, restless in itertools.product((24, 32, 40, 48), (4, 6, 10), (3,)):
        settings = {"min_levels": levels, "min_pixels": pixels, "restless_changes": restless,
                    "video_share": 0.15}  # fmt: skip
        rules = Rules(
            model, {ContentType(k): v for k, v in thresholds.items()},
            TileRule(levels, pixels), restless, 0.15, heartbeat_s=1e9,
        )  # fmt: skip
        tally = Tally.new()
        for script in scripts:
            eyes = Eyes()
            play(list(script), lambda g, t, e=eyes, r=rules: _decide(e, g, t, r), tally)
        rows.append([f"{levels}", f"{pixels}", f"{restless}", f"{tally.missed:.2%}",
                     f"{tally.sent:.2%}"])  # fmt: skip
        tried.append((10 * tally.missed + tally.sent, settings))
    print(table(["levels", "pixels", "restless", "missed", "sent"], rows), end="\n\n")
    return min(tried, key=lambda each: each[0])[1]


def _decide(eyes: Eyes, gray: Any, at_s: float, rules: Rules) -> tuple[bool, Any]:
    decision = eyes.look(gray, at_s, rules)
    return decision.kept, decision.boxes


def _accuracies(truth: NDArray[Any], found: NDArray[Any]) -> list[str]:
    each = [float((found[truth == t] == t).mean()) for t in range(len(TYPES))]
    return [f"{(found == truth).mean():.3f}", f"{np.mean(each):.3f}", *(f"{a:.3f}" for a in each)]


def as_toml(
    model: ContentModel,
    thresholds: dict[str, int],
    tiles: dict[str, float],
    version: str,
    accuracy: float,
    count: int,
) -> str:
    """The file that the service ships."""
    lines = [
        "# Thresholds of the frame pipeline. `python -m tests.eval.fit_frames` prints them again.",
        f'version = "{version}"',
        f"fitted = {datetime.now(UTC):%Y-%m-%d}",
        'provenance = """',
        f"content: softmax regression on {count} labelled screens and video frames, types weighted",
        f"alike; right for {accuracy:.3f} of them by 5-fold cross-validation over families.",
        "phash: the distance that tells another scene best from the same, by type, on recorded",
        "desktop sessions and screen recordings. tiles: searched on scripts played on captures.",
        '"""',
        "",
        "[phash]",
        *(f"{kind} = {value}" for kind, value in thresholds.items()),
        "",
        "[tiles]",
        *(f"{name} = {value}" for name, value in tiles.items()),
        "",
        "[content]",
        f'version = "{model.version}"',
        f"types = {[str(kind) for kind in TYPES]}",
        f"signals = {list(SIGNALS)}",
        *(f"{name} = {np.round(getattr(model, name), 4).tolist()}"
          for name in ("means", "scales", "weights", "biases")),
    ]  # fmt: skip
    return "\n".join(lines).replace("'", '"') + "\n"


if __name__ == "__main__":
    main()
