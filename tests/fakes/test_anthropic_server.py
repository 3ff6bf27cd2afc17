"""The fake of Anthropic, by the official SDK: its cache bites as the documented one does."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic, DefaultAioHttpClient
from anthropic.types import Message, Usage
from fakes.anthropic_server import Answer, Block, FakeAnthropic, Reset, overloaded, rate_limited
from fakes.faults import failed

MODEL = "claude-sonnet-4-6"  # 1,024 tokens at least
LONG = "Be brief and kind. " * 400  # about 1,900 tokens
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"name": "hand_over", "input_schema": {"type": "object"}}


@pytest.fixture
async def server() -> AsyncIterator[FakeAnthropic]:
    server = await FakeAnthropic().start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: FakeAnthropic) -> AsyncIterator[Callable[..., AsyncAnthropic]]:
    made: list[AsyncAnthropic] = []

    def make(key: str = "sk-one") -> AsyncAnthropic:
        made.append(
            AsyncAnthropic(
                api_key=key,
                base_url=server.url,
                max_retries=0,
                http_client=DefaultAioHttpClient(),
            )
        )
        return made[-1]

    yield make
    for one in made:
        await one.close()


def text(words: str, mark: dict[str, str] | None = None) -> dict[str, Any]:
    return {"type": "text", "text": words, **({"cache_control": mark} if mark else {})}


def request(*said: str, system: Any = None, mark_last: Any = None, **more: Any) -> dict[str, Any]:
    """A conversation of alternating messages, the last one perhaps a breakpoint."""
    messages = [
        {"role": "assistant" if n % 2 else "user", "content": [text(words)]}
        for n, words in enumerate(said)
    ]
    if mark_last:
        messages[-1]["content"][-1]["cache_control"] = mark_last
    system = [text(LONG, MARK)] if system is None else system
    base = {"model": MODEL, "max_tokens": 100, "tools": [TOOL], "system": system}
    return {**base, "messages": messages, **more}


def counted(usage: Usage) -> tuple[int, int]:
    """Tokens read and written."""
    return usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0


@pytest.fixture
def ask(client: Any) -> Callable[..., Any]:
    """`await ask(request, key=…)` gives (read, written)."""
    clients: dict[str, AsyncAnthropic] = {}

    async def ask(body: dict[str, Any], key: str = "sk-one") -> tuple[int, int]:
        if key not in clients:
            clients[key] = client(key)
        return counted((await clients[key].messages.create(**body)).usage)

    return ask


class TestThePromptCache:
    async def test_a_second_request_reads_what_the_first_wrote_and_input_leaves_both_out(
        self, client: Any
    ) -> None:
        api = client()
        total = (await api.messages.count_tokens(**_countable(request("Hi")))).input_tokens
        first = (await api.messages.create(**request("Hi"))).usage
        second = (await api.messages.create(**request("Hi"))).usage
        written = counted(first)[1]
        assert (counted(first), counted(second)) == ((0, written), (written, 0))
        assert written > 1024
        assert first.input_tokens + written == second.input_tokens + written == total

    async def test_a_change_invalidates_its_level_and_all_after(self, ask: Any) -> None:
        body = request("Hi", "Hello", "Well?", mark_last=MARK)
        body["tools"] = [{**TOOL, "description": LONG, "cache_control": MARK}]
        _, all_of_it = await ask(body)
        assert await ask(body) == (all_of_it, 0)
        changed_last = request("Hi", "Hello", "So?", mark_last=MARK)
        changed_last["tools"] = body["tools"]
        read, written = await ask(changed_last)
        assert 0 < written < read, "system and tools are read still"
        changed_system = {**body, "system": [text(LONG + "!", MARK)]}
        tools, _ = await ask(changed_system)
        assert 1024 < tools < read, "tools are read still"
        assert (await ask({**body, "tools": [{**body["tools"][0], "name": "other"}]}))[0] == 0
        assert await ask({**body, "tool_choice": {"type": "any"}}) == (read, all_of_it - read)

    async def test_a_short_prefix_is_not_cached_without_a_word(self, ask: Any) -> None:
        short = request("Hi", system=[text("Be brief.", MARK)])
        assert [await ask(short), await ask(short)] == [(0, 0), (0, 0)]
        old = {**request("Hi"), "model": "claude-haiku-4-5"}  # 4,096 tokens at least
        assert [await ask(old), await ask(old)] == [(0, 0), (0, 0)]

    async def test_entries_live_for_their_time_from_their_last_use(
        self, ask: Any, server: FakeAnthropic
    ) -> None:
        for mark, seconds in ((MARK, 300), (HOUR, 3600)):
            body = request("Hi", system=[text(f"{seconds} {LONG}", mark)])
            _, written = await ask(body)
            for _ in range(3):
                server.advance(seconds - 10)
                assert await ask(body) == (written, 0), "used in time: refreshed"
            server.advance(seconds + 10)
            assert await ask(body) == (0, written)

    async def test_hours_and_minutes_are_reported_apart(self, client: Any) -> None:
        body = request("Hi", "Hello " * 900, "Well?", mark_last=MARK)
        body["system"] = [text(LONG, HOUR)]
        usage = (await client().messages.create(**body)).usage
        assert usage.cache_creation.ephemeral_1h_input_tokens > 1024
        assert usage.cache_creation.ephemeral_5m_input_tokens > 1024
        assert counted(usage)[1] == (
            usage.cache_creation.ephemeral_1h_input_tokens
            + usage.cache_creation.ephemeral_5m_input_tokens
        )

    async def test_a_breakpoint_looks_back_over_twenty_blocks(self, ask: Any) -> None:
        system = [text(LONG)]
        _, written = await ask(request("Hi", system=system, mark_last=MARK))
        near = ["Hi", *["more"] * 19]
        assert (await ask(request(*near, system=system, mark_last=MARK)))[0] == written
        _, written = await ask(request("Ho", system=system, mark_last=MARK))
        far = ["Ho", *["more"] * 20]
        assert (await ask(request(*far, system=system, mark_last=MARK)))[0] == 0

    async def test_workspaces_and_models_share_nothing(self, ask: Any) -> None:
        _, written = await ask(request("Hi"))
        assert await ask(request("Hi"), key="sk-two") == (0, written)
        assert await ask({**request("Hi"), "model": "claude-opus-4-8"}) == (0, written)
        assert await ask(request("Hi")) == (written, 0)

    async def test_a_request_that_failed_writes_nothing(
        self, ask: Any, server: FakeAnthropic
    ) -> None:
        server.script(overloaded())
        with pytest.raises(anthropic.APIStatusError):
            await ask(request("Hi"))
        assert (await ask(request("Hi")))[0] == 0

    async def test_what_the_api_refuses(self, client: Any) -> None:
        five = request("Hi", system=[text(f"{n}", MARK) for n in range(5)])
        late = request("Hi", system=[text(LONG, MARK), text(LONG, HOUR)])
        inner = request("Hi")
        source = {"type": "content", "content": [text("A fact.", MARK)]}
        inner["messages"][0]["content"].append({"type": "document", "source": source})
        unknown = request("Hi", system=[text(LONG, {"type": "ephemeral", "ttl": "2h"})])
        api = client()
        for body in (five, late, inner, unknown):
            with pytest.raises(anthropic.BadRequestError):
                await api.messages.create(**body)
        words = request("What does cache_control do? " * 5)
        assert (await api.messages.create(**words)).stop_reason == "end_turn"


class TestAnswers:
    async def test_a_stream_and_a_whole_message_say_the_same(
        self, client: Any, server: FakeAnthropic
    ) -> None:
        body = request("Ports?")
        source = {"type": "content", "content": [text("It has four ports.")]}
        document = {"type": "document", "source": source, "citations": {"enabled": True}}
        body["messages"][0]["content"].insert(0, document)
        api = client()
        whole = await api.messages.create(**body)
        async with api.messages.stream(**body) as stream:
            streamed: Message = await stream.get_final_message()
        assert [b.to_dict() for b in whole.content] == [
            {k: v for k, v in b.to_dict().items() if k != "parsed_output"} for b in streamed.content
        ]
        assert whole.content[0].text.strip() == "It has four ports."
        assert whole.content[0].citations[0].cited_text == "It has four ports."
        assert whole.usage.output_tokens == server.usages[-1]["output_tokens"]
        server.script(Answer(hand_over="visitor_request"))
        (call,) = (await api.messages.create(**body)).content
        assert json.loads(json.dumps(call.input)) == {"reason": "visitor_request"}


class TestFaults:
    async def test_each_fault_is_one_that_the_sdk_tells_apart(
        self, client: Any, server: FakeAnthropic
    ) -> None:
        api = client()
        server.script(rate_limited(7), overloaded(), failed(), Reset())
        with pytest.raises(anthropic.RateLimitError) as limited:
            await api.messages.create(**request("Hi"))
        assert limited.value.response.headers["retry-after"] == "7"
        for status in (529, 500):
            with pytest.raises(anthropic.APIStatusError) as refused:
                await api.messages.create(**request("Hi"))
            assert refused.value.status_code == status
        with pytest.raises(anthropic.APIConnectionError):
            await api.messages.create(**request("Hi"))

    async def test_streams_break_where_the_script_says(
        self, client: Any, server: FakeAnthropic
    ) -> None:
        said = [Block("A long story about ports.")]
        server.script(
            Answer(said, cut_after_events=3),
            Answer(said, reset_after_events=3),
            Answer(said, malformed_after_events=3),
            Answer(said, error_after_events=3),
            Answer(said, first_token_after_s=0.01),
        )
        ended = [await _read(client(), request("Hi")) for _ in range(5)]
        assert [count for count, _ in ended] == [3, 3, 3, 3, 9]
        errors = [error for _, error in ended]
        assert (errors[0], errors[4]) == ("", "")
        assert all(errors[1:4])


async def _read(api: AsyncAnthropic, body: dict[str, Any]) -> tuple[int, str]:
    """How many events came, and the error that ended the stream."""
    count = 0
    stream = await api.messages.create(**body, stream=True)
    try:
        async for _ in stream:
            count += 1
    except Exception as error:  # noqa: BLE001 - whichever the SDK raises
        return count, type(error).__name__
    finally:
        await stream.close()
    return count, ""


def _countable(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "max_tokens"}
