"""Fits `fitted.toml` of vision-agent: `python -m tests.eval.fit_frames [--write]`.

Every number that is fitted is also measured on what it was not fitted to: types by folds over
families of stills, distances of the hash by folds over recordings, tiles and waiting by leaving out
one recording after the other. The file holds what all of them together say, and those measures.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from vision_agent.frames import content
from vision_agent.frames.content import SIGNALS, TYPES, ContentModel, ContentType
from vision_agent.frames.deciding import Rules
from vision_agent.frames.perceptual import distance, phash

from .fit_tiles import all_played, fit_tiles
from .screen_scripts import Screen, Step
from .screens import Recording, Still, sessions, stills, videos
from .workbench import parser, table

Matrix = NDArray[np.float64]
_FOLDS = 5
_RIDGE = 1e-2
_SCREENS = 32
_SEED = dict(zip(TYPES, (10, 12, 15, 20), strict=True))
_FEWEST = 10


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
    desktop = sessions(options.data, options.cache)
    thresholds, apart = fit_thresholds([*desktop, *recordings], model)
    screens = [recording for recording in recordings if recording.type != "video"]
    played = all_played(scripts_of(labelled, _SCREENS), screens)
    of_type = {ContentType(kind): limit for kind, limit in thresholds.items()}
    rules = replace(Rules.load(), model=model, thresholds=of_type)
    choice, held_out = fit_tiles(played, rules)
    rules = replace(rules, tile=choice.tile, little_tiles=choice.little_tiles)
    of_scripts, of_recordings = held_out["scripts"], held_out["recordings"]
    provenance = (
        f"content: softmax regression on {len(labelled)} labelled screens and video frames, types\n"
        f"weighted alike; right for {accuracy:.3f} of them by {_FOLDS}-fold cross-validation over"
        " families.\n"
        "phash: the distance that tells another scene best from the same, by type, on pairs of\n"
        f"{len(desktop)} desktop sessions and {len(recordings)} videos; J {apart:.3f} on recordings"
        " held out.\n"
        f"tiles: searched on {_SCREENS} scripts and {len(screens)} screen recordings. Of scripts"
        f" left out {of_scripts.missed:.2%} of the\n"
        f"changes were missed and {of_scripts.sent:.2%} of the duplicates sent, of recordings"
        f" {of_recordings.missed:.2%} and {of_recordings.sent:.2%}."
    )
    text = as_toml(rules, options.version, provenance)
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


@dataclass(frozen=True, slots=True)
class Pair:
    """Two frames of a recording that follow each other: how far apart, and whether one scene."""

    fold: int
    kind: ContentType
    distance: int
    other: bool


def fit_thresholds(
    recordings: Sequence[Recording], model: ContentModel
) -> tuple[dict[str, int], float]:
    """For each type the hash distance that tells another scene best from the same.

    And J over all types with each recording judged by distances fitted without its fold.
    """
    pairs = list(_pairs(recordings, model))
    found = {kind: _best_distance(pairs, kind) for kind in TYPES}
    held_out = [
        replace(pair, distance=pair.distance - limit[pair.kind])
        for fold in range(_FOLDS)
        if (limit := {k: _best_distance([p for p in pairs if p.fold != fold], k) for k in TYPES})
        for pair in pairs
        if pair.fold == fold
    ]
    rows: list[list[str]] = []
    for kind in TYPES:
        of_kind = [pair for pair in pairs if pair.kind == kind]
        tried = [pair for pair in held_out if pair.kind == kind]
        counts = [sum(pair.other is other for pair in of_kind) for other in (False, True)]
        judged = ((of_kind, _SEED[kind]), (of_kind, found[kind]), (tried, 0))
        of_seed, of_fitted, of_held_out = (f"{_youden(*each):.3f}" for each in judged)
        rows.append([kind, f"{counts[0]}", f"{counts[1]}", f"{_SEED[kind]}", of_seed,
                     f"{found[kind]}", of_fitted, of_held_out])  # fmt: skip
    head = ["type", "same", "other scene", "seed", "its J", "fitted", "its J", "J held out"]
    print(table(head, rows), end="\n\n")
    return {str(kind): limit for kind, limit in found.items()}, _youden(held_out, 0)


def _pairs(recordings: Sequence[Recording], model: ContentModel) -> Iterator[Pair]:
    """Another scene: more than a quarter of the pixels differ; the same: fewer than a twentieth."""
    for number, recording in enumerate(recordings):
        for before, after in itertools.pairwise(shot.gray for shot in recording.shots):
            if before.shape != after.shape:
                continue
            share = float((cv2.absdiff(before, after) > 24).mean())
            if 0.05 < share < 0.25:
                continue
            kind = (
                ContentType.VIDEO
                if recording.type == "video"
                else model.classify(content.signals(after))
            )
            apart = distance(phash(before), phash(after))
            yield Pair(number % _FOLDS, kind, apart, share >= 0.25)


def _best_distance(pairs: Sequence[Pair], kind: ContentType) -> int:
    """The seed's value stays where a type has fewer than ten pairs of a sort."""
    of_kind = [pair for pair in pairs if pair.kind == kind]
    if min(sum(p.other is other for p in of_kind) for other in (False, True)) < _FEWEST:
        return _SEED[kind]
    return max(range(2, 33), key=lambda limit: _youden(of_kind, limit))


def _youden(pairs: Sequence[Pair], threshold: int) -> float:
    """Share of same scenes within, plus share of other scenes beyond, less one."""
    same = [pair.distance <= threshold for pair in pairs if not pair.other]
    other = [pair.distance > threshold for pair in pairs if pair.other]
    return float((np.mean(same) if same else 0.0) + (np.mean(other) if other else 0.0) - 1)


def scripts_of(labelled: Sequence[Still], most: int) -> list[list[Step]]:
    """Scripts on captures large enough, spread over the types."""
    large = [s for s in labelled if min(s.gray.shape) >= 400 and s.gray.shape[1] >= 600]
    chosen = large[:: max(1, len(large) // most)][:most]
    return [list(Screen(still.gray, seed).script()) for seed, still in enumerate(chosen)]


def _accuracies(truth: NDArray[Any], found: NDArray[Any]) -> list[str]:
    each = [float((found[truth == t] == t).mean()) for t in range(len(TYPES))]
    return [f"{(found == truth).mean():.3f}", f"{np.mean(each):.3f}", *(f"{a:.3f}" for a in each)]


def as_toml(rules: Rules, version: str, provenance: str) -> str:
    """The file that the service ships."""
    model, tile = rules.model, rules.tile
    lines = [
        "# Thresholds of the frame pipeline, written by `python -m tests.eval.fit_frames --write`.",
        f'version = "{version}"',
        f"fitted = {datetime.now(UTC):%Y-%m-%d}",
        'provenance = """',
        provenance,
        '"""',
        "",
        "[phash]",
        *(f"{kind} = {value}" for kind, value in rules.thresholds.items()),
        "",
        "[tiles]",
        f"min_levels = {tile.min_levels}",
        f"min_pixels = {tile.min_pixels}",
        f"word_aspect = {tile.word_aspect}",
        f"little_tiles = {rules.little_tiles}",
        f"restless_changes = {rules.restless_changes}",
        f"video_share = {rules.video_share}",
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
