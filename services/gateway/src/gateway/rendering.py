"""How pages are rendered: Jinja with everything escaped, names of assets, and their headers."""

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.template.config import TemplateConfig

from gateway.views.format import percent

PACKAGE_DIR = Path(__file__).parent
TEMPLATES_DIR = PACKAGE_DIR / "templates"
STATIC_DIR = PACKAGE_DIR / "static"


class MissingAssets(RuntimeError):
    """The assets were never built."""


def load_manifest(static_dir: Path = STATIC_DIR) -> dict[str, str]:
    """Plain name → name with a content hash, as the build wrote it.

    MissingAssets when it did not run.
    """
    path = static_dir / "manifest.json"
    if not path.is_file():
        raise MissingAssets(
            f"{path} is missing: run `npm ci && npm run build` in services/gateway/web"
        )
    return json.loads(path.read_text())


def environment(manifest: dict[str, str]) -> Environment:
    """The Jinja environment of the pages; a name that a template misspells is an error."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def asset(name: str) -> str:
        """The address of an asset; KeyError for one that the build does not make."""
        return f"/static/{manifest[name]}"

    env.globals["asset"] = asset
    env.filters["percent"] = percent
    return env


def template_config(static_dir: Path = STATIC_DIR) -> TemplateConfig[JinjaTemplateEngine]:
    """Litestar's configuration of the pages' templates."""
    engine = JinjaTemplateEngine.from_environment(environment(load_manifest(static_dir)))
    return TemplateConfig(instance=engine)
