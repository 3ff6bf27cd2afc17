"""Strings and files that break programs: each is taken, or refused with a field and a remedy."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from harness.desk import Company, Desk
from harness.hostile import Outcomes, files, strings
from harness.openapi_runs import without_limits
from harness.waiting import eventually
from retrieval.parsing.document import one_line

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]

_ALL = 40
_SHORT = 60
_AT_ONCE = 4
_ENDED = ("ready", "failed")

T = TypeVar("T")


@pytest.fixture
def every(examples: int) -> int:
    """Of the lists every so many-th; all of them in `make surface`."""
    return 1 if examples >= _ALL else _SHORT


@pytest_asyncio.fixture(loop_scope="module")
async def acme(desk: Desk) -> Company:
    without_limits(desk)
    return await desk.sign_up()


async def _each(given: Iterable[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Does it with each, a few at once."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> None:
        async with slots:
            await do(item)

    async with asyncio.TaskGroup() as group:
        for item in given:
            group.create_task(one(item))


async def _sources(desk: Desk, company: Company) -> list[dict[str, Any]]:
    """All sources of the company, when each is read or refused."""
    found: list[dict[str, Any]] = []

    async def ended() -> bool:
        found.clear()
        token = ""
        while True:
            path = f"/v1/knowledge/sources?page_size=500&page_token={token}"
            page = (await desk.client.get(path, headers=company.bearer)).json()
            found.extend(page["items"])
            token = page["next_page_token"]
            if not token:
                return all(source["status"] in _ENDED for source in found)

    await eventually(ended, timeout_s=600)
    return found


class _Doors:
    """Where a string of a stranger's gets in."""

    def __init__(self, desk: Desk, company: Company) -> None:
        self._desk = desk
        self._company = company
        self.agent = f"/v1/agents/{company.agent_id}"

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = options.pop("headers", self._company.bearer)
        return await self._desk.client.request(method, path, headers=headers, **options)

    async def _source(self, **fields: str) -> httpx.Response:
        body = {"type": "text", "title": "Title", "text": "Two days.", **fields}
        return await self._ask("POST", "/v1/knowledge/sources", json=body)

    async def source_title(self, text: str) -> httpx.Response:
        return await self._source(title=text)

    async def source_text(self, text: str) -> httpx.Response:
        return await self._source(text=text)

    async def source_url(self, text: str) -> httpx.Response:
        return await self._source(url=text)

    async def source_external_id(self, text: str) -> httpx.Response:
        return await self._source(external_id=text)

    async def form_title(self, text: str) -> httpx.Response:
        form = {"data": {"title": text}, "files": {"file": ("a.md", b"# A\n\nTwo days.")}}
        return await self._ask("POST", "/v1/knowledge/sources", **form)

    async def agent_name(self, text: str) -> httpx.Response:
        return await self._ask("POST", "/v1/agents", json={"config": {"name": text}})

    async def agent_texts(self, text: str) -> httpx.Response:
        config = {"name": "Kim", "greeting": text, "instructions": text, "model": ""}
        config |= {"suggested_questions": [text], "handoff_phrases": [text]}
        return await self._ask("PUT", self.agent, json={"config": config})

    async def agent_model(self, text: str) -> httpx.Response:
        return await self._ask("PUT", self.agent, json={"config": {"name": "Kim", "model": text}})

    async def question(self, text: str) -> httpx.Response:
        conversation, visitor = await self._desk.begin(self._company)
        path = f"/v1/conversations/{conversation}/messages"
        return await self._ask("POST", path, json={"text": text}, headers=visitor)

    async def visitor(self, text: str) -> httpx.Response:
        body = {"agent_id": str(self._company.agent_id), "visitor": text}
        return await self._ask("POST", "/v1/conversations", json=body)

    async def search(self, text: str) -> httpx.Response:
        return await self._ask("POST", "/v1/knowledge/search", json={"query": text})

    async def filter(self, text: str) -> httpx.Response:
        return await self._ask("GET", "/v1/knowledge/sources", params={"filter": text})

    async def page_token(self, text: str) -> httpx.Response:
        return await self._ask("GET", "/v1/knowledge/sources", params={"page_token": text})

    async def key_name(self, text: str) -> httpx.Response:
        made = await self._ask("POST", "/v1/api-keys", json={"name": text})
        if made.status_code == 201:
            # There may be no more than a hundred at a time.
            await self._ask("DELETE", f"/v1/api-keys/{made.json()['key']['key_id']}")
        return made

    async def origin(self, text: str) -> httpx.Response:
        return await self._ask("PUT", f"{self.agent}/widget", json={"allowed_origins": [text]})

    async def email(self, text: str) -> httpx.Response:
        body = {"email": text, "password": "correct horse battery", "company": "Acme"}
        return await self._ask("POST", "/v1/signup", json=body, headers={})

    async def company(self, text: str) -> httpx.Response:
        email = f"{uuid4().hex}@acme.example"
        body = {"email": email, "password": "correct horse battery", "company": text}
        return await self._ask("POST", "/v1/signup", json=body, headers={})


DOORS = [name for name in vars(_Doors) if not name.startswith("_")]


async def test_strings_get_in_or_are_refused(desk: Desk, acme: Company, every: int):
    outcomes = Outcomes()
    doors = _Doors(desk, acme)
    taken: dict[str, list[str]] = {name: [] for name in DOORS}

    async def try_one(case: tuple[str, str]) -> None:
        name, text = case
        if outcomes.judge(name, text, await getattr(doors, name)(text)):
            taken[name].append(text)

    cases = [
        (name, text)
        for number, name in enumerate(DOORS)
        for text in strings()[number % every :: every]
    ]
    await _each(cases, try_one)
    print(f"\n{outcomes.table()}")
    assert outcomes.counts.total() == len(cases)
    assert not outcomes.wrong, "\n".join(outcomes.wrong)
    await _nothing_is_half_written(desk, acme, taken)


async def _nothing_is_half_written(desk: Desk, acme: Company, taken: dict[str, list[str]]) -> None:
    sources = await _sources(desk, acme)
    for source in sources:
        assert source["status"] == "ready" or source["error"], source
    # The same external id replaces its source, and the empty one is none.
    names = [name for name in taken if name.startswith(("source_", "form_"))]
    count = sum(len(taken[name]) for name in names)
    assert len(sources) == count
    # A title is kept as one line without control characters; one that is nothing then is none.
    titles = {source["title"] for source in sources}
    assert {one_line(text) for text in taken["source_title"]} - {""} <= titles


async def test_files_are_read_or_refused(desk: Desk, acme: Company, every: int):
    outcomes = Outcomes()
    taken: dict[str, str] = {}

    async def try_one(case: tuple[str, bytes]) -> None:
        name, content = case
        answer = await desk.client.post(
            "/v1/knowledge/sources",
            files={"file": (name.rpartition("/")[2], content)},
            headers=acme.bearer,
        )
        if outcomes.judge("file", name, answer):
            taken[answer.json()["source_id"]] = name

    cases = list(files())[::every]
    await _each(cases, try_one)
    before = len(taken)
    sources = await _sources(desk, acme)
    for source in sources:
        status, reason = source["status"], source["error_reason"]
        outcomes.counts["file taken, then", f"{status} {reason}".strip()] += 1
        if status == "failed" and not (source["error"] and reason):
            outcomes.wrong.append(f"{taken[source['source_id']]}: {source}")
        if status == "ready" and not source["chunk_count"]:
            outcomes.wrong.append(f"{taken[source['source_id']]}: ready without a passage")
    print(f"\n{outcomes.table()}")
    assert not outcomes.wrong, "\n".join(outcomes.wrong)
    assert {source["source_id"] for source in sources} == set(taken)
    assert before == len(sources)
