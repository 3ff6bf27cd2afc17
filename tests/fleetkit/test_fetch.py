"""Fetching: only what everybody could fetch, never more than was allowed."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from fakes.website import Names, Website, serve_website
from fleetkit.fetch import AddressPolicy, Fetcher, FetchError, FetchLimits, checked_url
from harness import hostile

LOOPBACK = "127.0.0.0/8"
PUBLIC = "93.184.215.14"


@pytest.fixture
async def site() -> AsyncIterator[Website]:
    async with serve_website() as served:
        yield served


@asynccontextmanager
async def _fetcher(
    allow: str = "", names: Callable[[str], list[str]] = lambda _: [], **limits: Any
) -> AsyncIterator[Fetcher]:
    async with Fetcher(
        AddressPolicy.parse(allow),
        user_agent="Tests/1",
        limits=FetchLimits(**limits),
        resolver=Names(names),
    ) as made:
        yield made


async def _refused(url: str, allow: str = "", **options: Any) -> str:
    async with _fetcher(allow, **options) as fetcher:
        with pytest.raises(FetchError) as refusal:
            await fetcher.get(url)
    assert refusal.value.message.endswith(".")
    return refusal.value.reason


class TestAddressPolicy:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "127.255.255.254", "0.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1",
            "169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "198.18.0.1",
            "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "203.0.113.7",
            "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe",
            "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1",
            "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1",
            "", "localhost", "1", "127.1",
        ],
    )  # fmt: skip
    def test_forbids_what_is_not_the_public_internet(self, address):
        assert not AddressPolicy().permits(address, 80)

    def test_permits_the_ports_of_web_servers_on_the_public_internet(self):
        policy = AddressPolicy()
        for address in (PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
            assert policy.permits(address, 443)
            assert not policy.permits(address, 25)
            assert not policy.permits(address, 5432)

    def test_opens_networks_by_a_setting(self):
        policy = AddressPolicy.parse("127.0.0.0/8, ::1")
        assert policy.permits("127.0.0.1", 12_345)
        assert policy.permits("::1", 12_345)
        assert not policy.permits("10.0.0.1", 80)


class TestCheckedUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "", "x", "//host/", "ftp://host/", "file:///etc/passwd", "gopher://h:25/_MAIL",
            "http://", "http:///x", "http://me:secret@host/", "http://host@127.0.0.1/",
            "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/",
            "http://0/", "http://0x7f.1/", "http://127.0.0.1.1/", "http://425.510.425.510",
            "http://1.1.1.1 &@2.2.2.2# @3.3.3.3/", "http://a\\@b/", "http://host\t/",
            "http://ho st", "http://host:0/", "http://host:99999/",
            "http://host:x/", "http://a..b/", "http://[::1",
            "http://[fe80::1%25eth0]/x y", "javascript:alert(1)", "http://" + "a" * 3_000,
        ],
    )  # fmt: skip
    def test_refuses_what_is_no_plain_address(self, url):
        with pytest.raises(FetchError) as refusal:
            checked_url(url)
        assert refusal.value.reason == "URL_INVALID"

    @pytest.mark.parametrize(
        ("url", "read"),
        [
            ("https://Example.com/a?b=c#d", "https://example.com/a?b=c"),
            ("http://example.com:80", "http://example.com/"),
            ("https://example.com./", "https://example.com./"),
            ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
            ("http://[2606:2800::1]/", "http://[2606:2800::1]/"),
        ],
    )
    def test_reads_the_rest_in_one_way(self, url, read):
        assert str(checked_url(url)) == read


class TestFetcher:
    async def test_gives_status_headers_and_body(self, site):
        site.answers["/"] = lambda _: web.Response(text="Tea", headers={"ETag": '"1"'}, status=404)
        async with _fetcher(LOOPBACK) as fetcher:
            got = await fetcher.get(f"{site.url}/")
        assert (got.status, got.body, got.headers["etag"]) == (404, b"Tea", '"1"')
        (request,) = site.requests
        assert request.headers["User-Agent"] == "Tests/1"
        assert not {"Cookie", "Authorization", "Referer"} & set(request.headers)

    async def test_asks_whether_something_changed(self, site):
        site.answers["/"] = lambda _: web.Response(status=304)
        async with _fetcher(LOOPBACK) as fetcher:
            got = await fetcher.get(f"{site.url}/", etag='"1"', last_modified="yesterday")
        assert (got.status, got.body) == (304, b"")
        assert site.requests[0].headers["If-None-Match"] == '"1"'
        assert site.requests[0].headers["If-Modified-Since"] == "yesterday"

    async def test_reaches_nothing_inside_unless_it_was_opened(self, site):
        assert await _refused(f"{site.url}/") == "URL_FORBIDDEN"
        assert await _refused(f"http://[::ffff:127.0.0.1]:{site.port}/") == "URL_FORBIDDEN"
        assert await _refused(f"http://[::1]:{site.port}/", LOOPBACK) == "URL_FORBIDDEN"
        assert site.requests == []

    async def test_reaches_nothing_inside_by_a_name(self, site):
        url = f"http://inner.example:{site.port}/"
        assert await _refused(url, names=lambda _: ["127.0.0.1"]) == "URL_FORBIDDEN"
        assert await _refused(url, names=lambda _: ["::ffff:7f00:1", "10.0.0.1"]) == "URL_FORBIDDEN"
        assert await _refused(url) == "HOST_UNKNOWN"
        assert site.requests == []

    async def test_of_several_addresses_takes_only_those_that_may_be(self, site):
        site.answers["/"] = lambda _: web.Response(text="Tea")
        names: Any = lambda _: ["10.0.0.1", "127.0.0.1"]  # noqa: E731
        async with _fetcher(LOOPBACK, names) as fetcher:
            assert (await fetcher.get(f"http://both.example:{site.port}/")).body == b"Tea"

    async def test_a_name_that_changes_its_answer_gains_nothing(self, site):
        site.answers["/"] = lambda _: web.Response(text="Tea")
        answers = iter((["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]))
        async with _fetcher(LOOPBACK, lambda _: next(answers)) as fetcher:
            url = f"http://rebinding.example:{site.port}/"
            assert (await fetcher.get(url)).body == b"Tea"
            await fetcher.close()
            with pytest.raises(FetchError) as refusal:
                await fetcher.get(url)
        assert refusal.value.reason == "URL_FORBIDDEN"

    async def test_checks_each_redirect(self, site):
        targets = {
            "/meta": "http://169.254.169.254/latest/meta-data/",
            "/name": "http://inner.example/",
            "/file": "file:///etc/passwd",
            "/number": "http://2130706433/",
        }
        for path, target in targets.items():
            site.answers[path] = lambda _, to=target: web.Response(
                status=302, headers={"Location": to}
            )
        names: Any = lambda _: ["10.0.0.1"]  # noqa: E731
        reasons = [await _refused(f"{site.url}{path}", LOOPBACK, names=names) for path in targets]
        assert reasons == ["URL_FORBIDDEN", "URL_FORBIDDEN", "URL_INVALID", "URL_INVALID"]
        assert len(site.requests) == len(targets)

    async def test_follows_redirects_and_says_where_they_led(self, site):
        site.answers["/a"] = lambda _: web.Response(status=301, headers={"Location": "b?x=1"})
        site.answers["/b"] = lambda _: web.Response(text="Tea")
        async with _fetcher(LOOPBACK) as fetcher:
            assert (await fetcher.get(f"{site.url}/a")).url == f"{site.url}/b?x=1"

    async def test_does_not_go_round_for_ever(self, site):
        site.answers["/a"] = lambda _: web.Response(status=302, headers={"Location": "/a"})
        assert await _refused(f"{site.url}/a", LOOPBACK) == "TOO_MANY_REDIRECTS"
        assert len(site.requests) == 6

    async def test_stops_at_the_largest_size(self, site):
        site.answers["/plain"] = lambda _: web.Response(body=b"x" * 2_000_000)
        bomb = gzip.compress(b"x" * 50_000_000)
        site.answers["/bomb"] = lambda _: web.Response(
            body=bomb, headers={"Content-Encoding": "gzip"}
        )
        for path in ("/plain", "/bomb"):
            assert await _refused(f"{site.url}{path}", LOOPBACK, max_bytes=2**20) == "TOO_LARGE"

    async def test_unpacks_what_came_packed(self, site):
        site.answers["/"] = lambda _: web.Response(
            body=gzip.compress(b"Tea"), headers={"Content-Encoding": "gzip"}
        )
        async with _fetcher(LOOPBACK) as fetcher:
            assert (await fetcher.get(f"{site.url}/")).body == b"Tea"

    async def test_stops_at_the_longest_time(self, site):
        async def never(request: web.Request) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        site.answers["/"] = never
        assert await _refused(f"{site.url}/", LOOPBACK, total_s=0.2) == "FETCH_TIMEOUT"

    async def test_says_that_nobody_listens(self, site):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
            assert await _refused(url, LOOPBACK) == "UNREACHABLE"


class TestAddressesNobodyShouldFetch:
    """Every one of other people's lists, with a name server that leads each name inside."""

    async def test_none_reaches_anything(self, site):
        addresses = hostile.addresses()
        assert len(addresses) > 100
        inside = ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1"]
        async with _fetcher(names=lambda _: inside) as fetcher:
            for address in addresses:
                with pytest.raises(FetchError) as refusal:
                    await fetcher.get(address)
                assert refusal.value.reason in ("URL_FORBIDDEN", "URL_INVALID"), address
        assert site.requests == []
