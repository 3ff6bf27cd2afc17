"""The pages over the whole fleet: who sees them, how they are built, and what they do."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from gateway import audit
from gateway.access import access_of
from gateway.auth.principal import Role
from gateway.rendering import TEMPLATES_DIR, MissingAssets, Pages
from gateway.routes.pages.index import PAGES
from gateway.views.frame import NAV
from harness.browser import axe_violations
from harness.desk import NOWHERE, PASSWORD, Company, Desk
from harness.services import FleetServices
from harness.waiting import eventually
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "# Kettles\n\nThe warranty of a kettle lasts three years. Send it to Graz.\n"
# The rules of axe that a colour scheme has a say in: the rest of a page is the same in both.
COLOURS = ("color-contrast", "link-in-text-block")
# How much wider than the screen the page is; a chart is drawn anew some frames after a resize.
WIDER = """
async () => {
  const wider = () => Math.max(0, document.documentElement.scrollWidth - innerWidth);
  for (let frame = 0; frame < 20 && wider(); frame += 1) await new Promise(requestAnimationFrame);
  return wider();
}
"""
# Colours change at once, not from parent to child, a frame each.
AT_ONCE = """
() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("* { transition-property: none !important }");
  document.adoptedStyleSheets.push(sheet);
}
"""
PAPER = "getComputedStyle(document.body).backgroundColor"
QUESTION = "How long does the warranty of a kettle last?"


@dataclass
class Office:
    """A company with a document, a conversation, and somebody signed in."""

    desk: Desk
    company: Company
    headers: dict[str, str]
    document_id: str
    source_id: str
    website_id: str
    evaluation_id: str
    conversation_id: str
    receipt_token: str
    budget_id: str
    user_id: str
    invitation_token: str

    def url(self, path: str) -> str:
        """A page's address, with the company's own ids."""
        ids = {
            "document_id": self.document_id,
            "source_id": self.source_id,
            "website_id": self.website_id,
            "evaluation_id": self.evaluation_id,
            "conversation_id": self.conversation_id,
            "budget_id": self.budget_id,
            "user_id": self.user_id,
        }
        for name, value in ids.items():
            path = path.replace(f"{{{name}:uuid}}", value)
        path = path.replace("{invitation_token:str}", self.invitation_token)
        return path.replace("{token:str}", self.receipt_token)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        headers = self.headers if headers is None else headers
        return await self.desk.client.get(path, headers={"Accept": "text/html", **headers})

    async def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> Any:
        headers = dict(self.headers if headers is None else headers)
        form["csrf_token"] = form.get("csrf_token", headers.pop("X-CSRF-Token", ""))
        return await self.desk.client.post(path, headers=headers, data=form)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(desk: Desk) -> Office:
    company = await desk.sign_up(company="Kettles & <Sons>")
    document_id = await desk.teach(company, "Warranty", TEXT)
    listed = await desk.client.get("/v1/knowledge/sources", headers=company.bearer)
    inside = {"type": "url", "url": "http://127.0.0.1/", "title": "Our intranet"}
    website = await desk.client.post("/v1/knowledge/sources", json=inside, headers=company.bearer)
    conversation_id, visitor = await desk.begin(company)
    path = f"/v1/conversations/{conversation_id}/messages"
    for text in (QUESTION, "What is the capital of France?"):
        answer = await desk.client.post(path, json={"text": text}, headers=visitor)
        assert answer.status_code == 200, answer.text
    await desk.caught_up(company)
    await _experiment(desk, company)
    return Office(
        desk,
        company,
        await desk.sign_in(company),
        document_id,
        listed.json()["items"][0]["source_id"],
        website.json()["source_id"],
        await _evaluation(desk, company),
        conversation_id,
        await _receipt_token(desk),
        await _budget(desk, company),
        *await _colleagues(desk, company),
    )


async def _budget(desk: Desk, company: Company) -> str:
    """A budget of each conversation, which two fall under."""
    body = {"level": "conversation", "period": "month", "limit_nanos": 10**9, "hard": True}
    made = await desk.client.post("/v1/costs/budgets", json=body, headers=company.bearer)
    assert made.status_code == 201, made.text
    return made.json()["budget_id"]


async def _colleagues(desk: Desk, company: Company) -> tuple[str, str]:
    """The id of somebody who has joined the team, and the token of an invitation to it."""
    viewer = await desk.sign_in_new(company, Role.VIEWER)
    me = await desk.client.get("/v1/me", headers=viewer)
    body = {"email": f"{uuid4().hex[:10]}@acme.example", "role": "admin"}
    sent = await desk.client.post("/v1/team/invitations", json=body, headers=company.bearer)
    assert sent.status_code == 201, sent.text
    return me.json()["subject"], sent.json()["url"].rpartition("/")[2]


async def _evaluation(desk: Desk, company: Company) -> str:
    """Run twice, so that there is something to compare with."""
    csv = f"question,document\n{QUESTION},Warranty\nWhat is the capital of France?,Warranty\n"
    given: dict[str, str] = {"csv": csv, "name": "Kettles <first>"}
    path = "/v1/knowledge/evaluations"
    made = ""
    for _ in range(2):
        answer = await desk.client.post(path, json=given, headers=company.bearer)
        assert answer.status_code == 201, answer.text
        made = answer.json()["evaluation_id"]
        given = {"from_evaluation_id": made}

        async def ended(evaluation_id: str = made) -> bool:
            found = await desk.client.get(f"{path}/{evaluation_id}", headers=company.bearer)
            return found.json()["evaluation"]["state"] == "ended"

        await eventually(ended, timeout_s=30)
    return made


async def _experiment(desk: Desk, company: Company) -> None:
    """One that runs, from now on."""
    body = {"name": "Evenly", "share_percent": 50, "fusion_version": "even"}
    headers = company.bearer
    made = await desk.client.post("/v1/knowledge/experiments", json=body, headers=headers)
    assert made.status_code == 201, made.text


async def _receipt_token(desk: Desk) -> str:
    """Of the erasure of a visitor of some other company."""
    company = await desk.sign_up()
    conversation_id, _ = await desk.begin(company)
    path = f"/v1/conversations/{conversation_id}"
    found = (await desk.client.get(path, headers=company.bearer)).json()
    visitor_id = found["conversation"]["visitor_id"]
    asked = await desk.client.delete(
        f"/v1/visitors/{visitor_id}", headers=await desk.sign_in(company)
    )
    assert asked.status_code == 202, asked.text
    return asked.json()["receipt_url"].rpartition("/")[2]


@pytest_asyncio.fixture(loop_scope="module")
async def page(office: Office, module_browser: Browser) -> AsyncIterator[Page]:
    """A browser's page, signed in; no error may reach its console."""
    context = await _context(office, module_browser)
    opened = await context.new_page()
    failures: list[str] = []
    opened.on("pageerror", lambda error: failures.append(str(error)) if _counts(error) else None)
    opened.on(
        "console",
        lambda message: failures.append(message.text) if _is_policy(message.text) else None,
    )
    yield opened
    await context.close()
    assert failures == []


def _counts(error: Exception) -> bool:
    """Not the browser's word that it was too late to fade from one page to the next."""
    return "Transition was aborted" not in str(error)


def _is_policy(text: str) -> bool:
    return "Content Security Policy" in text


async def _context(office: Office, browser: Browser, **options: Any) -> Any:
    context = await browser.new_context(base_url=office.desk.gateway.http_url, **options)
    name, _, value = office.headers["Cookie"].partition("=")
    cookie: Any = {"name": name, "value": value, "url": office.desk.gateway.http_url}
    await context.add_cookies([cookie])
    return context


def _paths(*, anonymous: bool) -> list[str]:
    """The pages that can be looked at, by their routes."""
    found = []
    for handler in PAGES:
        access = access_of(handler)
        path = next(iter(handler.paths))
        parts = ("/health-dot", "/waiting-count", "/favicon.ico", "/widget.js")
        skipped = path in parts or "key_id" in path
        if "GET" not in handler.http_methods or path.startswith("/static") or skipped:
            continue
        if access is not None and access.anonymous is anonymous:
            found.append(path)
    return sorted(found)


SIGNED_IN = _paths(anonymous=False)
OPEN = _paths(anonymous=True)
FRAMED = [path for path in SIGNED_IN if path != "/widget-preview"]


class Structure(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


Served = dict[str, httpx.Response]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(office: Office) -> Served:
    """Every page as it comes, by its route."""
    found: Served = {}
    for path in (*SIGNED_IN, *OPEN):
        headers = {} if path in OPEN and path != "/widget-preview" else None
        found[path] = await office.get(office.url(path), headers)
    return found


class TestEveryPage:
    async def test_is_found_by_its_route(self) -> None:
        assert {"/", "/knowledge", "/knowledge/search", "/conversations", "/costs"} <= set(FRAMED)
        assert set(OPEN) == {
            "/login",
            "/signup",
            "/widget-preview",
            "/erasures/{token:str}",
            "/invitations/{invitation_token:str}",
        }

    @pytest.mark.parametrize("path", [*SIGNED_IN, *OPEN])
    async def test_has_one_heading_one_main_and_a_title(self, served: Served, path: str) -> None:
        answer = served[path]
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/html")
        found = Structure(answer.text)
        assert len(found.all("h1")) == 1
        assert len(found.all("main")) == 1
        assert found.all("html")[0]["lang"] == "en"
        assert len(found.all("title")) == 1

    @pytest.mark.parametrize("path", FRAMED)
    async def test_stands_in_the_frame(self, served: Served, path: str) -> None:
        found = Structure(served[path].text)
        landmarks = {attributes.get("aria-label") for attributes in found.all("nav")}
        assert {"Main", "Pages"} <= landmarks
        assert found.all("a")[0]["href"] == "#main"
        assert [link for link in found.all("a") if link.get("aria-current")]

    @pytest.mark.parametrize("path", [*SIGNED_IN, *OPEN])
    async def test_runs_under_a_policy_without_inline_script_or_style(
        self, served: Served, path: str
    ) -> None:
        answer = served[path]
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        for tag, attributes in Structure(answer.text).tags:
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert tag != "style"
            assert tag != "script" or attributes.get("src")

    @pytest.mark.parametrize("path", FRAMED)
    async def test_labels_its_fields(self, served: Served, path: str) -> None:
        found = Structure(served[path].text)
        labelled = {label["for"] for label in found.all("label") if label.get("for")}
        for tag in ("input", "textarea", "select"):
            for field in found.all(tag):
                named = field.get("aria-label") or field.get("type") in ("hidden", "checkbox")
                assert named or field.get("id") in labelled, field

    async def test_links_to_nothing_that_is_not_there(self, office: Office, served: Served) -> None:
        seen = {office.url(path) for path in FRAMED}
        links: set[str] = set()
        for path in FRAMED:
            found = Structure(served[path].text)
            for attributes in (*found.all("a"), *found.all("link"), *found.all("script")):
                link = str(attributes.get("href") or attributes.get("src") or "")
                if link.startswith("/"):
                    links.add(link.partition("#")[0])
        for link in sorted(links - seen):
            assert (await office.get(link)).status_code in (200, 303), link

    @pytest.mark.parametrize(
        "template", sorted(TEMPLATES_DIR.rglob("*.html")), ids=lambda p: p.stem
    )
    async def test_is_written_without_inline_script_or_style(self, template: Path) -> None:
        text = _read(template)
        assert not re.search(r"\sstyle=|<style|javascript:|\son[a-z]+=|hx-on|hx-vals=.js:", text)
        assert not re.search(r"<script(?![^>]*\ssrc=)", text)
        assert "|safe" not in text.replace(" ", "")


def _read(path: Path) -> str:
    return path.read_text()


class TestAxe:
    @pytest.mark.timeout(300)
    async def test_objects_to_nothing(self, office: Office, module_browser: Browser) -> None:
        """Every page, as wide as a desk's screen and as narrow as a phone's, light and dark."""
        context = await _context(office, module_browser, reduced_motion="reduce")
        page = await context.new_page()
        addresses = [office.url(path) for path in FRAMED]
        addresses += [
            f"/knowledge/search?q={QUESTION}",
            "/?range=30d",
            "/costs?exact=1",
            "/costs?by=agent&range=7d",
            "/nothing",
            "/knowledge?filter=zzz",
            office.url("/knowledge/evaluations/{evaluation_id:uuid}?show=all&arm=dense"),
        ]
        found = [fault for address in addresses for fault in await _faults(page, address)]
        await context.clear_cookies()
        for path in OPEN:
            if path != "/widget-preview":
                found += await _faults(page, office.url(path))
        await context.close()
        assert found == []


async def _faults(page: Page, address: str) -> list[str]:
    """What is wrong with a page, loaded once: at both widths, and in dark by its colours alone."""
    found: list[str] = []
    await page.emulate_media(color_scheme="light")
    for width in (1280, 360):
        await page.set_viewport_size({"width": width, "height": 800})
        if width == 1280:
            await page.goto(address)
        wide = await page.evaluate(WIDER)
        if wide:
            found.append(f"{address} is {wide} px wider than {width} px")
        found += [f"{address} at {width} px: {fault}" for fault in await axe_violations(page)]
    light = await page.evaluate(PAPER)
    await page.evaluate(AT_ONCE)
    await page.emulate_media(color_scheme="dark")
    found += [f"{address} in dark: {fault}" for fault in await axe_violations(page, only=COLOURS)]
    assert await page.evaluate(PAPER) != light, f"{address} is not dark in dark"
    return found


class TestEvaluation:
    async def test_names_what_is_wrong_with_a_file_and_shows_which_question_misses(
        self, office: Office, page: Page
    ) -> None:
        async def send(content: str) -> None:
            await page.goto("/knowledge/evaluations")
            file: Any = {"name": "Asked.csv", "mimeType": "text/csv", "buffer": content.encode()}
            await page.get_by_label("Questions").set_input_files(file)
            await page.get_by_role("button", name="Evaluate").click()

        await send("question,document\nWhere?,Nowhere\n")
        await expect(page.get_by_role("alert")).to_contain_text(
            "Row 2, column document: you have no document “Nowhere”"
        )
        await send(f"question,document\n{QUESTION},Warranty\n")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Asked")
        headline = page.get_by_role("status").filter(has_text="1 of 1 question finds")
        await expect(headline).to_be_visible(timeout=20_000)
        await page.get_by_role("link", name="All", exact=True).click()
        await expect(page.get_by_role("link", name=QUESTION)).to_be_visible()
        await page.get_by_role("link", name="Delete").click()
        await page.get_by_label("Type “Asked” to confirm").fill("asked")
        await page.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("status").first).to_contain_text("“Asked” was deleted")


class TestExperiment:
    async def test_is_given_another_share_stopped_and_followed_by_another(
        self, office: Office, page: Page
    ) -> None:
        await page.goto("/knowledge/experiments")
        await expect(page.locator(".lead")).to_contain_text("50 % of conversations try fusion even")
        await page.get_by_label("Share of conversations").select_option("100")
        await page.get_by_role("button", name="Change").click()
        await expect(page.locator(".lead")).to_contain_text("100 % of conversations")
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_label("Name").fill("Nothing else")
        await page.get_by_role("button", name="Start").click()
        await expect(page.locator(".field-error")).to_contain_text("Name a fusion or a reranker")
        await page.get_by_label("Reranking").select_option("none")
        await page.get_by_role("button", name="Start").click()
        await expect(page.locator(".lead")).to_contain_text(
            "10 % of conversations try no reranking"
        )
        await page.get_by_role("link", name="Evenly").click()
        await expect(page.get_by_role("heading", name="Evenly")).to_be_visible()


class TestSigningIn:
    async def test_sends_whoever_is_signed_out_to_the_form_and_back(
        self, office: Office, module_browser: Browser
    ) -> None:
        context = await module_browser.new_context(base_url=office.desk.gateway.http_url)
        page = await context.new_page()
        await page.goto("/conversations?outcome=handoff")
        await expect(page).to_have_url(re.compile("/login"))
        await page.get_by_label("E-mail").fill(office.company.email)
        await page.get_by_label("Password").fill("wrong password")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
        await expect(page.get_by_label("E-mail")).to_have_value(office.company.email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await expect(page).to_have_url(re.compile(r"/conversations\?outcome=handoff$"))
        await page.get_by_text("Account", exact=True).locator("..").click()
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(re.compile("/login$"))
        await page.goto("/costs")
        await expect(page).to_have_url(re.compile("/login"))
        await context.close()

    async def test_signs_a_company_up_without_script(
        self, office: Office, module_browser: Browser
    ) -> None:
        office.desk.forget_limits()
        context = await module_browser.new_context(
            base_url=office.desk.gateway.http_url, java_script_enabled=False
        )
        page = await context.new_page()
        await page.goto("/signup")
        await page.get_by_label("Company").fill("New Ltd")
        await page.get_by_label("Work e-mail").fill(f"{uuid4().hex}@new.example")
        await page.get_by_label("Password").fill("short")
        await page.get_by_role("button", name="Create the account").click()
        await expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
        await expect(page.get_by_label("Company")).to_have_value("New Ltd")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Create the account").click()
        await expect(page).to_have_url(re.compile("/knowledge$"))
        await expect(
            page.get_by_role("heading", name="Give your agent something to know")
        ).to_be_visible()
        await page.get_by_role("link", name="Paste a first text").click()
        await page.get_by_label("Text", exact=True).fill(TEXT)
        await page.get_by_role("button", name="Add to knowledge").click()
        await expect(page.get_by_role("status").first).to_contain_text("is being read")
        await context.close()

    async def test_goes_on_to_pages_of_ours_only(self, office: Office) -> None:
        for path in ("https://evil.example", "//evil.example", "/\\evil.example"):
            answer = await office.get(f"/login?next={path}")
            assert answer.headers.get("location") == "/"


class TestWhoMay:
    async def test_a_viewer_sees_and_changes_nothing(self, office: Office) -> None:
        viewer = await office.desk.sign_in_new(office.company, Role.VIEWER)
        listed = await office.get("/knowledge", viewer)
        assert "Warranty" in listed.text
        assert "/delete" not in listed.text
        assert "API keys" not in listed.text
        for path in ("/knowledge/text", "/knowledge/sources/{source_id:uuid}/delete"):
            assert (await office.get(office.url(path), viewer)).status_code == 403
            assert (
                await office.post(office.url(path), viewer, confirm="Warranty")
            ).status_code == 403
        assert (await office.get("/settings/api-keys", viewer)).status_code == 403

    @pytest.mark.parametrize("path", [path for path in FRAMED if "{" in path])
    async def test_another_company_finds_nothing(self, office: Office, path: str) -> None:
        office.desk.forget_limits()
        other = await office.desk.sign_in(await office.desk.sign_up())
        answer = await office.get(office.url(path), other)
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text

    async def test_api_keys_and_visitors_see_no_page(self, office: Office) -> None:
        answer = await office.get("/knowledge", office.company.bearer)
        assert answer.status_code == 403

    async def test_a_form_of_another_site_does_nothing(self, office: Office) -> None:
        path = office.url("/knowledge/sources/{source_id:uuid}/delete")
        for token in ("", "0" * 64):
            answer = await office.post(path, csrf_token=token, confirm="Warranty")
            assert answer.status_code == 403
        assert (await office.get(office.url("/documents/{document_id:uuid}"))).status_code == 200


class TestKnowledge:
    async def test_uploads_files_and_follows_them(self, office: Office, page: Page) -> None:
        await page.goto("/knowledge")
        files: Any = [
            {"name": "graz.md", "mimeType": "text/markdown", "buffer": b"# Graz\n\nA workshop."},
            {"name": "empty.txt", "mimeType": "text/plain", "buffer": b""},
        ]
        await page.set_input_files("#files", files)
        await expect(page.locator("#uploads [data-say]")).to_have_text(
            "1 of 2 uploaded, 1 refused."
        )
        await expect(page.get_by_text("The file is empty: choose another.")).to_be_visible()
        row = page.get_by_role("row", name=re.compile("Graz"))
        await expect(row.get_by_text("Ready")).to_be_visible(timeout=30_000)
        await expect(page.locator("#sources")).to_have_attribute("hx-trigger", "refresh")
        await expect(page.locator(".steps")).to_contain_text(re.compile(r"(\d+) of \1 passages"))
        await expect(page.locator("#sources [role=status]")).to_contain_text("can be found")
        await expect(page.locator("#headline")).to_contain_text("can be found")

    async def test_filters_as_one_types_and_keeps_it_in_the_address(
        self, office: Office, page: Page
    ) -> None:
        await page.goto("/knowledge")
        field = page.get_by_label("Filter by title")
        await field.press_sequentially("warr", delay=30)
        await expect(page).to_have_url(re.compile("filter=warr"))
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(field).to_be_focused()
        await page.reload()
        await expect(field).to_have_value("warr")

    async def test_deletes_only_what_was_named(self, office: Office, page: Page) -> None:
        await office.desk.teach(office.company, "Old prices of 2019 and before", "Tea costs 3.")
        await page.goto("/knowledge")
        await page.get_by_role("link", name="Delete Old prices").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("the document, its 1 passage, and the original")
        await dialog.get_by_label("Type").fill("Old")
        await dialog.get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("nothing was deleted")).to_be_visible()
        await page.get_by_label("Type").fill("old prices of 2019 and")
        await page.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("status").first).to_contain_text("was deleted")
        await expect(page.get_by_text("Old prices of 2019")).to_have_count(1)
        await page.reload()
        await expect(page.get_by_text("Old prices of 2019")).to_have_count(0)

    async def test_shows_what_is_found_and_whether_it_is_enough(
        self, office: Office, page: Page
    ) -> None:
        await page.goto("/knowledge")
        await page.keyboard.press("/")
        await page.keyboard.type(QUESTION)
        await page.keyboard.press("Enter")
        await expect(page.locator(".verdict")).to_contain_text("Would answer")
        first = page.locator(".hits li[data-row]").first
        await expect(first.locator("[data-label=BM25]")).to_contain_text("#1")
        await expect(first.locator("[data-label=Dense]")).to_contain_text("#1")
        await expect(first.locator("[data-label=Reranked]")).to_contain_text("#1")
        slider = page.get_by_label("Answers from")
        await slider.focus()
        await slider.press("End")
        await expect(page.locator(".verdict")).to_contain_text("answers from 100 %")
        await expect(page).to_have_url(re.compile("threshold=100"))
        await expect(page.get_by_text("2 questions")).to_contain_text("0 would be answered")
        await expect(page.get_by_role("link", name=QUESTION)).to_have_count(1)
        await page.get_by_role("button", name="Put 100 % into").click()
        await expect(page.get_by_role("status").first).to_contain_text("draft answers from 100 %")
        await expect(page.get_by_label("Answers from")).to_have_value("100")
        await page.get_by_label("Reranking").select_option("off")
        await expect(first.locator("[data-label=Reranked]")).to_contain_text("off")
        await first.get_by_role("link").click()
        await expect(page.locator("#quote")).to_contain_text("lasts three years")

    async def test_reads_another_part_of_a_website(self, office: Office, page: Page) -> None:
        given = {"type": "crawl", "url": "https://help.example", "title": "Our help"}
        made = await office.desk.client.post(
            "/v1/knowledge/sources", json=given, headers=office.company.bearer
        )
        await page.goto(f"/knowledge/websites/{made.json()['source_id']}")
        await page.get_by_text("Only a part of the site").click()
        await page.get_by_label("Only paths that begin with").fill("help")
        await page.get_by_role("button", name="Save and read again").click()
        only = page.get_by_label("Only paths that begin with")
        await expect(page.locator(".field-error")).to_contain_text("each starts with /")
        await expect(only).to_have_value("help")
        await only.fill("/help/\n/faq/")
        await page.get_by_role("button", name="Save and read again").click()
        await expect(
            page.get_by_text("Only a part of the site: Only /help/, /faq/")
        ).to_be_visible()
        await page.get_by_text("Only a part of the site").click()
        await expect(only).to_have_value("/help/\n/faq/")

    async def test_marks_the_quote_that_one_came_for(self, office: Office, page: Page) -> None:
        await page.goto(f"/conversations/{office.conversation_id}")
        await page.get_by_role("link", name="Why this answer?").first.click()
        await page.locator("#why").get_by_role("link", name="Warranty").first.click()
        await expect(page.locator("mark")).to_have_text(
            "The warranty of a kettle lasts three years."
        )


class TestConversations:
    async def test_are_listed_with_outcome_and_cost(self, office: Office, page: Page) -> None:
        await page.goto("/conversations")
        row = page.get_by_role("row", name=re.compile("warranty of a kettle"))
        await expect(row).to_contain_text("Waiting for a person")
        await expect(row.locator("data")).to_have_attribute("title", re.compile(r"^\$0\.0\d{8}$"))
        await page.get_by_role("link", name="Handed over", exact=True).click()
        await expect(page).to_have_url(re.compile("outcome=handoff"))
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.goto("/conversations?outcome=clarify")
        await expect(page.get_by_text("No conversation like this")).to_be_visible()

    async def test_are_filtered_as_one_types_and_keep_it_in_the_address(
        self, office: Office, page: Page
    ) -> None:
        await page.goto("/conversations?outcome=handoff")
        typed = page.get_by_label("Filter by first question")
        await typed.fill("WARRANTY of")
        await expect(page).to_have_url(re.compile(r"outcome=handoff&filter=WARRANTY"))
        await expect(page.get_by_role("link", name=QUESTION)).to_be_visible()
        await expect(typed).to_be_focused()
        await page.get_by_label("Last activity").select_option("today")
        await expect(page).to_have_url(re.compile("period=today"))
        await expect(page.get_by_role("link", name=QUESTION)).to_be_visible()
        await typed.fill("zzz")
        await expect(page.get_by_text("No conversation like this")).to_be_visible()
        await expect(page.locator(".lead")).to_have_text("None match.")

    async def test_show_the_receipt_to_the_nano_dollar(self, office: Office, page: Page) -> None:
        path = f"/v1/conversations/{office.conversation_id}"
        found = await office.desk.client.get(path, headers=office.company.bearer)
        answer = next(item for item in found.json()["messages"] if item["role"] == "agent")
        await page.goto(f"/conversations/{office.conversation_id}?answer={answer['message_id']}")
        receipt = page.locator(".receipt")
        total = answer["receipt"]["total_nanos"]
        assert total > 0
        await expect(receipt.locator(".total data")).to_have_attribute("value", str(total))
        lines = receipt.locator("ul ul .line data:last-child")
        amounts = await lines.evaluate_all("all => all.map(each => Number(each.value))")
        assert sum(amounts) == total
        assert sorted(amounts) == sorted(
            item["amount_nanos"] for item in answer["receipt"]["items"]
        )

    async def test_explain_each_answer_in_place(self, office: Office, page: Page) -> None:
        await page.goto(f"/conversations/{office.conversation_id}")
        await expect(page.locator("#why")).to_contain_text("Handed over because nothing in your")
        await page.get_by_role("link", name="Why this answer?").first.click()
        await expect(page.locator("#why")).to_contain_text("Answered: the passages were")
        await expect(page.locator("#why mark").first).to_contain_text("three years")
        await expect(page).to_have_url(re.compile(r"answer=.+#why"))
        await page.go_back()
        await expect(page.locator("#why")).to_contain_text("Handed over because")

    async def test_are_listed_while_their_costs_are_away(
        self, office: Office, module_services: FleetServices
    ) -> None:
        gateway = office.desk.gateway
        addresses = {
            name: address
            for name, address in gateway.rt.settings.model_dump().items()
            if name.endswith("_address")
        }
        lonely = await module_services.start(
            "gateway",
            database=gateway.database,
            http_bind="127.0.0.1:0",
            **{**addresses, "analytics_address": NOWHERE},
        )
        headers = {"Accept": "text/html", **office.headers}
        answer = await office.desk.client.get(f"{lonely.http_url}/conversations", headers=headers)
        assert answer.status_code == 200, answer.text
        assert "warranty of a kettle" in answer.text
        assert "<data" not in answer.text

    async def test_come_as_csv(self, office: Office) -> None:
        answer = await office.get("/conversations?format=csv")
        assert answer.headers["content-type"].startswith("text/csv")
        assert "attachment" in answer.headers["content-disposition"]
        head, *rows = answer.text.splitlines()
        assert head.startswith("conversation_id,title,outcome")
        assert [row for row in rows if row.startswith(office.conversation_id)]


class TestPersons:
    """Of a company of their own, so that the figures of the other stay what they are."""

    async def test_take_over_reply_and_hand_back(
        self, office: Office, module_browser: Browser
    ) -> None:
        office.desk.forget_limits()
        company = await office.desk.sign_up()
        conversation_id, visitor = await office.desk.begin(company)
        path = f"/v1/conversations/{conversation_id}"
        await office.desk.client.post(f"{path}/handoff", headers=visitor)
        signed_in = replace(office, headers=await office.desk.sign_in(company))
        context = await _context(signed_in, module_browser)
        page = await context.new_page()
        await page.goto("/")
        await page.get_by_role("link", name="Waiting : 1").click()
        await page.locator("tbody a").click()
        await page.get_by_role("button", name="Take over").click()
        reply = page.get_by_label("Your reply")
        await expect(reply).to_be_focused()
        await expect(page.get_by_role("heading", name="You answer here")).to_be_visible()
        await expect(page.get_by_text("Taken over just now")).to_be_visible()
        await page.goto("/conversations?status=waiting")
        await expect(page.locator(".lead")).to_have_text(
            "Nobody waits for a person. 1 is with a person."
        )
        beside = page.get_by_role("table", name="With a person")
        await expect(beside).to_contain_text(f"{company.email} took over just now")
        await beside.get_by_role("link").click()
        await reply.fill("Maria here: send it to Graz.")
        await page.get_by_role("button", name="Send reply").click()
        turns = page.locator("#turns li")
        await expect(turns.last).to_contain_text("Maria here: send it to Graz.")
        said = {"text": "Thank you, Maria."}
        await office.desk.client.post(f"{path}/messages", json=said, headers=visitor)
        await expect(turns.last).to_contain_text("Thank you, Maria.", timeout=10_000)
        found = await office.desk.client.get(path, headers=visitor)
        assert [message["role"] for message in found.json()["messages"]] == ["person", "visitor"]
        assert await axe_violations(page) == []
        await page.get_by_role("button", name="Hand back to the agent").click()
        await expect(page.get_by_text("The agent answers here")).to_be_visible()
        await page.get_by_role("button", name="Mark as resolved").click()
        await expect(page.get_by_text("This conversation is resolved")).to_be_visible()
        await context.close()

    async def test_keep_a_reply_that_can_t_be_sent(self, office: Office) -> None:
        path = f"/conversations/{office.conversation_id}/reply"
        refused = await office.post(path, text="Too soon", request_id=str(uuid4()))
        assert refused.status_code == 409
        assert "take over before you reply" in refused.text
        assert "Too soon" in refused.text

    @pytest.mark.parametrize("what", ["takeover", "reply", "handback", "resolve"])
    async def test_need_a_role_and_their_own_company(self, office: Office, what: str) -> None:
        path = f"/conversations/{office.conversation_id}/{what}"
        viewer = await office.desk.sign_in_new(office.company, Role.VIEWER)
        assert (await office.post(path, viewer, text="Hello")).status_code == 403
        office.desk.forget_limits()
        other = await office.desk.sign_in(await office.desk.sign_up())
        assert (await office.post(path, other, text="Hello")).status_code == 404


class TestHome:
    async def test_says_in_figures_how_it_is_going(self, office: Office, page: Page) -> None:
        now = office.desk.gateway.rt.clock.now()
        found = await office.desk.client.get(
            "/v1/analytics/kpis",
            params={"from": (now - timedelta(days=6)).isoformat(), "to": now.isoformat()},
            headers=office.company.bearer,
        )
        kpis = found.json()["current"]
        begun = kpis["conversations"]
        assert begun["total"] == begun["handed_over"] == 1
        await page.goto("/")
        lead = page.locator(".lead")
        await expect(lead).to_contain_text("0 % of 1 conversation answered without a person")
        await expect(lead).to_contain_text("1 handed over")
        card = page.locator(".kpi", has_text="Cost of a conversation")
        title = await card.locator(".kpi-value").get_attribute("title")
        assert title is not None
        assert title.startswith(f"${kpis['per_conversation_nanos'] / 1e9:.9f} on average")
        await expect(page.locator("canvas")).to_be_visible()
        await page.get_by_text("Show as table").click()
        total = page.locator("#by-day-table tfoot td").last
        await expect(total).to_have_text("1")
        await expect(page.locator("#by-day-table tbody tr")).to_have_count(7)
        await expect(page.get_by_role("row", name=re.compile("nothing relevant"))).to_be_visible()

    async def test_every_figure_leads_to_what_is_behind_it(
        self, office: Office, page: Page
    ) -> None:
        await page.goto("/")
        await page.locator(".kpi", has_text="Handed over").get_by_role("link").click()
        await expect(page).to_have_url(re.compile(r"/conversations\?outcome=handoff$"))
        await expect(page.locator("tbody tr")).to_have_count(1)

    async def test_a_range_stands_in_the_address(self, office: Office, page: Page) -> None:
        await page.goto("/")
        await page.get_by_role("link", name="30 days").click()
        await expect(page).to_have_url(re.compile(r"/\?range=30d$"))
        await expect(page.locator("#by-day-table tbody tr")).to_have_count(30)

    async def test_shows_a_new_company_its_next_step(self, office: Office) -> None:
        desk = office.desk
        company = await desk.sign_up()
        owner = await desk.sign_in(company)
        viewer = await desk.sign_in_new(company, Role.VIEWER)

        async def step(headers: dict[str, str]) -> str:
            found = Structure((await office.get("/", headers)).text)
            (link,) = [a for a in found.all("a") if "btn-primary" in str(a.get("class"))]
            return str(link["href"])

        assert await step(owner) == "/knowledge"
        assert await step(viewer) == "/widget-preview"
        await desk.teach(company, "Kettles", TEXT)
        assert await step(owner) == "/widget-preview"
        await desk.begin(company)
        assert await step(owner) == "/widget-preview"

    async def test_says_what_is_away(self, door: Desk) -> None:
        company = await door.sign_up()
        headers = {"Accept": "text/html", **await door.sign_in(company)}
        answer = await door.client.get("/", headers=headers)
        assert answer.status_code == 503
        assert "Try again" in answer.text


class TestCosts:
    async def test_of_a_day_are_one_click_away(self, office: Office, page: Page) -> None:
        await page.goto("/costs?by=agent")
        await page.get_by_text("Show as table").click()
        today = page.locator("#by-day-table tbody tr").last.get_by_role("link")
        day = await today.inner_text()
        await today.click()
        await expect(page).to_have_url(re.compile(rf"/costs\?day={day}&by=agent$"))
        await expect(page.locator("#by-day-table tbody tr")).to_have_count(1)
        await expect(
            page.get_by_role("row", name=re.compile("warranty of a kettle"))
        ).to_be_visible()
        await expect(page.locator("#by-day-table thead")).to_contain_text("No agent")

    async def test_are_those_of_the_ledger(self, office: Office, page: Page) -> None:
        found = await office.desk.client.get(
            "/v1/analytics/costs?group_by=conversation", headers=office.company.bearer
        )
        amounts = {group["key"]: group["amount_nanos"] for group in found.json()["groups"]}
        await page.goto("/costs?exact=1")
        row = page.get_by_role("row", name=re.compile("warranty of a kettle"))
        shown = row.locator("data").first
        await expect(shown).to_have_attribute("value", str(amounts[office.conversation_id]))
        await expect(page.locator("canvas")).to_be_visible()
        await page.get_by_text("Show as table").click()
        cell = page.locator("#by-day-table tfoot td").last
        await expect(cell.locator("data")).to_have_attribute("value", str(sum(amounts.values())))


class TestSettings:
    async def test_a_key_is_shown_once_and_works_until_revoked(
        self, office: Office, page: Page
    ) -> None:
        await page.goto("/settings/api-keys")
        await page.get_by_label("Name").fill("Import")
        await page.get_by_role("button", name="Create key").click()
        key = (await page.locator("#secret").inner_text()).strip()
        asked = {"Authorization": f"Bearer {key}"}
        assert (await office.desk.client.get("/v1/me", headers=asked)).status_code == 200
        await page.goto("/settings/api-keys")
        await expect(page.get_by_text(key)).to_have_count(0)
        await page.get_by_role("link", name="Revoke Import").click()
        await page.get_by_role("dialog").get_by_label("Type").fill("Import")
        await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(page.get_by_role("status").first).to_contain_text("was revoked")
        assert (await office.desk.client.get("/v1/me", headers=asked)).status_code == 401

    async def test_the_snippet_is_what_the_try_out_page_uses(
        self, office: Office, page: Page
    ) -> None:
        await page.goto("/settings/widget")
        snippet = await page.locator("#snippet").inner_text()
        assert f'data-agent="{office.company.agent_id}"' in snippet
        await page.get_by_role("link", name="Try it").click()
        await page.get_by_role("button", name="Chat with us").click()
        field = page.get_by_label("Write a question")
        await field.fill(QUESTION)
        await field.press("Enter")
        answer = page.locator(".msg.agent[data-status=completed]")
        await expect(answer).to_contain_text("three years", timeout=30_000)
        await page.get_by_role("button", name="Source 1: Warranty").click()
        await expect(page.locator(".source blockquote")).to_have_text(
            "The warranty of a kettle lasts three years."
        )

    async def test_origins_are_kept_and_checked(self, office: Office, page: Page) -> None:
        await page.goto("/settings/widget")
        field = page.get_by_label("Origins of your pages")
        await field.fill("shop.example.com")
        await page.get_by_role("button", name="Save origins").click()
        await expect(page.locator(".field-error")).to_contain_text("is not an origin")
        await expect(field).to_have_value("shop.example.com")
        await field.fill("https://Shop.example.com")
        await page.get_by_role("button", name="Save origins").click()
        await expect(field).to_have_value("https://shop.example.com")

    async def test_the_theme_is_remembered(self, office: Office, page: Page) -> None:
        await page.goto("/costs?range=7d")
        await page.get_by_text("Theme: system").locator("..").click()
        await page.get_by_role("button", name="Dark").click()
        await expect(page).to_have_url(re.compile(r"/costs\?range=7d$"))
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


class TestEmbedding:
    async def test_of_a_model_that_is_not_set_up_says_why_and_changes_nothing(
        self, office: Office
    ) -> None:
        path = "/knowledge/embedding/change"
        shown = await office.get(f"{path}?model=voyage/voyage-4")
        assert "token vectors" in shown.text
        refused = await office.post(path, model="voyage/voyage-4")
        assert refused.status_code == 409
        assert "does not embed here" in refused.text
        kept = await office.post(path, model="local/all-minilm-l6-v2")
        assert kept.headers["location"] == "/knowledge/embedding"
        assert "In use" in (await office.get("/knowledge/embedding")).text
        assert (await office.get(f"{path}?model=nobody/knows")).status_code == 404
        log = await office.desk.client.get("/v1/audit-log", headers=office.company.bearer)
        assert "embedding_model.chosen" in [line["action"] for line in log.json()["items"]]


class TestModels:
    async def test_a_price_is_set_and_given_up_again(self, office: Office, page: Page) -> None:
        await page.goto("/settings/models")
        priced = page.get_by_role("link", name="Change the price")
        row = page.get_by_role("row", name=re.compile("local.extractive")).filter(has=priced)
        await row.get_by_role("link", name="Change the price").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("CPU microseconds").fill("free")
        await dialog.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Write dollars per million units")).to_be_visible()
        await page.get_by_label("CPU microseconds").fill("0.00002")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status").first).to_contain_text("from now on")
        await expect(row).to_contain_text("$0.00002")
        await expect(row).to_contain_text("your own")
        await row.get_by_role("link", name="Change the price").click()
        await dialog.get_by_role("button", name="Use the book’s").click()
        await expect(row).to_contain_text("the fleet's own rate")
        viewer = await office.desk.sign_in_new(office.company, Role.VIEWER)
        assert "Change the price" not in (await office.get("/settings/models", viewer)).text
        assert (await office.post("/settings/models/price", viewer)).status_code == 403


class TestBudgets:
    async def test_one_is_made_changed_and_deleted(self, office: Office, page: Page) -> None:
        await page.goto("/costs/budgets")
        await page.get_by_role("link", name="New budget").click()
        dialog = page.get_by_role("dialog", name="New budget")
        await dialog.get_by_label("Limit in dollars").fill("0")
        await dialog.get_by_role("button", name="Make the budget").click()
        await expect(page.locator(".field-error")).to_contain_text("Write an amount in dollars")
        await page.get_by_label("Limit in dollars").fill("0.000000001")
        await page.get_by_label("When it is used up").select_option("soft")
        await page.get_by_role("button", name="Make the budget").click()
        await expect(page.get_by_role("status").first).to_contain_text("from the next call")
        card = page.get_by_role("region", name="Everything together, a month: $0.000000001")
        await expect(card).to_contain_text("Used up")
        await expect(card.get_by_role("img", name=re.compile("% spent"))).to_be_visible()
        await expect(page.locator(".lead")).to_contain_text("1 budget used up for now")
        await card.get_by_role("link", name="Change the budget").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("Limit in dollars")).to_have_value("0.000000001")
        await dialog.get_by_label("Limit in dollars").fill("1,250.50")
        await dialog.get_by_role("button", name="Save").click()
        card = page.get_by_role("region", name="Everything together, a month: $1,250.50")
        await expect(card).to_contain_text("Within")
        await card.get_by_role("link", name="Delete the budget").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(card).to_be_hidden()
        viewer = await office.desk.sign_in_new(office.company, Role.VIEWER)
        assert "New budget" not in (await office.get("/costs/budgets", viewer)).text
        for path in ("/costs/budgets", office.url("/costs/budgets/{budget_id:uuid}/delete")):
            assert (await office.post(path, viewer)).status_code == 403

    async def test_what_is_there_already_is_said(self, office: Office) -> None:
        form: Any = {"scope": "conversation", "period": "month", "kind": "hard", "dollars": "5"}
        answer = await office.post("/costs/budgets", **form)
        assert (answer.status_code, "such a budget already" in answer.text) == (409, True)
        for wrong in ({"scope": "agent:x"}, {"period": "year"}, {"kind": ""}, {"dollars": "1e9"}):
            answer = await office.post("/costs/budgets", **{**form, **wrong})
            assert (answer.status_code, "field-error" in answer.text) == (400, True), wrong

    async def test_the_time_zone_is_set(self, office: Office, page: Page) -> None:
        await page.goto("/settings/general")
        field = page.get_by_label("Where your days begin")
        await field.fill("Berlin")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator(".field-error")).to_contain_text("use an IANA name")
        await field.fill("Europe/Berlin")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status").first).to_contain_text("begin in Europe/Berlin")
        await page.goto("/costs/budgets")
        await expect(page.get_by_text("begin in Europe/Berlin")).to_be_visible()


class TestAgent:
    async def test_is_changed_published_and_taken_back(self, office: Office, page: Page) -> None:
        await page.goto("/agent/new")
        await page.get_by_label("Its name").fill("For developers")
        await page.get_by_role("button", name="Make the agent").click()
        await expect(page.locator(".lead")).to_contain_text("Not published yet")
        longest = page.get_by_label("Longest answer, tokens")
        await expect(longest).to_have_value("1024")
        await page.get_by_role("radio", name="Technical").check()
        await expect(longest).to_have_value("1536")
        await page.get_by_label("Suggested questions").fill("Where are the logs?\n\nWhich port?")
        await page.get_by_text("Advanced", exact=True).click()
        await longest.fill("2000")
        await expect(page.get_by_role("radio", name="Custom")).to_be_checked()
        await expect(page.get_by_role("textbox", name="Instructions")).to_have_value(
            re.compile("^Write for an")
        )
        await page.get_by_role("radio", name="Technical").check()
        await expect(page.get_by_role("textbox", name="Instructions")).to_have_value("")
        await page.get_by_label("Answers from, percent").fill("lots")
        await page.get_by_role("button", name="Save the draft").click()
        await expect(page.locator(".field-error")).to_contain_text("no number")
        await expect(page.get_by_role("radio", name="Technical")).to_be_checked()
        await page.get_by_label("Answers from, percent").fill("62.5 %")
        await page.get_by_role("button", name="Save and publish").click()
        await expect(page.get_by_role("status").first).to_contain_text("Version 1 is published")
        await page.get_by_label("Greeting").fill("Hello, I am an AI.")
        await page.get_by_role("button", name="Save the draft").click()
        await expect(page.locator(".lead")).to_contain_text("The draft differs in greeting")
        await page.get_by_role("button", name="Save and publish").click()
        versions = page.get_by_role("region", name="Versions")
        await expect(versions).to_contain_text("Version 2 what visitors get")
        await versions.get_by_role("button", name="Go back to version 1").click()
        await expect(page.locator(".lead")).to_contain_text("Visitors get version 3. The draft")
        await page.get_by_role("button", name="Discard the draft’s changes").click()
        await expect(page.locator(".lead")).to_contain_text("Visitors get version 3, which is")
        await expect(page.get_by_label("Greeting")).to_have_value("")
        answer = await office.desk.client.get("/v1/agents", headers=office.company.bearer)
        draft = answer.json()["items"][-1]["draft"]
        assert (draft["preset"], draft["answer_threshold_millis"]) == ("technical", 625)
        assert draft["suggested_questions"] == ["Where are the logs?", "Which port?"]
        await expect(page.get_by_role("region", name="What an answer costs")).to_contain_text("$")

    async def test_is_an_admins_and_its_own_companys(self, office: Office) -> None:
        agent_id, other = office.company.agent_id, await office.desk.sign_up()
        viewer = await office.desk.sign_in_new(office.company, Role.VIEWER)
        seen = await office.get("/agent", viewer)
        assert ("Save and publish" in seen.text, " disabled" in seen.text) == (False, True)
        form: Any = {"agent_id": str(agent_id), "name": "Taken over", "version": "1"}
        form |= {"text": QUESTION, "request_id": str(uuid4())}
        for path in ("/agent", "/agent/rollback", "/agent/discard", "/agent/new", "/agent/trial"):
            assert (await office.post(path, viewer, **form)).status_code == 403, path
        stranger = await office.desk.sign_in(other)
        assert (await office.get(f"/agent?agent={agent_id}", stranger)).status_code == 404
        for path in ("/agent", "/agent/rollback", "/agent/discard", "/agent/trial"):
            assert (await office.post(path, stranger, **form)).status_code == 404, path
        for wrong in ({"agent_id": "x"}, {"version": "-1"}, {"version": "9" * 12}):
            answer = await office.post("/agent/rollback", **{**form, **wrong})
            assert answer.status_code == 404, wrong

    async def test_an_older_draft_replaces_nothing(self, office: Office) -> None:
        form: Any = {"agent_id": str(office.company.agent_id), "name": "Mine", "preset": "friendly"}
        answer = await office.post("/agent", **form, revision="9999")
        assert (answer.status_code, 'value="Mine"' in answer.text) == (412, True)
        for wrong in ({"name": " "}, {"temperature": "3"}, {"max_tokens": "5"}, {"model": "x/y"}):
            answer = await office.post("/agent", **{**form, **wrong})
            assert (answer.status_code, "field-error" in answer.text) == (400, True), wrong
        for wrong in ("1e999999", "1e9999999999", "NaN", "-1", "9" * 5000):
            answer = await office.post("/agent", **form, answer_threshold=wrong)
            assert (answer.status_code, "field-error" in answer.text) == (400, True), wrong
        for wrong in ("9" * 30, "-1", "x"):
            answer = await office.post("/agent", **form, revision=wrong)
            assert (answer.status_code, "load the page again" in answer.text) == (400, True), wrong
        kept = await office.get("/agent")
        assert 'value="Mine"' not in kept.text

    async def test_its_draft_is_tried_and_counts_nowhere(self, office: Office, page: Page) -> None:
        async def listed() -> Any:
            found = await office.desk.client.get("/v1/conversations", headers=office.company.bearer)
            return found.json()["items"]

        before = await listed()
        agent_id = str(office.company.agent_id)
        # Whatever others made of the draft.
        await office.post("/agent/discard", agent_id=agent_id)
        await page.goto("/agent")
        friendly = page.get_by_role("radio", name="Friendly")
        await expect(friendly).to_be_checked()
        for field, fact in (("max_tokens", "max-tokens"), ("temperature", "temperature")):
            meant = await friendly.get_attribute(f"data-{fact}")
            assert meant
            await expect(page.locator(f"#f-{field}")).to_have_value(meant)
        trial = page.get_by_role("region", name="Try the draft")
        question = trial.get_by_label("Ask as a visitor would")
        unsaved = trial.get_by_text("is not in it until you save")
        await question.fill("?")
        await expect(unsaved).to_be_hidden()
        await page.get_by_label("Greeting").fill("Not saved yet")
        await expect(unsaved).to_be_visible()
        await question.fill(QUESTION)
        await question.press("Enter")
        await expect(trial).to_contain_text("three years")
        answer = trial.locator(".is-agent").first
        await expect(answer).to_contain_text("Answered")
        await expect(answer).to_contain_text("% confident")
        await expect(answer).to_contain_text("$0.0000")
        await expect(answer).to_contain_text("By local/")
        await expect(question).to_be_focused()
        await expect(page.get_by_label("Greeting")).to_have_value("Not saved yet")
        await question.fill("What is the capital of France?")
        await trial.get_by_role("button", name="Ask").click()
        await expect(trial).to_contain_text("Would hand over because")
        await expect(trial).to_contain_text("2 answers for $0.0000")
        assert await axe_violations(page) == []
        await page.get_by_role("button", name="Save the draft").click()
        await expect(page.get_by_label("Greeting")).to_have_value("Not saved yet")
        await expect(trial).to_contain_text("2 answers")
        await answer.get_by_role("link", name="Source 1: Warranty").click()
        await expect(page.get_by_role("heading", name="Why this answer?")).to_be_visible()
        await expect(page.get_by_role("button", name="Take over")).to_have_count(0)
        await page.get_by_role("link", name="Try the draft").click()
        await trial.get_by_role("link", name="Start over").click()
        await expect(trial.locator("li")).to_have_count(0)
        await expect(page).to_have_url(re.compile(r"agent=[^&]+$"))
        assert await listed() == before
        await office.desk.caught_up(office.company)
        await page.goto("/costs?by=purpose")
        await expect(page.get_by_role("region", name="By day and purpose")).to_contain_text("trial")

    async def test_its_draft_is_tried_without_script(self, office: Office) -> None:
        form: Any = {"agent_id": str(office.company.agent_id), "request_id": str(uuid4())}
        await office.post("/agent/discard", **form)
        empty = await office.post("/agent/trial", **form, text=" ")
        assert (empty.status_code, "Text is empty" in empty.text) == (400, True)
        # Somebody else's conversation is no trial: another one begins.
        asked = await office.post(
            "/agent/trial", **form, text=QUESTION, trial=office.conversation_id
        )
        assert asked.status_code == 303, asked.text
        where = asked.headers["location"]
        assert office.conversation_id not in where
        shown = (await office.get(where)).text
        assert ("three years" in shown, "Answered" in shown) == (True, True)
        again = await office.post("/agent/trial", **form, text=QUESTION)
        assert again.headers["location"] == where


class TestAudit:
    async def test_says_who_did_what(self, office: Office, page: Page) -> None:
        agent_id = office.company.agent_id
        await office.desk.client.post(
            f"/v1/agents/{agent_id}/publish", headers=office.company.bearer
        )
        await office.desk.sign_in(office.company)
        await page.goto("/settings/audit")
        row = page.get_by_role("row").filter(has_text="Published an agent").first
        await expect(row).to_contain_text(str(agent_id))
        await expect(row).to_contain_text("API key")
        row = page.get_by_role("row").filter(has_text="Signed in").first
        await expect(row).to_contain_text(office.company.email)

    async def test_is_filtered_by_who_by_what_and_by_days_and_pages_within(
        self, office: Office, page: Page
    ) -> None:
        tenant_id, user_id = office.company.tenant_id, str(office.company.user_id)
        async with office.desk.gateway.db.tenant(tenant_id) as conn:
            for _ in range(51):
                actor = audit.Actor("user", user_id, "127.0.0.1")
                await audit.record(conn, tenant_id, actor, "agent.published", "its id")
        await page.goto("/settings/audit")
        await page.get_by_label("Who").select_option(office.company.email)
        await page.get_by_label("What").select_option("Published an agent")
        await page.get_by_role("button", name="Show").click()
        await page.get_by_role("link", name="Next page").click()
        cells = page.locator("[data-row] .font-medium")
        assert set(await cells.all_inner_texts()) == {"Published an agent"}
        assert "did=agent.published" in page.url
        await page.get_by_label("To").fill("2020-01-01")
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_role("heading", level=2).first).to_have_text("Nothing matches")
        today = f"{office.desk.gateway.rt.clock.now():%Y-%m-%d}"
        seen = await office.get(f"/settings/audit?from={today}&to={today}&who={uuid4()}&did=x")
        assert ("Nothing matches" in seen.text, "who is gone" in seen.text) == (True, True)
        seen = await office.get(f"/settings/audit?from={today}&to=9999-12-31&did=user.signed_in")
        assert 'class="font-medium">Signed in<' in seen.text
        assert 'class="font-medium">Published' not in seen.text

    async def test_is_an_admins_and_its_own_companys(self, office: Office) -> None:
        agent = await office.desk.sign_in_new(office.company, Role.AGENT)
        assert (await office.get("/settings/audit", agent)).status_code == 403
        stranger = await office.desk.sign_in(await office.desk.sign_up())
        seen = await office.get("/settings/audit", stranger)
        assert "Signed the company up" in seen.text
        assert office.company.email not in seen.text
        answer = await office.get("/settings/audit?page_token=nonsense")
        assert answer.status_code == 400


class TestTeam:
    async def test_somebody_is_invited_joins_gets_another_role_and_is_removed(
        self, office: Office, page: Page, module_browser: Browser
    ) -> None:
        await page.goto("/settings/team")
        await page.get_by_role("textbox", name="E-mail").fill("mary@kettles.example")
        await page.get_by_label("Role", exact=True).select_option("agent")
        await page.get_by_role("button", name="Invite").click()
        link = await page.locator("#link").inner_text()
        context = await module_browser.new_context(base_url=office.desk.gateway.http_url)
        theirs = await context.new_page()
        await theirs.goto(link)
        await theirs.get_by_label("Choose a password").fill(PASSWORD)
        await theirs.get_by_role("button", name="Join").click()
        await expect(theirs.get_by_role("status").first).to_contain_text("Welcome to Kettles")
        await page.goto("/settings/team")
        await page.get_by_label("Role of mary@kettles.example").select_option("viewer")
        await page.get_by_role("button", name="the role of mary@kettles.example").click()
        await expect(page.get_by_role("status").first).to_contain_text("is viewer from now on")
        await page.get_by_role("link", name="Remove mary@kettles.example").click()
        await page.get_by_role("dialog").get_by_label("Type").fill("mary@kettles.example")
        await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("status").first).to_contain_text("was removed")
        await theirs.goto("/settings/team")
        await expect(theirs.get_by_role("heading", level=1)).to_have_text("Log in")
        await context.close()

    async def test_what_is_wrong_stands_at_the_field_and_nothing_is_lost(
        self, office: Office
    ) -> None:
        path = "/settings/team/invitations"
        answer = await office.post(path, email=office.company.email, role="admin")
        assert answer.status_code == 409
        assert "This person is in the team already" in answer.text
        assert f'value="{office.company.email}"' in answer.text
        answer = await office.post(path, email="nobody@acme.example", role="god")
        assert answer.status_code == 404
        assert "nobody@acme.example" not in (await office.get("/settings/team")).text
        path = f"/settings/team/{office.user_id}/remove"
        answer = await office.post(path, confirm="somebody else")
        assert (answer.status_code, "nobody was removed" in answer.text) == (400, True)

    async def test_whoever_is_no_admin_sees_who_there_is_and_no_form(self, office: Office) -> None:
        viewer = await office.desk.sign_in_new(office.company, Role.VIEWER)
        seen = await office.get("/settings/team", viewer)
        assert office.company.email in seen.text
        assert "Invite" not in seen.text
        assert "First key" not in seen.text
        assert "First key" in (await office.get("/settings/team")).text
        for path in ("invitations", f"{office.user_id}/role", f"{office.user_id}/remove"):
            answer = await office.post(f"/settings/team/{path}", viewer, role="owner")
            assert answer.status_code == 403


class TestKeyboard:
    async def test_has_a_letter_for_each_page(self) -> None:
        letters = [item.key for item in NAV]
        assert len(set(letters)) == len(letters)

    async def test_goes_to_pages_and_rows_and_says_how(self, office: Office, page: Page) -> None:
        await page.goto("/knowledge")
        await page.keyboard.press("g")
        await page.keyboard.press("c")
        await expect(page).to_have_url(re.compile("/conversations$"))
        await page.wait_for_load_state()
        first = page.locator("tbody tr a[href^='/conversations/']").first
        opened = await first.get_attribute("href")
        assert opened is not None
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(re.escape(opened)))
        await page.wait_for_load_state()
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
        await page.get_by_label("Use these keys").uncheck()
        await page.keyboard.press("Escape")
        await page.keyboard.press("g")
        await page.keyboard.press("k")
        await expect(page).to_have_url(re.compile("/conversations/"))

    async def test_skips_to_the_content(self, office: Office, page: Page) -> None:
        await page.goto("/costs")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        await page.keyboard.press("Enter")
        assert urlsplit(page.url).fragment == "main"


class TestErrors:
    async def test_are_pages_for_people_and_problems_for_programs(self, office: Office) -> None:
        page = await office.get("/nothing")
        assert page.status_code == 404
        assert "There is nothing here" in page.text
        program = await office.desk.client.get("/nothing", headers={"Accept": "application/json"})
        assert program.headers["content-type"] == "application/problem+json"
        api = await office.get("/v1/nothing")
        assert api.headers["content-type"] == "application/problem+json"

    async def test_say_what_is_away_and_offer_to_try_again(self, door: Desk) -> None:
        company = await door.sign_up()
        headers = await door.sign_in(company)
        answer = await door.client.get("/knowledge", headers={"Accept": "text/html", **headers})
        assert answer.status_code == 503
        assert "A service is restarting" in answer.text
        assert 'href="/knowledge"' in answer.text
        assert "Traceback" not in answer.text
        health = await door.client.get("/health-dot", headers=headers)
        assert "5 not answering" in health.text

    async def test_missing_assets_are_named_with_the_remedy(self, tmp_path: Path) -> None:
        with pytest.raises(MissingAssets, match="run `make setup`"):
            Pages.load(tmp_path)


class TestAssets:
    async def test_are_kept_for_ever_under_a_name_with_their_hash(self, office: Office) -> None:
        name = office.desk.parts.pages.manifest["app.css"]
        answer = await office.desk.client.get(
            f"/static/{name}", headers={"Accept-Encoding": "gzip, br"}
        )
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "br"
        assert answer.headers["content-type"] == "text/css; charset=utf-8"

    async def test_the_widget_may_stand_on_any_page_and_is_looked_at_again(
        self, office: Office
    ) -> None:
        first = await office.desk.client.get("/widget.js", headers={"Accept-Encoding": "identity"})
        assert first.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "content-encoding" not in first.headers
        again = await office.desk.client.get(
            "/widget.js", headers={"If-None-Match": first.headers["etag"]}
        )
        assert again.status_code == 304
        assert again.content == b""

    async def test_no_page_carries_100_kilobytes_of_script(self, office: Office) -> None:
        pages = office.desk.parts.pages
        for path in FRAMED:
            found = Structure((await office.get(office.url(path))).text)
            names = [str(tag["src"]).removeprefix("/static/") for tag in found.all("script")]
            size = sum(len(pages.assets[name].encoded["gzip"]) for name in names)
            assert size < 100_000, path

    @pytest.mark.parametrize("name", ["nothing.js", "..%2F..%2Fconfig.py", "manifest.json"])
    async def test_are_the_built_files_and_no_others(self, office: Office, name: str) -> None:
        assert (await office.desk.client.get(f"/static/{name}")).status_code == 404


class TestConflicts:
    async def test_are_dismissed_and_opened_again(self, office: Office, page: Page) -> None:
        for title, days in (("Returns", 30), ("Kettles sent back", 14)):
            text = f"You can return a kettle within {days} days of its delivery."
            await office.desk.teach(office.company, title, text)

        async def found() -> bool:
            await page.goto("/knowledge/conflicts")
            return await page.get_by_text("Different numbers").count() == 1

        await eventually(found, timeout_s=20)
        await page.get_by_role("button", name="Dismiss").click()
        await expect(page.get_by_role("status").first).to_contain_text("comes back when")
        await expect(page.get_by_role("heading", name="Nothing disagrees")).to_be_visible()
        await page.get_by_role("link", name="Dismissed 1").click()
        await page.get_by_role("button", name="Open again").click()
        await expect(page.get_by_text("Different numbers")).to_be_visible()
        log = await office.desk.client.get("/v1/audit-log", headers=office.company.bearer)
        actions = [line["action"] for line in log.json()["items"]]
        assert {"conflict.dismissed", "conflict.restored"} <= set(actions)
