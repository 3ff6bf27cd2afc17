"""What the build of the pages' assets is made from."""

import json
import re

from harness.browser import WEB


class TestPackageLock:
    def test_pins_every_package_by_its_hash(self) -> None:
        packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
        for name, package in packages.items():
            assert not name or package.get("integrity", "").startswith("sha512-"), name

    def test_leaves_the_registry_to_whoever_installs(self) -> None:
        packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
        assert [name for name, package in packages.items() if "resolved" in package] == []

    def test_names_exact_versions(self) -> None:
        package = json.loads((WEB / "package.json").read_text())
        versions = {**package["dependencies"], **package["devDependencies"]}
        assert [name for name, version in versions.items() if not version[0].isdigit()] == []


class TestIcons:
    def test_are_those_that_the_pages_use(self) -> None:
        templates = WEB.parent / "src/gateway/templates"
        views = WEB.parent / "src/gateway/views"
        known = set((WEB / "src/icons.txt").read_text().split())
        text = "".join(path.read_text() for path in templates.rglob("*.html"))
        used = set(re.findall(r"icon\(\"([a-z0-9-]+)\"", text))
        used |= set(
            re.findall(
                r"\"(?:good|bad|warn|ascending|descending|light|dark)\": \"([a-z-]+)\"", text
            )
        )
        for path in views.rglob("*.py"):
            used |= set(re.findall(r"Badge\([^,]+, \"([a-z0-9-]+)\"", path.read_text()))
            used |= set(
                re.findall(
                    r"NavItem\(\s*\"[^\"]+\",\s*\"[^\"]+\",\s*\"([a-z0-9-]+)\"", path.read_text()
                )
            )
        assert used <= known, f"add to icons.txt: {used - known}"
