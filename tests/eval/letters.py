"""Letters that vision-agent takes for no change: `python -m tests.eval.letters [--every 8]`.

Of the typefaces that are here, letters, digits and signs, plain and a pixel heavier, that come
where nothing was, that go, and that take the place of another one.
"""

import argparse
import random
import string
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from vision_agent.frames.deciding import Eyes, Rules

from .screens import Gray
from .workbench import table

_FONTS = Path("/usr/share/fonts/truetype")
_SIZES = (12, 14, 16, 18, 20, 24, 28, 32, 36, 40)
_SIGNS = string.ascii_letters + string.digits + "&?!%$#@+=/()[]{}<>*"
_PAPER, _INK = 245, 20
# Fainter ones no rule of pixels sees.
_LEVELS, _FEWEST = 48, 8
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def main() -> None:
    """Prints how many there are, how many are lost, and some of those."""
    arguments = argparse.ArgumentParser(description="Counts letters that are taken for no change.")
    arguments.add_argument("--every", type=int, default=8, help="try every so many-th")
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    rules = Rules.load()
    paper = np.full((128, 192), _PAPER, np.uint8)
    chance = random.Random(1)
    counts = {"comes": [0, 0], "goes": [0, 0], "takes another's place": [0, 0]}
    lost: list[str] = []
    for number, (sign, name, font, heavier) in enumerate(_letters()):
        if number % options.every:
            continue
        one = _drawn(paper, sign, font, heavier)
        other = _drawn(paper, chance.choice(_SIGNS.replace(sign, "")), font, heavier)
        pairs = ((paper, one), (one, paper), (other, one))
        for (kind, count), (before, after) in zip(counts.items(), pairs, strict=True):
            if np.count_nonzero(cv2.absdiff(before, after) > _LEVELS) < _FEWEST:
                continue
            count[1] += 1
            if not _is_seen(before, after, rules):
                count[0] += 1
                lost.append(f"{sign} {kind}, {name}")
    rows = [[kind, f"{some}", f"{whole}", f"{some / max(whole, 1):.2%}"]
            for kind, (some, whole) in counts.items()]  # fmt: skip
    print(table(["a letter", "lost", "of", "share"], rows), end="\n\n")
    print("\n".join(lost[:20]))


def _letters() -> Iterator[tuple[str, str, Font, int]]:
    for path in [None, *sorted(_FONTS.rglob("*.ttf"))]:
        for size in _SIZES:
            font = ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
            name = f"{path.stem if path else 'Pillow'} {size}"
            for heavier in (0, 1):
                for sign in _SIGNS:
                    yield sign, name + (" heavier" if heavier else ""), font, heavier


def _drawn(paper: Gray, sign: str, font: Font, heavier: int) -> Gray:
    image = Image.fromarray(paper)
    draw = ImageDraw.Draw(image)
    draw.text((80, 40), sign, fill=_INK, font=font, stroke_width=heavier, stroke_fill=_INK)
    return np.asarray(image, np.uint8)


def _is_seen(before: Gray, after: Gray, rules: Rules) -> bool:
    eyes = Eyes()
    eyes.look(before, 0, rules)
    # What is no word is read when it is seen again.
    return any(eyes.look(after, at, rules).kept for at in (1, 2))


if __name__ == "__main__":
    main()
