"""How pages are made: templates with everything escaped, and the assets they name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from gateway.views.format import percent

PACKAGE_DIR = Path(__file__).parent
TEMPLATES_DIR = PACKAGE_DIR / "templates"
STATIC_DIR = PACKAGE_DIR / "static"
WIDGET = "widget.js"
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


class MissingAssets(RuntimeError):
    """The assets were never built."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One built file; `encoded` has its compressed twins by content coding."""

    media_type: str
    plain: bytes
    encoded: Mapping[str, bytes]
    etag: str


@dataclass(frozen=True, slots=True)
class Pages:
    """Templates and assets, read once at start."""

    templates: Environment
    assets: Mapping[str, Asset]
    manifest: Mapping[str, str]

    @classmethod
    def load(cls, static_dir: Path = STATIC_DIR) -> "Pages":
        """Reads what the build wrote; MissingAssets, saying what to do, when it did not run."""
        path = static_dir / "manifest.json"
        if not path.is_file():
            raise MissingAssets(
                "the pages' assets are not built: run `make setup`, or `npm ci && npm run build`"
                " in services/gateway/web"
            )
        manifest: dict[str, str] = json.loads(path.read_text())
        assets = {name: _asset(static_dir / name) for name in manifest.values()}
        return cls(environment(manifest), assets, manifest)

    def render(self, template: str, **context: Any) -> str:
        """A page's HTML. A name that a template misspells is an error."""
        return self.templates.get_template(template).render(**context)


def environment(manifest: Mapping[str, str]) -> Environment:
    """The Jinja environment of the pages."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def asset(name: str) -> str:
        """The address of an asset; KeyError for one that the build does not make."""
        return f"/static/{manifest[name]}"

    env.globals["asset"] = asset
    env.filters["percent"] = percent
    return env


def _asset(path: Path) -> Asset:
    plain = path.read_bytes()
    twins = {"br": path.with_name(f"{path.name}.br"), "gzip": path.with_name(f"{path.name}.gz")}
    return Asset(
        media_type=_MEDIA_TYPES[path.suffix],
        plain=plain,
        encoded={coding: twin.read_bytes() for coding, twin in twins.items() if twin.is_file()},
        etag=f'"{hashlib.sha256(plain).hexdigest()[:16]}"',
    )
