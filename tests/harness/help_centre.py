"""A real help centre: its articles in Markdown, and the website that they make."""

import json
import tarfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pytest
from fakes.website import Website
from markdown_it import MarkdownIt

_ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "kb_arduino_help.tar.gz"
_CORPUS = "kb_arduino_help/corpus.jsonl"
_PER_LIST = 25


@dataclass(frozen=True)
class Article:
    """One article; `path` is where the website has it."""

    article_id: str
    title: str
    markdown: str

    @property
    def path(self) -> str:
        return f"/articles/{self.article_id}"

    @property
    def file(self) -> str:
        """As a Markdown file with its title in front."""
        return f"---\ntitle: {json.dumps(self.title)}\n---\n{self.markdown}"

    def edited(self) -> "Article":
        """With another sentence at its end."""
        return Article(
            self.article_id, self.title, f"{self.markdown}\n\nChanged since: {self.title}."
        )


def has_archive() -> bool:
    """Whether its archive is there."""
    return _ARCHIVE.is_file()


def articles(count: int | None = None) -> list[Article]:
    """All articles, or so many from all over the corpus; without the archive a test is skipped."""
    if not has_archive():
        pytest.skip(f"{_ARCHIVE} is not there")
    with tarfile.open(_ARCHIVE) as archive:
        corpus: Any = archive.extractfile(_CORPUS)
        rows = [json.loads(line) for line in corpus.read().decode().splitlines()]
    step = max(1, len(rows) // count) if count else 1
    return [Article(row["id"], row["title"], row["text"]) for row in rows[::step][:count]]


def publish(site: Website, shown: list[Article]) -> None:
    """Makes a website of them: a page each, lists that lead to them, a sitemap."""
    for article in shown:
        site.pages[article.path] = page(article)
    lists = [shown[n : n + _PER_LIST] for n in range(0, len(shown), _PER_LIST)]
    for number, listed in enumerate(lists):
        site.pages[f"/lists/{number}"] = _list_page(f"List {number}", listed)
    anchors = "".join(f'<li><a href="/lists/{n}">Articles {n}</a></li>' for n in range(len(lists)))
    site.pages["/"] = (
        f"<html><head><title>Help</title></head><body><ul>{anchors}</ul></body></html>"
    )
    entries = "".join(f"<url><loc>{site.url}{article.path}</loc></url>" for article in shown)
    site.pages["/sitemap.xml"] = f"<urlset>{entries}</urlset>"


def page(article: Article) -> str:
    """The article as its website shows it, with what stands around it."""
    body = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(article.markdown)
    return (
        f"<!doctype html><html><head><title>{escape(article.title)}</title></head><body>"
        '<header><nav><a href="/">Help</a></nav></header>'
        f"<main>{body}</main><footer>All rights reserved</footer></body></html>"
    )


def _list_page(title: str, listed: list[Article]) -> str:
    items = "".join(f'<li><a href="{a.path}">{escape(a.title)}</a></li>' for a in listed)
    return (
        f"<html><head><title>{title}</title></head><body><h1>{title}</h1><ul>{items}</ul>"
        "</body></html>"
    )
