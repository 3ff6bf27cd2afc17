"""Rules of the style guide that ruff does not know."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FUNCTION_LINES = 70
LONGEST_FILE_LINES = 400


def modules(*globs: str) -> list[Path]:
    """The Python files under these globs, generated ones left out."""
    found = (path for glob in globs for path in ROOT.glob(glob))
    return sorted(path for path in found if "protos_py" not in path.parts)


def product() -> list[Path]:
    return modules("services/*/src/**/*.py", "libs/*/src/**/*.py", "deploy/local/**/*.py")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def long_functions(source: str) -> list[str]:
    """Names of the functions that are longer than a screen."""
    return [
        function.name
        for function in functions(ast.parse(source))
        if (function.end_lineno or 0) - function.lineno >= LONGEST_FUNCTION_LINES
    ]


def executed_statements(source: str) -> list[int]:
    """Lines that hand a statement to the database."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"execute", "executemany", "copy"}
    ]


@pytest.mark.parametrize("path", [*product(), *modules("tests/**/*.py")], ids=name_of)
def test_functions_fit_on_a_screen(path):
    assert long_functions(path.read_text()) == []


@pytest.mark.parametrize("path", product(), ids=name_of)
def test_files_have_one_noun(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE_LINES


@pytest.mark.parametrize("path", modules("services/*/src/**/*.py"), ids=name_of)
def test_statements_stand_in_the_store(path):
    if path.stem == "store" or "store" in path.parts:
        return
    assert executed_statements(path.read_text()) == []


def test_work_that_is_left_names_its_issue():
    listed = subprocess.run(
        [
            "git",
            "grep",
            "-nE",
            r"\b(TODO|FIXME|XXX)\b",
            "--",
            "*.py",
            "*.proto",
            "*.ts",
            "Makefile",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    left = [
        line
        for line in listed.stdout.splitlines()
        if not re.search(r"TODO\(#\d+\)", line) and "tests/repo/test_style.py" not in line
    ]
    assert left == []


class TestTheChecksThemselves:
    def test_a_long_function_is_found(self):
        body = "\n".join("    x = 1" for _ in range(LONGEST_FUNCTION_LINES))
        assert long_functions(f"def long():\n{body}\n") == ["long"]
        assert long_functions(f"def fits():\n{body[: -len('    x = 1') - 1]}\n") == []

    def test_a_statement_is_found(self):
        assert executed_statements("async def f(c):\n    await c.execute('select 1')\n") == [2]
