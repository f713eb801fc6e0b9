from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager

import pytest

from freepage.cli.progress import PlainProgress
from freepage.errors import HostError, InstanceError
from freepage.records import NODE, Arm, ClockOffset, EventLine, Evidence, SampleLine, TrialStatus
from freepage.run.trial import run_trial
from freepage.store import load_trial
from freepage.study.plan import plan_trials
from freepage.study.read import parse_study
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB

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


class Silence:
    """A progress that remembers what it was told."""

    def __init__(self):
        self.samples = []

    def sampled(self, trial, line):
        self.samples.append(line)


class FakeWorker:
    def __init__(self, name, log, failure=None):
        self.name, self.log, self.failure = name, log, failure

    async def ping(self, count=8):
        self.log.append(f"ping {self.name}")
        return ClockOffset(1.0, 0.001)

    async def load(self, schedules):
        self.log.append(f"load {self.name}")

    async def start(self, zero_s):
        self.log.append(f"start {self.name}")

    async def wait_done(self, on_event, deadline_s):
        self.log.append(f"wait {self.name}")
        on_event(
            EventLine(0.0, 0.01, self.name, 0, 0, 0, "allocate", 1, 0.0, 0.0, 0.01, 0.0, 0.01, 1, 0, ok=True)
        )
        if self.failure is not None:
            raise self.failure


class FakeInstance:
    def __init__(self, name, log, evidence, failure=None):
        self.name = name
        self.worker = FakeWorker(name, log, failure)
        self._evidence = evidence

    def read_usage(self):
        return {"rss_bytes": 5.0}

    async def read_guest(self):
        return {}

    async def read_evidence(self):
        return self._evidence


class FakeTarget:
    """Instances that do nothing; `failures` by instance name are raised where the real ones would be."""

    def __init__(self, evidence=None, failures=None, refusal=None, obstacle=None):
        self.obstacle = obstacle
        self.log = []
        self.evidence = evidence or {}
        self.failures = failures or {}
        self.refusal = refusal

    def find_obstacle(self, trial):
        return self.obstacle

    def set_node(self, memory_bytes):
        self.log.append(f"node {memory_bytes}")

    @asynccontextmanager
    async def open_instances(self, trial, folder):
        if self.refusal:
            raise self.refusal
        names = [i.name for i in trial.instances]
        try:
            yield [
                FakeInstance(n, self.log, self.evidence.get(n, Evidence(n)), self.failures.get(n))
                for n in names
            ]
        finally:
            self.log.append("closed")

    def read_node(self):
        parts = ("cached", "buffers", "sreclaimable")
        values = {"mem_total_bytes": 100.0, "mem_free_bytes": 50.0}
        return {NODE: values | {f"mem_{part}_bytes": 0.0 for part in parts}}


def plan_one(arm):
    study = scale_study(parse_study(STUDY, "tiny.toml"), 1.0, Conditions(GIB, 2, "tcg"))
    return next(t for t in plan_trials(study) if t.arm is arm)


async def run(target, folder, arm=Arm.POD, progress=None):
    return await run_trial(target, plan_one(arm), folder, interval_s=0.1, progress=progress or Silence())


async def test_a_trial_runs_in_order_and_stores_everything(tmp_path):
    target, progress = FakeTarget(), Silence()
    record = await run(target, tmp_path, progress=progress)
    assert record.status is TrialStatus.OK, record.error
    kinds = [entry.split()[0] for entry in target.log]
    assert kinds == ["node"] + ["ping"] * 2 + ["load"] * 2 + ["start"] * 2 + ["wait"] * 2 + ["ping"] * 2 + [
        "closed"
    ]
    stored = load_trial(tmp_path)
    assert stored.record == record
    assert set(stored.schedules) == {"cycle-0", "cycle-1"}
    assert stored.events["instance"].sort().to_list() == ["cycle-0", "cycle-1"]
    assert stored.samples["t_s"].min() < 0 < stored.samples["t_s"].max()
    before_zero = stored.samples.filter(entity="cycle-0")
    assert before_zero["t_s"].max() <= record.planned_duration_s + 1
    assert progress.samples


async def test_an_instance_that_dies_fails_the_trial_with_its_error_and_closes_the_rest(tmp_path):
    target = FakeTarget(failures={"cycle-1": InstanceError("cycle-1 was killed", hint="OOM")})
    record = await run(target, tmp_path)
    assert (record.status, record.error, record.hint) == (TrialStatus.FAILED, "cycle-1 was killed", "OOM")
    assert target.log[-1] == "closed"
    assert load_trial(tmp_path).record.status is TrialStatus.FAILED


async def test_an_instance_that_never_starts_fails_the_trial_and_keeps_the_baseline(tmp_path):
    record = await run(FakeTarget(refusal=InstanceError("no boot", hint="panic")), tmp_path)
    assert (record.status, record.error) == (TrialStatus.FAILED, "no boot")
    assert load_trial(tmp_path).samples["t_s"].max() == 0


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

    async def waits_for_ever(on_event, deadline_s):
        begun.set()
        await asyncio.Event().wait()

    opened = target.open_instances

    @asynccontextmanager
    async def opens_stuck(trial, folder):
        async with opened(trial, folder) as instances:
            for instance in instances:
                instance.worker.wait_done = waits_for_ever
            yield instances

    target.open_instances = opens_stuck
    task = asyncio.create_task(run(target, tmp_path))
    await asyncio.wait_for(begun.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert load_trial(tmp_path).record.status is TrialStatus.INTERRUPTED
    assert target.log[-1] == "closed"


def test_what_was_sampled_before_the_schedules_started_is_no_progress():
    stream = io.StringIO()
    for t_s in (-17.0, 3.0):
        PlainProgress(stream).sampled(plan_one(Arm.POD), SampleLine(t_s, 0.0, {NODE: {}}))
    assert "-17" not in stream.getvalue()
    assert "3 s of" in stream.getvalue()
