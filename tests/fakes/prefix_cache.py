"""Anthropic's prompt cache, by its documented rules: what a request reads, writes and pays in full.

- A prompt is a row of blocks: tools, then system, then messages. An entry is a prefix of it that
  ended at a breakpoint of an earlier request; a change anywhere in it makes it another prefix.
- What is set beside the blocks belongs to a level: whether documents are cited to the system's,
  `tool_choice` and `thinking` to the messages'. A change invalidates that level and all after.
- Each of at most 4 breakpoints looks for an entry at its own block and the 19 before it. The
  longest found is read; what stands between it and the last breakpoint is written.
- A prefix shorter than the model's minimum is neither read nor written, without a word.
- An entry lives 5 minutes or an hour from its last use; being read, or being marked within what
  was read, is use. Hours are written before minutes, as breakpoints must stand.
- Entries are of one workspace and one model, and there once the response that writes them begins.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TTL_S = {"5m": 300.0, "1h": 3600.0}
MOST_BREAKPOINTS = 4
LOOK_BACK_BLOCKS = 20
# The documented minima in tokens; those of the 5.5 models are not published.
MINIMUM_TOKENS = {
    "claude-opus-4-8": 1024,
    "claude-sonnet-4-6": 1024,
    "claude-sonnet-4-5": 1024,
    "claude-opus-4-7": 2048,
    "claude-opus-4-6": 4096,
    "claude-opus-4-5": 4096,
    "claude-haiku-4-5": 4096,
}
_OTHERWISE_TOKENS = 1024
_BYTES_PER_TOKEN = 4
# Pictures are not paid by their bytes.
_IMAGE_TOKENS = 1600


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the prompt: the hash of all up to its end, their tokens, and its breakpoint."""

    prefix: str
    tokens_to_here: int
    ttl: str | None


@dataclass(slots=True)
class _Entry:
    ttl: str
    expires_at_s: float


@dataclass(frozen=True, slots=True)
class PromptUsage:
    """Tokens of a prompt by how they are paid, and what will be there once it was answered."""

    input: int
    read: int
    written_5m: int
    written_1h: int
    writes: tuple[tuple[str, str], ...]

    def as_usage(self) -> dict[str, Any]:
        """As the API reports it: `input_tokens` without what was read and written."""
        return {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.written_5m + self.written_1h,
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written_5m,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
            "output_tokens": 1,
            "service_tier": "standard",
        }


class PrefixCache:
    """The entries of every workspace. `now` is in seconds; tests move it.

    `minimum_tokens`: by model, or one for all.
    """

    def __init__(
        self, now: Callable[[], float], minimum_tokens: int | Mapping[str, int] = MINIMUM_TOKENS
    ) -> None:
        self._now = now
        self._minimum_tokens = minimum_tokens
        self._entries: dict[tuple[str, str], _Entry] = {}

    def look_up(self, workspace: str, body: Mapping[str, Any]) -> PromptUsage:
        """What the prompt reads and will write; refreshes what it uses."""
        now = self._now()
        row = list(blocks(body))
        minimum = self._minimum(body["model"])
        marked = [
            index
            for index, b in enumerate(row)
            if b.ttl is not None and b.tokens_to_here >= minimum
        ]
        hit = max(
            (self._found(workspace, row, index, minimum, now) for index in marked), default=-1
        )
        for index in (index for index in {*marked, hit} if 0 <= index <= hit):
            self._refresh(workspace, row[index].prefix, now)
        read = row[hit].tokens_to_here if hit >= 0 else 0
        hour = max((row[i].tokens_to_here for i in marked if row[i].ttl == "1h"), default=0)
        last = row[marked[-1]].tokens_to_here if marked else 0
        written_1h, written = max(0, hour - read), max(0, last - read)
        writes = tuple((row[i].prefix, row[i].ttl or "5m") for i in marked if i > hit)
        total = row[-1].tokens_to_here if row else 0
        return PromptUsage(total - read - written, read, written - written_1h, written_1h, writes)

    def write(self, workspace: str, usage: PromptUsage) -> None:
        """The response has begun: what it wrote is there."""
        now = self._now()
        for prefix, ttl in usage.writes:
            self._entries[workspace, prefix] = _Entry(ttl, now + TTL_S[ttl])

    def _found(self, workspace: str, row: list[Block], index: int, minimum: int, now: float) -> int:
        """The last block of the longest live entry that the breakpoint at `index` finds, or -1."""
        for at in range(index, max(-1, index - LOOK_BACK_BLOCKS), -1):
            entry = self._entries.get((workspace, row[at].prefix))
            if entry and entry.expires_at_s > now and row[at].tokens_to_here >= minimum:
                return at
        return -1

    def _refresh(self, workspace: str, prefix: str, now: float) -> None:
        entry = self._entries.get((workspace, prefix))
        if entry and entry.expires_at_s > now:
            entry.expires_at_s = now + TTL_S[entry.ttl]

    def _minimum(self, model: str) -> int:
        if isinstance(self._minimum_tokens, int):
            return self._minimum_tokens
        return self._minimum_tokens.get(model, _OTHERWISE_TOKENS)


def blocks(body: Mapping[str, Any]) -> Iterator[Block]:
    """The prompt's blocks in the order of the cache."""
    digest = hashlib.sha256(body["model"].encode())
    tokens = 0
    for level, parts in _levels(body):
        digest.update(level.encode())
        for part in parts:
            text = json.dumps({k: v for k, v in part.items() if k != "cache_control"})
            tokens += _tokens(part, text)
            digest.update(text.encode())
            control = part.get("cache_control")
            yield Block(digest.hexdigest(), tokens, control.get("ttl", "5m") if control else None)


def count_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of the whole prompt."""
    return max((block.tokens_to_here for block in blocks(body)), default=0)


def as_list(content: Any) -> list[dict[str, Any]]:
    """Content as blocks, where the API takes a string, too."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def refusal(body: Mapping[str, Any]) -> str:
    """What the API does not accept of the breakpoints; "" when they are fine."""
    ttls = [block.ttl for block in blocks(body) if block.ttl is not None]
    if len(ttls) > MOST_BREAKPOINTS:
        return f"A maximum of 4 blocks with cache_control may be provided. Found {len(ttls)}."
    if any(ttl not in TTL_S for ttl in ttls):
        return "cache_control.ttl: Input should be '5m' or '1h'"
    if "1h" in ttls and "5m" in ttls[: len(ttls) - ttls[::-1].index("1h")]:
        return "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"
    inner = [
        part for m in body["messages"] for block in as_list(m["content"]) for part in _within(block)
    ]
    if any("cache_control" in part for part in inner):
        return "cache_control: only top-level blocks can be cached"
    return ""


def _levels(body: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    yield "tools", list(body.get("tools", ()))
    messages = [
        {"role": message["role"], **block}
        for message in body["messages"]
        for block in as_list(message["content"])
    ]
    cites = any(block.get("citations", {}) for block in messages if block["type"] == "document")
    yield f"system {cites}", as_list(body.get("system", ()))
    settings = [body.get("tool_choice"), body.get("thinking")]
    if body.get("cache_control") and messages and "cache_control" not in messages[-1]:
        # Of the request as a whole: the last block is the breakpoint.
        messages[-1] = {**messages[-1], "cache_control": body["cache_control"]}
    yield f"messages {json.dumps(settings)}", messages


def _tokens(part: Mapping[str, Any], text: str) -> int:
    return _IMAGE_TOKENS if part.get("type") == "image" else max(1, len(text) // _BYTES_PER_TOKEN)


def _within(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    source = block.get("source", {})
    content = source.get("content", ()) if isinstance(source, dict) else ()
    return [] if isinstance(content, str) else list(content)
