"""How a text longer than the model's window becomes one vector.

A text that does not fit is cut into windows of even size; the sums of the windows' token vectors
are added up, so that the tail of a long text counts as much as its head.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Whether a text's token vectors are wanted too, and in which form.
Keep = Literal["", "query", "passage"]

HIDDEN = 384
# The length that the model was trained and evaluated with, [CLS] and [SEP] included.
WINDOW_TOKENS = 256
# Of a longer text (over 8,128 tokens) evenly spaced windows stand for the whole.
MAX_WINDOWS = 32

_CONTENT_TOKENS = WINDOW_TOKENS - 2


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a text: the sum of its token vectors, and the count of tokens in it.

    `windows` is how many windows the text has; `text_tokens` how many tokens it has without the
    special ones; `token_vectors` those of `minilm.token_vectors`, where they were asked for.
    """

    vector_sum: NDArray[np.float32]
    tokens: int
    windows: int
    text_tokens: int
    token_vectors: bytes = b""


def window_bounds(tokens: int) -> list[tuple[int, int]]:
    """Start and end of each window of a text of `tokens` tokens, in order, at most MAX_WINDOWS."""
    count = max(1, -(-tokens // _CONTENT_TOKENS))
    edges = [round(index * tokens / count) for index in range(count + 1)]
    bounds = list(itertools.pairwise(edges))
    if count <= MAX_WINDOWS:
        return bounds
    kept = np.linspace(0, count - 1, MAX_WINDOWS).round().astype(int)
    return [bounds[index] for index in kept]


def pool(windows: Sequence[Window]) -> NDArray[np.float32]:
    """The unit vector of a text: the mean over the tokens of all its windows, normalised."""
    mean = np.sum([window.vector_sum for window in windows], axis=0)
    mean /= sum(window.tokens for window in windows)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
