"""The rooms of the report: parts stand on the base, and none on another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import freepage.report

REPORT = Path(freepage.report.__file__).parent
BASE = {"arms", "article", "chart", "decisions", "numbers", "table"}


def imports_of(path):
    """Every module of the report that `path` imports, as a name below it."""
    nodes = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom))
    modules = (n.module or "" for n in nodes)
    return {m.removeprefix("freepage.report.") for m in modules if m.startswith("freepage.report.")}


@pytest.mark.parametrize("path", sorted((REPORT / "parts").glob("[!_]*.py")), ids=lambda p: p.stem)
def test_a_part_imports_the_base_and_no_other_part(path):
    assert imports_of(path) <= BASE


@pytest.mark.parametrize("name", sorted(BASE))
def test_the_base_imports_nothing_that_stands_on_it(name):
    assert imports_of(REPORT / f"{name}.py") <= BASE - {name}
