"""Websites: found, read, read again, and gone."""

import gzip
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from fakes.embeddings import FakeEmbeddings
from fakes.website import Website, serve_website
from fleetdesk.retrieval.v1 import document_pb2, events_pb2
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from fleetkit.errors import FailedPrecondition, InvalidArgument, NotFound
from harness.help_centre import articles, publish
from harness.help_centre import page as help_page
from harness.services import Running
from harness.waiting import eventually
from retrieval.config import Settings
from retrieval.knowledge.websites import sync_due

from .conftest import Knowledge, Processes, stub_of, text

URL = document_pb2.SOURCE_TYPE_URL
SITEMAP = document_pb2.SOURCE_TYPE_SITEMAP
CRAWL = document_pb2.SOURCE_TYPE_CRAWL
READY = document_pb2.DOCUMENT_STATUS_READY
FAILED = document_pb2.DOCUMENT_STATUS_FAILED


@pytest.fixture
async def retrieval(fleet_service: Callable[..., Any], embeddings: FakeEmbeddings) -> Running:
    return await fleet_service(
        "retrieval",
        llm_gateway_address=embeddings.address,
        fetch_allow="127.0.0.0/8",
        fetch_pause_s=0.0,
    )


@pytest.fixture
async def site() -> AsyncIterator[Website]:
    async with serve_website() as served:
        yield served


@pytest.fixture
async def processes(
    fleet, database: Callable[[str], Any], embeddings: FakeEmbeddings, tmp_path
) -> AsyncIterator[Processes]:
    settings = fleet.settings_of(
        Settings,
        await database("retrieval"),
        llm_gateway_address=embeddings.address,
        ingest_lease_s=1.0,
        fetch_allow="127.0.0.0/8",
        fetch_pause_s=0.0,
    )
    started = Processes(settings, tmp_path)
    yield started
    await started.end()


@pytest.fixture
def websites(knowledge: Knowledge, site: Website) -> "Websites":
    return Websites(knowledge, site)


class Websites:
    """What a tenant's admin does with websites."""

    def __init__(self, knowledge: Knowledge, site: Website) -> None:
        self.knowledge = knowledge
        self.site = site

    async def add(self, kind: Any, path: str = "/", **fields: Any) -> document_pb2.Source:
        """A website, once its first run has ended."""
        given = pb.SourceInput(type=kind, url=f"{self.site.url}{path}", **fields)
        (outcome,) = await self.knowledge.create(given)
        assert outcome.error == ""
        return await self.ended(outcome.source.source_id)

    async def ended(self, source_id: str) -> document_pb2.Source:
        return await self.knowledge.ended(source_id, timeout_s=60)

    async def sync(self, source_id: str) -> document_pb2.Source:
        with self.knowledge.acting():
            request = pb.SyncSourceRequest(request_id=str(uuid4()), source_id=source_id)
            await self.knowledge.stub.SyncSource(request)
        return await self.ended(source_id)

    async def documents(self, source_id: str) -> dict[str, document_pb2.Document]:
        """The documents by their paths."""
        with self.knowledge.acting():
            request = pb.ListDocumentsRequest(source_id=source_id, page_size=500)
            found = (await self.knowledge.stub.ListDocuments(request)).documents
        return {document.url.removeprefix(self.site.url): document for document in found}

    async def words(self, document_id: str) -> tuple[str, list[str]]:
        """Title and words of a document's text: marks and spaces are the parsers' own."""
        with self.knowledge.acting():
            request = pb.GetDocumentRequest(document_id=document_id)
            document = (await self.knowledge.stub.GetDocument(request)).document
        return document.title, re.findall(r"\w+", document.text.lower())

    async def urls(self, query: str) -> list[str]:
        results = (await self.knowledge.search(query, top_k=50)).results
        return sorted({result.url.removeprefix(self.site.url) for result in results})


def page(title: str, body: str, links: Iterable[str] = (), head: str = "") -> str:
    """A page with its links in the navigation."""
    anchors = "".join(f'<a href="{link}">more</a> ' for link in links)
    return (
        f"<!doctype html><html><head><title>{title}</title>{head}</head><body><nav>{anchors}</nav>"
        f"<main><h1>{title}</h1><p>{body}</p></main></body></html>"
    )


def sitemap(site: Website, paths: Iterable[str], changed: str = "") -> str:
    said = f"<lastmod>{changed}</lastmod>" if changed else ""
    entries = "".join(f"<url><loc>{site.url}{path}</loc>{said}</url>" for path in paths)
    namespace = "http://www.sitemaps.org/schemas/sitemap/0.9"
    return f'<?xml version="1.0"?><urlset xmlns="{namespace}">{entries}</urlset>'


class TestOnePage:
    async def test_is_found_with_its_address(self, websites, site):
        site.pages["/tea"] = page("Tea", "Tea is served at four.")
        source = await websites.add(URL, "/tea#times", title="Our tea")
        assert (source.status, source.chunk_count, source.site.ready_count) == (READY, 1, 1)
        (found,) = (await websites.knowledge.search("tea at four")).results
        assert (found.url, found.source_id) == (f"{site.url}/tea", source.source_id)
        assert found.title == "Our tea"

    async def test_that_is_none_says_why(self, websites, site):
        missing = await websites.add(URL, "/missing")
        assert (missing.status, missing.error_reason) == (FAILED, "HTTP_404")
        site.answers["/private"] = lambda _: web.Response(status=403)
        private = await websites.add(URL, "/private")
        assert (private.status, private.error_reason) == (FAILED, "HTTP_403")
        for source in (missing, private):
            assert source.error.endswith(".")

    async def test_inside_of_a_network_is_not_asked_for(self, fleet_service, embeddings, site,
                                                        as_identity, tenant_id):  # fmt: skip
        retrieval = await fleet_service("retrieval", llm_gateway_address=embeddings.address)
        websites = Websites(Knowledge(stub_of(retrieval), as_identity, tenant_id), site)
        for kind in (URL, SITEMAP, CRAWL):
            source = await websites.add(kind, "/")
            assert (source.status, source.error_reason) == (FAILED, "URL_FORBIDDEN")
        assert site.requests == []

    async def test_must_have_an_address(self, websites):
        for url in ("", "x", "ftp://host/", "http://2130706433/", "http://me:secret@host/"):
            (outcome,) = await websites.knowledge.create(pb.SourceInput(type=URL, url=url))
            assert outcome.error_field == "url"
        limits = pb.SourceInput(type=CRAWL, url="https://example.com", max_pages=10_001)
        (outcome,) = await websites.knowledge.create(limits)
        assert outcome.error_field == "max_pages"

    @pytest.mark.parametrize("field", ["max_pages", "max_depth", "include_paths", "exclude_paths"])
    async def test_alone_has_limits(self, websites, field):
        value: Any = ["/help/"] if field.endswith("_paths") else 3
        kind = document_pb2.SOURCE_TYPE_TEXT
        given = pb.SourceInput(type=kind, content=b"Tea at four.", **{field: value})
        (outcome,) = await websites.knowledge.create(given)
        assert outcome.error_field == field
        assert "leave it out" in outcome.error


class TestSitemap:
    async def test_may_be_an_index_of_packed_ones(self, websites, site):
        for name in ("tea", "cake", "private"):
            site.pages[f"/{name}"] = page(name, f"All about {name}.")
        site.pages["/robots.txt"] = "User-agent: *\nDisallow: /private\n"
        site.pages["/sitemap.xml"] = (
            f"<sitemapindex><sitemap><loc>{site.url}/1.xml.gz</loc></sitemap>"
            f"<sitemap><loc>{site.url}/2.txt</loc></sitemap></sitemapindex>"
        )
        outside = sitemap(site, ["/tea", "/private"]).replace(
            "</urlset>", "<url><loc>https://elsewhere.example/</loc></url></urlset>"
        )
        site.answers["/1.xml.gz"] = lambda _: web.Response(body=gzip.compress(outside.encode()))
        site.pages["/2.txt"] = f"{site.url}/cake\n"
        source = await websites.add(SITEMAP, "/sitemap.xml")
        assert (source.status, source.error, source.site.truncated) == (READY, "", False)
        assert set(await websites.documents(source.source_id)) == {"/tea", "/cake"}

    async def test_is_looked_for_where_sites_have_it(self, websites, site):
        site.pages["/"] = page("Home", "Welcome.")
        site.pages["/tea"] = page("Tea", "Tea at four.")
        site.pages["/robots.txt"] = f"Sitemap: {site.url}/map.xml\n"
        site.pages["/map.xml"] = sitemap(site, ["/tea"])
        source = await websites.add(SITEMAP, "/")
        assert set(await websites.documents(source.source_id)) == {"/tea"}

    async def test_that_is_none_says_why(self, websites, site):
        site.pages["/"] = page("Home", "Welcome.")
        source = await websites.add(SITEMAP, "/")
        assert (source.status, source.error_reason) == (FAILED, "BROKEN_SITEMAP")

    async def test_does_not_expand_entities(self, websites, site):
        site.pages["/sitemap.xml"] = (
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname"><!ENTITY b "&a;&a;&a;">]>'
            f"<urlset><url><loc>{site.url}/&b;</loc></url></urlset>"
        )
        await websites.add(SITEMAP, "/sitemap.xml")
        assert {request.path for request in site.requests} <= {"/sitemap.xml", "/robots.txt", "/"}


class TestCrawl:
    async def test_follows_links_within_its_origin(self, websites, site):
        elsewhere = "https://elsewhere.example/"
        site.pages["/"] = page("Home", "Welcome.", ["/tea", elsewhere, "/x.png", "mailto:a@b.c"])
        site.pages["/tea"] = page("Tea", "Tea at four.", ["/", "/cake#top", "/secret"])
        site.pages["/cake"] = page("Cake", "Cake at five.")
        site.pages["/robots.txt"] = "User-agent: FleetdeskBot\nDisallow: /secret\n"
        source = await websites.add(CRAWL)
        assert set(await websites.documents(source.source_id)) == {"/", "/tea", "/cake"}
        assert await websites.urls("cake at five") != []
        asked = [request.path for request in site.requests]
        assert sorted(asked) == ["/", "/cake", "/robots.txt", "/tea"]

    async def test_stops_at_its_limits(self, websites, site):
        for n in range(9):
            site.pages[f"/{n}"] = page(f"Page {n}", f"Text {n}.", [f"/{n + 1}", f"/{n + 2}"])
        deep = await websites.add(CRAWL, "/0", max_depth=2)
        assert set(await websites.documents(deep.source_id)) == {f"/{n}" for n in range(5)}
        assert not deep.site.truncated
        small = await websites.add(CRAWL, "/0", max_pages=3)
        assert set(await websites.documents(small.source_id)) == {"/0", "/1", "/2"}
        assert small.site.truncated

    async def test_keeps_to_the_paths_that_are_wanted(self, websites, site):
        links = ["/help/tea", "/help/old/cake", "/blog/news", "/über/uns"]
        site.pages["/start"] = page("Start", "Welcome.", links)
        for path in (*links, "/help/inner"):
            site.pages[path] = page(path, f"Text of {path}.", ["/help/inner", "/blog/news"])
        paths = {"include_paths": ["/help/", "/über"], "exclude_paths": ["/help/old/"]}
        crawled = await websites.add(CRAWL, "/start", external_id="a", **paths)
        assert list(crawled.site.include_paths) == ["/help/", "/%C3%BCber"]
        wanted = {"/start", "/help/tea", "/help/inner", "/%C3%BCber/uns"}
        assert set(await websites.documents(crawled.source_id)) == wanted
        site.pages["/sitemap.xml"] = sitemap(site, ["/help/tea", "/blog/news"])
        listed = await websites.add(SITEMAP, "/sitemap.xml", exclude_paths=["/blog"])
        assert set(await websites.documents(listed.source_id)) == {"/help/tea"}
        # Other paths for a known website: what is not wanted any more goes as what vanished does.
        await websites.add(CRAWL, "/start", external_id="a", include_paths=["/help/tea"])
        await websites.sync(crawled.source_id)
        assert set(await websites.documents(crawled.source_id)) == {"/start", "/help/tea"}
        knowledge = websites.knowledge
        wanted = {"include_paths": ["/blog/"], "exclude_paths": ["/help/"]}
        with knowledge.acting("agent"):
            request = pb.SetSourcePathsRequest(source_id=crawled.source_id, **wanted)
            found = (await knowledge.stub.SetSourcePaths(request)).source
        assert list(found.site.include_paths) == ["/blog/"]
        assert found.site.max_pages == crawled.site.max_pages
        await websites.ended(crawled.source_id)
        await websites.sync(crawled.source_id)
        assert set(await websites.documents(crawled.source_id)) == {"/start", "/blog/news"}

    async def test_refuses_paths_that_are_none(self, websites):
        for paths, kind in (
            (["help"], CRAWL),
            (["/?q"], SITEMAP),
            (["/a"], URL),
            (["/"] * 21, CRAWL),
        ):
            given = pb.SourceInput(type=kind, url="https://a.example/", exclude_paths=paths)
            (outcome,) = await websites.knowledge.create(given)
            assert outcome.error_field == "exclude_paths"

    async def test_takes_each_page_once(self, websites, site):
        canonical = f'<link rel="canonical" href="{site.url}/tea">'
        site.pages["/"] = page("Home", "Welcome.", ["/tea?ref=1", "/old", "/hidden", "/list"])
        site.pages["/tea"] = page("Tea", "Tea at four.", head=canonical)
        site.answers["/old"] = lambda _: web.Response(status=301, headers={"Location": "/tea"})
        site.pages["/hidden"] = page(
            "Hidden", "Not for lists.", ["/last"], '<meta name="robots" content="noindex">'
        )
        site.pages["/last"] = page("Last", "Found behind the hidden page.")
        site.pages["/list"] = "<html><body><h1>All</h1><a href='/tea'>Tea</a></body></html>"
        source = await websites.add(CRAWL)
        assert set(await websites.documents(source.source_id)) == {"/", "/tea", "/last"}

    async def test_that_robots_forbids_says_so(self, websites, site):
        site.pages["/robots.txt"] = "User-agent: *\nDisallow: /\n"
        source = await websites.add(CRAWL)
        assert (source.status, source.error_reason) == (FAILED, "ROBOTS_FORBIDDEN")
        assert [request.path for request in site.requests] == ["/robots.txt"]

    async def test_can_be_stopped(self, websites, site, embeddings):
        for n in range(50):
            site.pages[f"/{n}"] = page(f"Page {n}", f"Text {n}.", [f"/{n + 1}"])
        site.delay_s = 0.05
        given = pb.SourceInput(type=CRAWL, url=f"{site.url}/0", max_depth=20)
        (outcome,) = await websites.knowledge.create(given)
        source_id = outcome.source.source_id

        async def under_way() -> bool:
            return (await websites.knowledge.source(source_id)).site.visited_count >= 2

        await eventually(under_way)
        with websites.knowledge.acting():
            request = pb.CancelSourceRequest(source_id=source_id)
            stopped = (await websites.knowledge.stub.CancelSource(request)).source
        assert not stopped.site.running
        ended = await websites.ended(source_id)
        asked = len(site.requests)
        assert ended.site.visited_count < 20
        assert (await websites.sync(source_id)).site.ready_count == 21
        assert len(site.requests) > asked


class TestAgain:
    async def test_what_is_unchanged_costs_nothing(self, websites, site, embeddings):
        site.pages["/"] = page("Home", "Welcome.", ["/tea"])
        site.pages["/tea"] = page("Tea", "Tea at four.")
        source = await websites.add(CRAWL)
        before = len(embeddings.texts)
        for etags in (True, False):
            site.etags = etags
            again = await websites.sync(source.source_id)
            assert (again.status, again.site.visited_count) == (READY, 2)
        assert len(embeddings.texts) == before

    async def test_of_what_changed_only_new_passages_are_embedded(self, websites, site, embeddings):
        parts = "".join(f"<h2>Part {n}</h2><p>{'Tea is fine. ' * 60}</p>" for n in range(5))
        site.pages["/"] = page("Tea", parts)
        source = await websites.add(CRAWL)
        before = len(embeddings.texts)
        site.pages["/"] = page("Tea", parts.replace("Tea is fine.", "Tea is over.", 1))
        again = await websites.sync(source.source_id)
        assert again.chunk_count == source.chunk_count
        assert 1 <= len(embeddings.texts) - before <= 2
        assert any("over" in r.text for r in (await websites.knowledge.search("tea over")).results)

    async def test_a_page_is_not_asked_for_while_its_sitemap_says_that_it_did_not_change(
        self, websites, site
    ):
        def asked() -> int:
            return sum(request.path == "/tea" for request in site.requests)

        site.pages["/tea"] = page("Tea", "Tea at four.")
        site.pages["/map.xml"] = sitemap(site, ["/tea"], "2026-03-01T10:00:00Z")
        source = await websites.add(SITEMAP, "/map.xml")
        assert asked() == 1
        for _ in range(3):
            await websites.sync(source.source_id)
        assert asked() == 1
        await websites.sync(source.source_id)
        assert asked() == 2
        site.pages["/tea"] = page("Tea", "Tea at five.")
        site.pages["/map.xml"] = sitemap(site, ["/tea"], "2026-03-02T10:00:00Z")
        await websites.sync(source.source_id)
        assert asked() == 3
        assert await websites.urls("tea at five") == ["/tea"]

    async def test_what_vanished_goes_after_two_misses_or_at_once_for_good(
        self, websites, site, retrieval
    ):
        for name in ("tea", "cake", "milk", "salt"):
            site.pages[f"/{name}"] = page(name, f"All about {name}.")
        site.pages["/map.xml"] = sitemap(site, ["/tea", "/cake", "/milk", "/salt"])
        source = await websites.add(SITEMAP, "/map.xml")
        assert source.site.ready_count == 4
        del site.pages["/cake"]
        site.answers["/milk"] = lambda _: web.Response(status=410)
        site.pages["/map.xml"] = sitemap(site, ["/tea", "/cake", "/milk"])
        await websites.sync(source.source_id)
        assert set(await websites.documents(source.source_id)) == {"/tea", "/cake", "/salt"}
        assert await websites.urls("milk") != ["/milk"]
        await websites.sync(source.source_id)
        assert set(await websites.documents(source.source_id)) == {"/tea"}
        assert await websites.urls("all about cake salt milk") == ["/tea"]
        removed = [e for e in await retrieval.events(events_pb2.KnowledgeChanged) if "removed" in e]
        assert len(removed) == 3

    async def test_a_site_that_fails_loses_nothing(self, websites, site):
        site.pages["/"] = page("Home", "Welcome.", ["/tea"])
        site.pages["/tea"] = page("Tea", "Tea at four.")
        source = await websites.add(CRAWL)
        site.answers["/"] = site.answers["/tea"] = lambda _: web.Response(status=500)
        for _ in range(3):
            await websites.sync(source.source_id)
        assert set(await websites.documents(source.source_id)) == {"/", "/tea"}
        assert await websites.urls("tea at four") != []

    async def test_starts_by_itself_when_its_time_has_come(self, websites, site, retrieval):
        site.pages["/"] = page("Home", "Welcome.")
        source = await websites.add(URL)
        stub, knowledge = websites.knowledge.stub, websites.knowledge
        with knowledge.acting():
            for wrong in (60, -1, 10**7):
                with pytest.raises(InvalidArgument):
                    await stub.ScheduleSource(
                        pb.ScheduleSourceRequest(source_id=source.source_id, sync_every_s=wrong)
                    )
            request = pb.ScheduleSourceRequest(source_id=source.source_id, sync_every_s=86_400)
            scheduled = (await stub.ScheduleSource(request)).source
        assert scheduled.site.sync_every_s == 86_400
        asked = len(site.requests)
        await sync_due(retrieval.db)
        assert not (await knowledge.source(source.source_id)).site.running
        site.pages["/"] = page("Home", "Farewell.")
        retrieval.advance(90_000)

        async def found() -> bool:
            await sync_due(retrieval.db)
            return bool(await websites.urls("farewell")) and len(site.requests) > asked

        await eventually(found, timeout_s=20)
        with knowledge.acting():
            request = pb.ScheduleSourceRequest(source_id=source.source_id)
            assert not (await stub.ScheduleSource(request)).source.site.HasField("next_sync_time")

    async def test_a_file_is_no_website(self, knowledge):
        source = await knowledge.add("Tea at four.")
        with knowledge.acting(), pytest.raises(FailedPrecondition):
            await knowledge.stub.ScheduleSource(
                pb.ScheduleSourceRequest(source_id=source.source_id, sync_every_s=86_400)
            )


class TestKill:
    @pytest.mark.timeout(180)
    async def test_minus_nine_in_the_middle_goes_on_where_it_was(
        self, processes, site, as_identity, tenant_id
    ):
        for n in range(21):
            site.pages[f"/{n}"] = page(f"Page {n}", f"Text {n}.", [f"/{n + 1}"] if n < 20 else [])
        site.delay_s = 0.05
        websites = Websites(Knowledge(await processes.start(), as_identity, tenant_id), site)
        given = pb.SourceInput(type=CRAWL, url=f"{site.url}/0", max_depth=20)
        (outcome,) = await websites.knowledge.create(given)

        async def under_way() -> bool:
            return len(site.requests) >= 8

        await eventually(under_way, timeout_s=30)
        await processes.kill()
        websites = Websites(Knowledge(await processes.start(), as_identity, tenant_id), site)
        source = await websites.ended(outcome.source.source_id)
        assert (source.status, source.site.ready_count) == (READY, 21)
        asked = Counter(request.path for request in site.requests if request.path != "/robots.txt")
        # The page in its hands, and no other.
        assert sum(asked.values()) <= 22
        assert len(asked) == 21


class TestHelpCentre:
    async def test_is_the_same_by_upload_sitemap_and_crawl(self, websites, site, embeddings):
        shown = articles(20)
        publish(site, shown)
        given = [text(article.file, external_id=article.article_id) for article in shown]
        outcomes = await websites.knowledge.create(*given)
        uploads = [await websites.ended(outcome.source.source_id) for outcome in outcomes]
        by_upload = [await websites.words(upload.document_id) for upload in uploads]
        by_sitemap = await websites.add(SITEMAP, "/sitemap.xml")
        by_crawl = await websites.add(CRAWL, "/")
        for source in (by_sitemap, by_crawl):
            documents = await websites.documents(source.source_id)
            assert set(documents) == {article.path for article in shown}
            found = [await websites.words(d.document_id) for d in documents.values()]
            assert sorted(found) == sorted(by_upload)
        for article in shown[:4]:
            site.pages[article.path] = help_page(article.edited())
        before = len(embeddings.texts)
        again = await websites.sync(by_crawl.source_id)
        assert again.site.ready_count == 20
        embedded = embeddings.texts[before:]
        assert 4 <= len(embedded) <= 8
        assert all("Changed since" in one or "IMPORTANT" in one for one in embedded)


class TestGone:
    async def test_leaves_no_row_vector_posting_or_original(
        self, websites, site, retrieval, tmp_path
    ):
        site.pages["/"] = page("Home", "Welcome.", [f"/{n}" for n in range(60)])
        site.pages |= {f"/{n}": page(f"Page {n}", f"Text {n}.") for n in range(60)}
        source = await websites.add(CRAWL)
        assert source.site.ready_count == 61
        assert await websites.knowledge.delete(source.source_id) == 61

        async def swept() -> bool:
            return not await retrieval.rows("select from job")

        retrieval.advance(7_200)
        await eventually(swept, timeout_s=20)
        kept = ("source", "site", "page", "document", "chunk", "chunk_vector", "posting")
        for table in (*kept, "chunk_embedding", "chunk_tokens", "posting_block"):
            assert await retrieval.rows(f"select from {table}") == [], table
        # What is left of these is room for the next passages, cleared.
        [lengths] = await retrieval.rows("select lengths as body from length_block")
        [codes] = await retrieval.rows("select codes as body from code_block")
        assert not any(lengths["body"])
        assert not any(codes["body"])
        assert list((tmp_path / "blobs").rglob("originals/*")) == []
        (stat,) = await retrieval.rows("select chunk_count, length_sum from index_stat")
        assert stat == {"chunk_count": 0, "length_sum": 0.0}

    async def test_another_tenant_can_do_nothing(self, websites, other_knowledge, site):
        site.pages["/"] = page("Home", "Welcome.")
        source = await websites.add(URL)
        with other_knowledge.acting():
            for method, request in (
                ("CancelSource", pb.CancelSourceRequest(source_id=source.source_id)),
                ("ScheduleSource", pb.ScheduleSourceRequest(source_id=source.source_id)),
                ("SetSourcePaths", pb.SetSourcePathsRequest(source_id=source.source_id)),
            ):
                with pytest.raises(NotFound):
                    await getattr(other_knowledge.stub, method)(request)
            listed = pb.ListDocumentsRequest(source_id=source.source_id)
            assert not (await other_knowledge.stub.ListDocuments(listed)).documents
