"""Targets as the command line knows them: one line each, and nothing asks for one by name."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from freepage.cli.main import main
from freepage.errors import HostError
from freepage.study.request import plan_run
from freepage.targets.base import TargetEntry, TargetOption
from freepage.targets.registry import TARGETS
from helpers.fakes import CONDITIONS, FakeTarget


class MoonPreview:
    """A target of a kind nobody has built yet."""

    execution = "kvm (it has hardware), on the moon"
    notes = ("the moon has no air",)
    obstacle = None

    def __init__(self, plan, objects):
        self.plan = plan
        self._objects = objects

    def find_obstacle(self, trial):
        return self.obstacle if trial.arm == "vm" else None

    def list_objects(self):
        return self._objects

    @asynccontextmanager
    async def open_target(self, _folder):
        yield FakeTarget(), self.plan


@pytest.fixture
def moon(monkeypatch):
    """Register a third target, as a package of its own would; gives the options it was chosen with."""
    chosen = []

    def choose(options):
        @asynccontextmanager
        async def open_preview(request):
            chosen.append((options.crater, request))
            objects = [("holds the crater", {"kind": "Crater", "metadata": {"name": options.crater}})]
            yield MoonPreview(plan_run(request, "kvm", CONDITIONS), objects)

        return open_preview

    option = TargetOption("--crater", {"default": "tycho", "metavar": "NAME", "help": "where to land"})
    entry = TargetEntry("moon", "the moon", "where trials run there", (option,), choose)
    monkeypatch.setitem(TARGETS, "moon", entry)
    return chosen


def test_no_two_targets_have_an_option_in_common():
    flags = [option.flag for entry in TARGETS.values() for option in entry.options]
    assert len(flags) == len(set(flags))
    assert all(entry.name == name for name, entry in TARGETS.items())


def test_a_new_target_is_planned_for_and_shown_with_its_own_options(moon, capsys):
    assert main(["plan", "quick", "--target", "moon", "--crater", "copernicus"]) == 0
    assert "guests executed by kvm (it has hardware), on the moon" in capsys.readouterr().out
    assert [crater for crater, _ in moon] == ["copernicus"]


def test_a_dry_run_shows_what_a_new_target_would_create_and_all_that_its_plan_says(moon, capsys):
    assert main(["plan", "quick", "--target", "moon", "--repeats", "2"]) == 0
    plan = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert {"the moon has no air", "  2 repeats decide nothing; 5 do"} <= set(plan)
    assert main(["run", "quick", "--target", "moon", "--dry-run", "--repeats", "2"]) == 0
    comments, _, objects = capsys.readouterr().out.partition("---\n")
    assert [line.removeprefix("# ") for line in comments.splitlines()][: len(plan)] == plan
    assert objects.startswith("# holds the crater\nkind: Crater\n")
    assert moon


def test_no_word_of_anybody_breaks_out_of_a_comment(moon, capsys, monkeypatch):
    monkeypatch.setattr(MoonPreview, "notes", ("the moon\nkind: Secret", "has\r\nno\u2028air"))
    assert main(["run", "quick", "--target", "moon", "--dry-run"]) == 0
    comments = capsys.readouterr().out.partition("---\n")[0].splitlines()
    assert "# kind: Secret" in comments
    assert all(line.startswith("#") for line in comments)


def test_a_plan_names_the_trials_that_a_run_would_skip_with_the_reason(moon, capsys, monkeypatch):
    monkeypatch.setattr(MoonPreview, "obstacle", HostError("there is no air for vm", hint="bring some"))
    assert main(["plan", "quick", "--target", "moon", "--repeats", "1"]) == 0
    (said,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped: "))
    assert said.endswith(": there is no air for vm (hint: bring some)")
    assert said.startswith("skipped: 002-warmup-vm, 005-cycle-vm-1: ")


def test_an_option_of_a_new_target_is_refused_with_others(moon, capsys):
    assert main(["plan", "quick", "--crater", "copernicus"]) == 2
    assert "--crater is about the moon, and the target is this host" in capsys.readouterr().err
    assert not moon


@pytest.mark.parametrize("arguments", [(), ("--force",)], ids=["first", "again"])
def test_a_study_runs_on_a_new_target_and_is_reported(moon, tmp_path, capsys, arguments):
    study = tmp_path / "tiny.toml"
    study.write_text(
        'name = "tiny"\ninterval = "100ms"\n[[experiment]]\nkind = "cycle"\nsize = "8MiB"\nslot = "50ms"\n'
        'hold = "50ms"\nidle = "100ms"\niterations = 1\nrepeats = 1\n'
    )
    command = ["run", str(study), "--target", "moon", "--arms", "pod", "--smoke"]
    assert main([*command, "--out", str(tmp_path / "run"), *arguments]) == 0
    assert "report:" in capsys.readouterr().out
    assert len(moon) == 1
