"""The code as text: linters, types, who may import whom, and what must not be in the repository."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from freepage.metrics import describe_metrics
from freepage.prometheus.profile import describe_profile

TOP = Path(__file__).parent.parent
SOURCE = TOP / "src/freepage"

# A module may import from its own layer and from those before it.
LAYERS = (
    ("errors", "units", "cache", "aio"),
    ("records", "metrics", "store", "kinds"),
    ("fpr", "sampling"),
    ("study",),
    ("worker", "kube"),
    ("image", "kubevirt", "prometheus"),
    ("targets",),
    ("run",),
    ("analysis",),
    ("report",),
    ("cli",),
)
HEAVY = {
    "polars",
    "altair",
    "scipy",
    "numpy",
    "jinja2",
    "rich",
    "pydantic",
    "qemu",
    "vl_convert",
    "httpx",
    "wsproto",
    "yaml",
}


def modules():
    return sorted(p for p in SOURCE.rglob("*.py") if p.name != "__init__.py")


def layer_of(name):
    return next(n for n, layer in enumerate(LAYERS) if name in layer)


def imports_at_run_time(path):
    """Every freepage module that `path` imports outside of `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node not in typing_only
            and (node.module or "").startswith("freepage.")
        ):
            yield node.module.split(".")[1]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_only_downward(path):
    own = layer_of(path.relative_to(SOURCE).parts[0].removesuffix(".py"))
    upward = [name for name in imports_at_run_time(path) if layer_of(name) > own]
    assert not upward


@pytest.mark.parametrize("package", ["analysis", "report"])
def test_what_reads_a_stored_run_never_reaches_a_target(package):
    forbidden = {"targets", "worker", "image", "trial", "run", "sampling"}
    for path in (SOURCE / package).rglob("*.py"):
        assert not forbidden & set(imports_at_run_time(path)), path


def test_the_command_line_starts_without_heavy_libraries():
    code = "import sys, freepage.cli.main; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize(
    "command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join
)
def test_linters_find_nothing(command):
    outcome = subprocess.run(
        [sys.executable, "-m", *command], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def tracked_texts():
    listed = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        path = TOP / name
        if path.is_file() and path.suffix not in {".png", ".parquet"}:
            yield name, path.read_text(encoding="utf-8")


def test_no_file_names_a_package_registry_or_a_developers_folder():
    forbidden = [
        "py" + "pi.org",
        "python" + "hosted",
        "deb." + "debian.org",
        "registry." + "npmjs",
        "/wo" + "rk/",
    ]
    found = [(name, word) for name, text in tracked_texts() for word in forbidden if word in text]
    assert not found


def test_the_metrics_page_is_current():
    assert (TOP / "docs/metrics.md").read_text() == describe_metrics() + describe_profile()


def test_every_page_the_readme_links_to_exists():
    text = (TOP / "README.md").read_text()
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links
    missing = [link for link in links if not link.startswith("http") and not (TOP / link).exists()]
    assert not missing
