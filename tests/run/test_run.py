"""How a run ends: through, early with what it measured, or before it measured anything."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from freepage.analysis.results import build_results
from freepage.cli.show import show_run
from freepage.errors import HostError, RunFolderError
from freepage.records import Arm, TrialStatus
from freepage.report.page import render_report
from freepage.run.run import RunEnded, StopRule, run_study
from freepage.store import load_run
from freepage.study.request import RunRequest, plan_run
from helpers.fakes import CONDITIONS, FACTS, FakeTarget, RecordedProgress
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

TINY = """name = "tiny"
interval = "100ms"
[[experiment]]
kind = "cycle"
size = "8MiB"
slot = "50ms"
hold = "50ms"
idle = "100ms"
iterations = 1
"""
COMMAND = ("freepage", "run", "tiny.toml")


@pytest.fixture
def plan(tmp_path):
    study = tmp_path / "tiny.toml"
    study.write_text(TINY)
    return plan_run(RunRequest(str(study), arms=(Arm.POD,), scale=1.0, repeats=2), "tcg", CONDITIONS)


@asynccontextmanager
async def opening(plan, target=None, before=None, after=None):
    """Open a fake target; `before` and `after` are raised where a real one would fail to open and to close."""
    if before is not None:
        raise before
    yield target or FakeTarget(), plan
    if after is not None:
        raise after


async def run(opened, folder, progress=None, **options):
    return await run_study(opened, folder, progress or RecordedProgress(), command=COMMAND, **options)


async def test_a_run_returns_its_trials_records_and_keeps_what_it_was_asked(plan, tmp_path):
    progress = RecordedProgress()
    records = await run(opening(plan), tmp_path / "run", progress)
    stored = load_run(tmp_path / "run")
    kept = [t.record.id for t in (*stored.warmups, *stored.trials)]
    assert [r.id for r in records] == kept == [t.id for t in plan.trials]
    assert (len(stored.warmups), len(stored.trials)) == (1, 2)
    assert stored.manifest.command == COMMAND
    assert stored.manifest.finished_at is not None
    assert (stored.manifest.target, stored.manifest.accelerator) == (FACTS.name, "tcg")
    assert (progress.calls[0], progress.calls[-1]) == ("run started", "run ended")


@pytest.mark.parametrize(("widths", "repeats"), [((0.2, 0.04), 6), ((None, 0.2, 0.2), 8), ((0.05,), 5)])
async def test_a_run_stops_by_whole_repeats_once_the_interval_is_narrow_and_never_before_five(
    tmp_path, widths, repeats
):
    """After three it once stopped runs whose shares are decided from five: "seen, not decided" was all they ended with."""
    study = tmp_path / "tiny.toml"
    study.write_text(TINY)
    plan = plan_run(RunRequest(str(study), arms=(Arm.POD,), smoke=True, repeats=8), "tcg", CONDITIONS)
    asked = []

    def measure(folder):
        asked.append(len(load_run(folder).trials))
        return widths[len(asked) - 1]

    records = await run(opening(plan), tmp_path / "run", stop_rule=StopRule(0.05, measure))
    assert len(records) == repeats
    assert asked == list(range(5, 5 + len(widths)))
    manifest = load_run(tmp_path / "run").manifest
    assert manifest.until_half_width == 0.05
    assert (manifest.smoke, manifest.scales) == (True, {"cycle": 0.01})
    assert " instead of 1 VM of " in manifest.sizes["cycle"]


async def test_a_target_that_cannot_be_opened_leaves_the_folder_as_it_was(plan, tmp_path):
    with pytest.raises(HostError, match="no runtime"):
        await run(opening(plan, before=HostError("no runtime")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


async def test_an_interruption_before_anything_was_measured_is_no_run(plan, tmp_path):
    with pytest.raises(asyncio.CancelledError):
        await run(opening(plan, before=asyncio.CancelledError()), tmp_path / "run")
    assert not (tmp_path / "run").exists()


async def test_a_run_none_of_whose_trials_can_run_is_refused_with_the_reason(plan, tmp_path):
    target = FakeTarget(obstacle=HostError("fio is not installed"))
    with pytest.raises(HostError, match="fio is not installed"):
        await run(opening(plan, target), tmp_path / "run")
    assert not (tmp_path / "run").exists()


async def test_a_folder_that_cannot_be_taken_is_no_run_that_ended(plan, tmp_path):
    with pytest.raises(RunFolderError):
        await run(opening(plan), tmp_path)


async def test_a_target_that_cannot_be_closed_ends_a_run_that_is_stored_whole(plan, tmp_path):
    with pytest.raises(RunEnded) as ended:
        await run(opening(plan, after=HostError("it could not be removed")), tmp_path / "run")
    assert ended.value.problem.message == "it could not be removed"
    stored = load_run(tmp_path / "run")
    assert {t.record.status for t in stored.trials} == {TrialStatus.OK}
    assert stored.manifest.finished_at is not None


async def test_a_problem_between_trials_ends_the_run_with_those_before_it(plan, tmp_path):
    class FailsLater(FakeTarget):
        @asynccontextmanager
        async def open_instances(self, trial, folder):
            if trial.order == 1:
                raise HostError("the cluster is gone")
            async with super().open_instances(trial, folder) as instances:
                yield instances

    with pytest.raises(RunEnded) as ended:
        await run(opening(plan, FailsLater()), tmp_path / "run")
    assert ended.value.problem.message == "the cluster is gone"
    assert load_run(tmp_path / "run").warmups[0].record.status is TrialStatus.OK


async def test_an_interruption_in_a_trial_ends_the_run_without_a_problem(plan, tmp_path):
    begun = asyncio.Event()

    class Stuck(FakeTarget):
        @asynccontextmanager
        async def open_instances(self, trial, folder):
            begun.set()
            await asyncio.Event().wait()
            yield ()

    task = asyncio.create_task(run(opening(plan, Stuck()), tmp_path / "run"))
    await asyncio.wait_for(begun.wait(), 30)
    task.cancel()
    with pytest.raises(RunEnded) as ended:
        await task
    assert ended.value.problem is None
    stored = load_run(tmp_path / "run")
    (trial,) = stored.warmups
    assert trial.record.status is TrialStatus.INTERRUPTED
    assert stored.trials == []


def test_a_run_that_ended_in_its_warm_up_has_a_report_that_decides_nothing(tmp_path, capsys):
    write_run(tmp_path / "run", Truth(repeats=1), study=CYCLE_ONLY, arms=(Arm.VM,))
    (path,) = (tmp_path / "run").glob("trials/*/trial.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warmup": True, "status": "interrupted"}))
    results = build_results(load_run(tmp_path / "run"))
    assert results.verdict.decision == "inconclusive"
    assert results.experiments == {}
    assert "warm-up, not counted" in render_report(tmp_path / "run").read_text()
    show_run(tmp_path / "run")
    assert "interrupted" in capsys.readouterr().out
