"""The code as text: linters, types, who may import whom, and what must not be in the repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.pages import PAGES
from modules import LAYERS, LAZY, LOAD, TYPING, find_arrows_up, reach, read_house
from shape import GOALS, describe, measure

TOP = Path(__file__).parent.parent

# What only reads stored runs needs none of these, nor anything that needs them.
NOT_FOR_STORED_RUNS = {
    "targets",
    "worker",
    "image",
    "run",
    "kube",
    "kubevirt",
    "prometheus",
    "sampling",
    "study",
}
NETWORK = {"httpx", "wsproto", "qemu", "socket", "ssl", "http", "urllib", "subprocess"}
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


@pytest.fixture(scope="module")
def house():
    return read_house()


def test_every_module_and_folder_at_the_top_has_its_layer(house):
    listed = [name for layer in LAYERS for name in layer]
    assert sorted(listed) == sorted({module.name.split(".")[1] for module in house.modules})


def test_imports_point_only_downward(house):
    assert not list(map(str, find_arrows_up(house)))


@pytest.mark.parametrize("room", ["analysis", "forecast", "report"])
def test_what_reads_a_stored_run_never_reaches_a_target_a_cluster_or_a_network(house, room):
    reached = reach(house.arrows(LOAD, LAZY, TYPING))
    own = {module.name for module in house.modules if module.room == room}
    all_of_it = own.union(*(reached[name] for name in own))
    assert not {name for name in all_of_it if name.split(".")[1] in NOT_FOR_STORED_RUNS}
    assert not [str(i) for i in house.imports if i.importer.name in all_of_it and i.library in NETWORK]


def test_the_shape_of_the_source_keeps_to_its_goals(house):
    missed = [each for each in measure(house) if each.is_missed]
    assert not missed, "\n".join(
        [describe(each) for each in missed] + [p for each in missed for p in each.places]
    )


def test_every_goal_is_measured(house):
    assert set(GOALS) <= {each.name for each in measure(house)}


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


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_made_from_the_code_are_current(name):
    assert (TOP / "docs" / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_page_the_readme_links_to_exists():
    text = (TOP / "README.md").read_text()
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links
    missing = [link for link in links if not link.startswith("http") and not (TOP / link).exists()]
    assert not missing
