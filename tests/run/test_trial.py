from __future__ import annotations

import asyncio
import io
import itertools
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from freepage.cli.progress import PlainProgress
from freepage.errors import HostError, InstanceError
from freepage.kinds import KINDS
from freepage.records import NODE, Arm, EventLine, Evidence, SampleLine, TrialStatus
from freepage.run.trial import _find_problem, run_trial
from freepage.store import load_trial
from freepage.study.plan import plan_trials
from freepage.study.read import parse_study
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB
from helpers.fakes import FakeTarget, RecordedProgress

STUDY = """name = "tiny"
interval = "100ms"
[[experiment]]
kind = "cycle"
size = "8MiB"
slot = "50ms"
hold = "50ms"
idle = "100ms"
iterations = 1
instances = 2
"""


def plan_one(arm):
    study = scale_study(parse_study(STUDY, "tiny.toml"), 1.0, Conditions(GIB, 2, "tcg"))
    return next(t for t in plan_trials(study) if t.arm is arm)


async def run(target, folder, arm=Arm.POD, progress=None):
    return await run_trial(
        target, plan_one(arm), folder, interval_s=0.1, progress=progress or RecordedProgress()
    )


async def test_a_trial_runs_in_order_and_stores_everything(tmp_path):
    target, progress = FakeTarget(), RecordedProgress()
    record = await run(target, tmp_path, progress=progress)
    assert record.status is TrialStatus.OK, record.error
    kinds = [entry.split()[0] for entry in target.log]
    replayed = ["ping"] * 2 + ["load"] * 2 + ["start"] * 2 + ["wait"] * 2 + ["ping"] * 2
    assert kinds == ["node", *replayed, "closed", "given"]
    stored = load_trial(tmp_path)
    assert stored.record == record
    assert set(stored.schedules) == {"cycle-0", "cycle-1"}
    assert stored.events["instance"].sort().to_list() == ["cycle-0", "cycle-1"]
    assert stored.samples["t_s"].min() < 0 < stored.samples["t_s"].max()
    before_zero = stored.samples.filter(entity="cycle-0")
    assert before_zero["t_s"].max() <= record.planned_duration_s + 1
    assert progress.samples


async def test_what_a_block_shares_and_how_memory_settled_is_recorded(tmp_path):
    record = await run(FakeTarget(), tmp_path, Arm.VM)
    trial = plan_one(Arm.VM)
    assert record.repeat == 0
    assert (record.position, record.schedule_seed) == (trial.position, 1)
    assert record.phase_s == trial.phase_s
    assert record.warmup is False
    assert record.settled is True
    assert 0.2 <= record.settle_s < 5
    assert load_trial(tmp_path).record == record


async def test_samples_fall_at_the_phase_of_their_block_after_the_zero(tmp_path):
    for phase_s in (0.013, 0.077):
        planned = replace(plan_one(Arm.POD), phase_s=phase_s)
        folder = tmp_path / f"{phase_s}"
        await run_trial(FakeTarget(), planned, folder, interval_s=0.1, progress=RecordedProgress())
        samples = load_trial(folder).samples
        late_s = samples.filter(metric="late_s").sort("t_s")
        due_s = late_s["t_s"] - late_s["value"]
        off_s = [(t - phase_s + 0.05) % 0.1 - 0.05 for t in due_s]
        assert max(map(abs, off_s)) < 1e-6


async def test_a_node_that_never_settles_is_recorded_and_the_trial_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("freepage.run.trial.NODE_DEADLINE_S", 0.5)
    target, free = FakeTarget(), itertools.cycle((50.0, 50.0 + GIB))
    steady = target.read_node

    def read_restless():
        values = steady()
        values[NODE]["mem_free_bytes"] = next(free)
        return values

    target.read_node = read_restless
    record = await run(target, tmp_path)
    assert record.status is TrialStatus.OK
    assert record.settled is False
    assert record.settle_s >= 0.5


async def test_a_trial_of_a_smoke_run_waits_for_nothing_but_the_node(tmp_path):
    planned = replace(plan_one(Arm.POD), settles=False)
    record = await run_trial(FakeTarget(), planned, tmp_path, interval_s=0.1, progress=RecordedProgress())
    assert record.settled is True
    assert record.settle_s < 1


async def test_an_instance_that_dies_fails_the_trial_with_its_error_and_closes_the_rest(tmp_path):
    target = FakeTarget(failures={"cycle-1": InstanceError("cycle-1 was killed", hint="OOM")})
    record = await run(target, tmp_path)
    assert (record.status, record.error, record.hint) == (TrialStatus.FAILED, "cycle-1 was killed", "OOM")
    assert target.log[-2:] == ["closed", "given back"]
    assert load_trial(tmp_path).record.status is TrialStatus.FAILED


async def test_an_instance_that_never_starts_fails_the_trial_and_keeps_the_baseline(tmp_path):
    record = await run(FakeTarget(refusal=InstanceError("no boot", hint="panic")), tmp_path)
    assert (record.status, record.error) == (TrialStatus.FAILED, "no boot")
    assert load_trial(tmp_path).samples["t_s"].max() == 0


async def test_an_error_that_ends_the_run_is_that_of_its_trial_too(tmp_path):
    error = HostError("the login is not accepted any more", hint="log in anew")
    with pytest.raises(HostError):
        await run(FakeTarget(refusal=error), tmp_path)
    stored = load_trial(tmp_path).record
    assert (stored.status, stored.error, stored.hint) == (TrialStatus.FAILED, error.message, error.hint)


async def test_evidence_that_contradicts_the_arm_fails_the_trial_before_it_starts(tmp_path):
    on, off = (Evidence(f"cycle-{n}", configured=True, negotiated=n == 0) for n in range(2))
    target = FakeTarget(evidence={"cycle-0": on, "cycle-1": off})
    record = await run(target, tmp_path, Arm.VM_FPR)
    assert record.status is TrialStatus.FAILED
    assert "cycle-1" in record.error
    assert not any(entry.startswith("start") for entry in target.log)
    assert record.evidence[1].negotiated is False


async def test_a_trial_that_cannot_run_here_is_skipped_with_its_reason(tmp_path):
    target = FakeTarget(obstacle=HostError("the guest has no xfs", hint="another kernel"))
    record = await run(target, tmp_path)
    assert (record.status, record.error, record.hint) == (
        TrialStatus.SKIPPED,
        "the guest has no xfs",
        "another kernel",
    )
    assert target.log == []
    assert load_trial(tmp_path).record.status is TrialStatus.SKIPPED


async def test_cancellation_stores_what_there_is_and_goes_on(tmp_path):
    target, begun = FakeTarget(), asyncio.Event()

    async def waits_until_cancelled(on_event, deadline_s):
        begun.set()
        await asyncio.Event().wait()

    opened = target.open_instances

    @asynccontextmanager
    async def opens_stuck(trial, folder):
        async with opened(trial, folder) as instances:
            for instance in instances:
                instance.worker.wait_done = waits_until_cancelled
            yield instances

    target.open_instances = opens_stuck
    task = asyncio.create_task(run(target, tmp_path))
    await asyncio.wait_for(begun.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert load_trial(tmp_path).record.status is TrialStatus.INTERRUPTED
    assert target.log[-2:] == ["closed", "given back"]


def test_an_instance_that_misses_a_synchronised_start_marks_its_trial():
    event = EventLine(0.0, 2.0, "burst-0", 0, 0, 0, "allocate", 1, 0.0, 0.0, 2.0, 0.0, 2.0, 1, 0, ok=True)
    late = replace(event, late_s=1.2, t_s=1.2)
    cycle = plan_one(Arm.VM)
    burst = replace(cycle, experiment=replace(cycle.experiment, kind=KINDS["burst"]))
    problem = _find_problem(late, burst)
    assert isinstance(problem, InstanceError)
    assert "burst-0 missed the synchronised start at 0.0 s by 1.20 s" in problem.message
    assert _find_problem(late, cycle) is None
    assert _find_problem(late, replace(burst, warmup=True)) is None
    assert _find_problem(event, burst) is None
    assert "could not allocate" in _find_problem(replace(event, ok=False, error="no memory"), cycle).message


def test_what_was_sampled_before_the_schedules_started_is_no_progress():
    stream = io.StringIO()
    for t_s in (-17.0, 3.0):
        PlainProgress(stream).sampled(plan_one(Arm.POD), SampleLine(t_s, 0.0, {NODE: {}}))
    assert "-17" not in stream.getvalue()
    assert "3 s of" in stream.getvalue()
