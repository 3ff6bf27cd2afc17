"""Texts that people write: what is accepted, and titles made of them."""

from fleetkit.errors import InvalidArgument

MAX_TEXT_BYTES = 16_000
MAX_TITLE_CHARS = 120


def check_text(text: str) -> None:
    """InvalidArgument unless it is 1–16,000 bytes of something other than white space."""
    size = len(text.encode())
    if not text.strip():
        raise InvalidArgument("the text is empty: write something", field="text")
    if size > MAX_TEXT_BYTES:
        raise InvalidArgument(
            f"the text has {size:,} bytes: at most {MAX_TEXT_BYTES:,} are allowed, so shorten it",
            field="text",
            reason="TEXT_TOO_LONG",
        )
    if "\0" in text:
        raise InvalidArgument("the text contains a NUL character: remove it", field="text")


def title_of(text: str) -> str:
    """The first words of a text in one line, at most 120 characters, cut between words."""
    line = " ".join(text.split())
    if len(line) <= MAX_TITLE_CHARS:
        return line
    words = line[:MAX_TITLE_CHARS].rpartition(" ")[0]
    if len(words) <= MAX_TITLE_CHARS // 2:
        # A language without spaces, or one endless word, is cut anywhere.
        words = line[: MAX_TITLE_CHARS - 1]
    return f"{words}…"
