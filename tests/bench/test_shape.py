"""The script that measures the source, on small sources whose shape is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modules import LAZY, LOAD, TYPING, count_floors, find_arrows_up, find_cycles, read_house
from shape import Goal, Measure, measure

SCRIPT = Path(__file__).parents[2] / "bench/shape.py"


@pytest.fixture
def build(tmp_path):
    """Write a package of the given files and read it."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / "freepage" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_house(tmp_path / "freepage")

    return write


def found(house, name):
    return next(each for each in measure(house) if each.name == name)


def test_an_import_is_known_by_when_it_happens(build):
    house = build(
        {
            "units.py": "import os\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import freepage.store\n",
            "store.py": "def f():\n    from freepage import units\n",
        }
    )
    seen = {(i.importer.name, i.imported): i.when for i in house.imports}
    assert seen == {
        ("freepage.units", "os"): LOAD,
        ("freepage.units", "typing"): LOAD,
        ("freepage.units", "freepage.store"): TYPING,
        ("freepage.store", "freepage.units"): LAZY,
    }


def test_a_cycle_of_lazy_imports_and_types_is_one_all_the_same(build):
    house = build(
        {
            "a.py": "if TYPE_CHECKING:\n    from freepage.b import x\n",
            "b.py": "def f():\n    from freepage import c\n",
            "c.py": "import freepage.a\n",
            "d.py": "import freepage.a\n",
        }
    )
    assert find_cycles(house.arrows(LOAD)) == []
    assert find_cycles(house.arrows(LOAD, LAZY, TYPING)) == ["freepage.a <> freepage.b <> freepage.c"]


def test_a_module_of_types_may_not_come_from_above_either(build):
    house = build(
        {
            "units.py": "if TYPE_CHECKING:\n    from freepage.study.plan import Trial\n",
            "study/plan.py": "from freepage import units\n",
        }
    )
    assert list(map(str, find_arrows_up(house))) == [
        "freepage/units.py:2 imports freepage.study.plan for types only"
    ]


def test_relative_imports_are_seen_too(build):
    house = build({"study/plan.py": "from .study import Study\n", "study/study.py": ""})
    assert house.arrows(LOAD)["freepage.study.plan"] == {"freepage.study.study"}


def test_rooms_are_folders_and_modules_at_the_top(build):
    house = build(
        {
            "units.py": "",
            "targets/base.py": "import freepage.units\n",
            "targets/local/vm.py": "import freepage.targets.base\nimport freepage.units\n",
            "run/run.py": "import freepage.targets.local.vm\n",
        }
    )
    assert set(house.room_arrows) == {"units", "targets", "targets.local", "run"}
    assert house.room_arrows["targets.local"] == {"units"}
    assert count_floors(house.room_arrows) == 3


def test_rooms_in_a_circle_stand_on_one_floor(build):
    house = build(
        {
            "run/a.py": "import freepage.study.b\n",
            "study/b.py": "def f():\n    import freepage.run.a\n",
            "cli/c.py": "import freepage.run.a\n",
        }
    )
    assert found(house, "cycles of rooms, any import").places == ("run <> study",)
    assert count_floors(house.room_arrows) == 2


KINDS = """
FIO = Workload("fio", 1)
TABLE = (Kind("burst", FIO), Kind("guest-io", FIO), Kind("command", FIO))
"""


@pytest.mark.parametrize(
    "text",
    [
        "x = kind == 'burst'",
        "x = kind in ('burst', other)",
        "x = kind.name != 'command'",
        "x = workload is FIO",
        "x = workload is kinds.FIO",
        "SOME = ('guest-io',)",
        "SOME = {'burst': 1}",
        "SOME = ('fio', 'command')",
        "SOME = Literal['burst']",
        "match kind:\n    case 'burst':\n        pass",
    ],
)
def test_a_kind_told_by_its_name_is_found(build, text):
    house = build({"kinds.py": KINDS, "run/run.py": text})
    assert found(house, "names of kinds compared outside kinds.py").value > 0


@pytest.mark.parametrize(
    "text",
    [
        "x = kind.synchronised",
        "x = Table('burst', rows)",
        "pod = {'command': ['sleep']}",
        "tools = ('fio', 'mke2fs')",
        "x = activity is Activity.FIO",
        '"""burst"""',
    ],
)
def test_what_only_looks_like_a_kind_is_left_alone(build, text):
    house = build({"kinds.py": KINDS, "run/run.py": text})
    assert found(house, "names of kinds compared outside kinds.py").places == ()


def test_lengths_are_those_of_whole_functions_and_files(build):
    house = build(
        {"units.py": "def f():\n" + "    f()\n" * 46 + "async def g():\n    pass\n" + "x = 1\n" * 300}
    )
    assert found(house, "functions over 45 lines").places == ("freepage/units.py:1 has 47 lines",)
    assert found(house, "files over 300 lines").places == ("freepage/units.py has 349 lines",)
    assert found(house, "median function, lines").value == 24.5


def test_bags_of_anything_count_in_annotations_too(build):
    text = "def draw(x: list[dict[str, Any]]) -> dict[str, object]:\n    y: dict[str, Any] = {}\n"
    house = build({"report/page.py": text, "kube/api.py": text})
    assert found(house, "dict[str, Any] in report/").value == 2
    assert found(house, "dict[str, Any] elsewhere").value == 2


def test_a_function_needs_all_its_types(build):
    text = "class A:\n    def f(self, *, x: int) -> int: ...\n    def g(self, *x) -> int: ...\ndef h(): ...\n"
    house = build({"units.py": text})
    assert set(found(house, "functions without all types").places) == {
        "freepage/units.py:3",
        "freepage/units.py:4",
    }


def test_docstrings_are_read_by_their_first_words(build):
    text = '"""What it is."""\ndef f():\n    """Return it."""\nclass A:\n    """Give it."""\n'
    house = build({"units.py": text})
    assert found(house, "docstrings").value == 3
    assert found(house, "docstrings beginning with a wrong word").places == (
        "freepage/units.py:1: What",
        "freepage/units.py:5: Give",
    )


def test_a_name_of_two_classes_is_found(build):
    house = build({"a.py": "class Finding: ...\n", "b.py": "class Finding: ...\nclass Other: ...\n"})
    assert found(house, "names of classes used twice").places == (
        "Finding: freepage/a.py:1, freepage/b.py:1",
    )


def test_a_goal_not_reached_yet_holds_where_it_stands():
    assert Goal(0, today=3).bound == 3
    assert Goal(7).bound == 7
    assert Measure("median function, lines", 8).is_missed
    assert not Measure("median function, lines", 7).is_missed
    assert not Measure("rooms", 1000).is_missed


@pytest.mark.long
def test_the_script_prints_a_table_and_fails_only_where_a_goal_is_missed():
    outcome = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert "  functions over 45 lines  (at most 0: " in outcome.stdout
    assert outcome.returncode == (": missed)" in outcome.stdout)
