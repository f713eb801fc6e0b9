"""One trial from start to end: baseline, instances, schedules, samples, evidence, and what went wrong."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from freepage.aio import run_together
from freepage.errors import EvidenceError, FreepageError, InstanceError, TrialError
from freepage.fpr.evidence import count_from_zero, find_contradiction
from freepage.fpr.mechanics import stretch_of
from freepage.records import Action, SampleLine, TrialRecord, TrialStatus
from freepage.run.barrier import Barrier
from freepage.run.sampler import SamplerCost, find_zero, sample_until_cancelled
from freepage.run.settling import (
    BRIEF_DEADLINE_S,
    NODE_DEADLINE_S,
    NODE_SPAN_S,
    QUIET_DEADLINE_S,
    QUIET_SPAN_S,
    SteadyWaiter,
    are_instances_steady,
    are_reports_over,
    is_node_steady,
)
from freepage.store import TrialWriter
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from freepage.metrics import MetricValues
    from freepage.records import ClockOffset, EventLine
    from freepage.run.progress import Progress
    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.base import Instance, Target

# Samples wait for their zero, and one task watches each VM: docs/decisions/004-one-client-task.md.

# Between memory being steady and the trial's zero: every process is forked and waits.
LEAD_S = 1.5
# An instance that starts later than this did not start together with the others.
MISSED_START_S = 1.0
# What a worker may still need after its schedule's last planned time before it counts as stuck.
STUCK_S = 120.0
GUEST_INTERVAL_S = 2.0


async def run_trial(
    target: Target, trial: Trial, folder: Path, *, interval_s: float, progress: Progress
) -> TrialRecord:
    """Run one trial and store all of it below `folder`.

    A TrialError ends in a record with status "failed"; an error that ends the run does so as well and goes on, as a
    cancellation does, which stores what there is as "interrupted".
    """
    runner = _TrialRunner(target, trial, folder, interval_s, progress)
    try:
        await runner.run()
    except TrialError as error:
        runner.fail(error)
    except FreepageError as error:
        runner.fail(error)
        raise
    except asyncio.CancelledError:
        runner.interrupt()
        raise
    finally:
        runner.store()
    return runner.record


class _TrialRunner:
    def __init__(
        self, target: Target, trial: Trial, folder: Path, interval_s: float, progress: Progress
    ) -> None:
        self._target = target
        self._trial = trial
        self._interval_s = interval_s
        self._progress = progress
        self._writer = TrialWriter(folder)
        self._instances: Sequence[Instance] = ()
        self._before = SteadyWaiter()
        self._cost = SamplerCost()
        self._problem: InstanceError | None = None
        self._zero_s: float | None = None
        self._reports_at_zero: dict[str, int | None] = {}
        self.record = _planned_record(trial)

    async def run(self) -> None:
        self._writer.write_schedules({i.name: i.schedules for i in self._trial.instances})
        obstacle = self._target.find_obstacle(self._trial)
        if obstacle is not None:
            self._note(status=TrialStatus.SKIPPED, error=obstacle.message, hint=obstacle.hint)
            return
        with self._target.open_node(self._trial) as read_node:
            await self._measure(read_node)

    async def _measure(self, read_node: Callable[[], dict[str, MetricValues]]) -> None:
        async with self._sampling(read_node):
            await self._settle_node()
            started_s = time.monotonic()
            async with self._target.open_instances(self._trial, self._writer.folder) as instances:
                self._instances = instances
                self._note(ready_s=time.monotonic() - started_s)
                await self._check_evidence()
                await self._settle_instances()
                await self._replay()
                await self._check_evidence()
                self._note(clock_end=await self._ping(), status=TrialStatus.OK)
                self._instances = ()

    def fail(self, error: FreepageError) -> None:
        self._note(status=TrialStatus.FAILED, error=error.message, hint=error.hint)

    def interrupt(self) -> None:
        self._note(status=TrialStatus.INTERRUPTED, error="interrupted before its end")

    def store(self) -> None:
        """Write the record and seal the trial's folder; samples without a zero count from the trial's last one."""
        if self._zero_s is None and self._before.lines:
            self._set_zero(self._before.lines[-1].t_s)
        self._writer.write_record(self.record)
        self._writer.seal()

    async def _settle_node(self) -> None:
        """Wait until the node's memory in use is steady, so that one trial does not leak into the next."""
        if self._trial.settles:
            await self._settle(partial(is_node_steady, span_s=NODE_SPAN_S), NODE_DEADLINE_S)
        else:
            await self._settle(partial(is_node_steady, span_s=0.0), BRIEF_DEADLINE_S)

    async def _settle_instances(self) -> None:
        """Wait, on every arm alike, until memory is steady and guests have reported what their boot left free.

        A node that was not steady before the instances started is not waited for again.
        """
        if not self._trial.settles:
            return
        names = [i.name for i in self._trial.instances]
        counting = [e.instance for e in self.record.evidence if e.report_count is not None]
        with_node, stretch = bool(self.record.settled), stretch_of(self.record.evidence)
        span_s = QUIET_SPAN_S * stretch

        def are_quiet(lines: Sequence[SampleLine]) -> bool:
            return (
                are_instances_steady(lines, names, span_s)
                and are_reports_over(lines, counting, span_s)
                and (not with_node or is_node_steady(lines, span_s))
            )

        await self._settle(are_quiet, QUIET_DEADLINE_S * stretch)

    async def _settle(self, is_steady: Callable[[Sequence[SampleLine]], bool], deadline_s: float) -> None:
        """Wait for steady samples, and add what came of it to the record."""
        started_s = time.monotonic()
        steady = await self._before.wait(is_steady, deadline_s)
        waited_s = (self.record.settle_s or 0.0) + time.monotonic() - started_s
        self._note(settled=steady and self.record.settled is not False, settle_s=waited_s)

    async def _check_evidence(self) -> None:
        seen = await run_together(*(i.read_evidence() for i in self._instances))
        counted = [count_from_zero(e, self._reports_at_zero.get(e.instance)) for e in seen]
        self._note(evidence=tuple(counted))
        for plan, evidence in zip(self._trial.instances, counted, strict=True):
            contradiction = find_contradiction(plan.carrier, evidence)
            if contradiction:
                raise EvidenceError(contradiction)

    async def _replay(self) -> None:
        """Load all schedules, start them at one common instant, and wait for the trial's whole duration."""
        pairs = list(zip(self._instances, self._trial.instances, strict=True))
        self._note(clock_start=await self._ping())
        await run_together(*(i.worker.load(plan.schedules) for i, plan in pairs))
        zero_s = self._find_zero()
        barrier = Barrier(self._trial.instances, {i.name: i.worker for i in self._instances})
        for instance in self._instances:
            instance.worker.on_waiting = partial(barrier.arrive, instance.name)
        await run_together(*(i.worker.start(zero_s) for i in self._instances))
        self._set_zero(zero_s)
        end_s = zero_s + self._trial.duration_s
        left_s = end_s - time.monotonic()
        waits = [i.worker.wait_done(self._take_event, left_s + STUCK_S) for i in self._instances]
        await run_together(*waits, asyncio.sleep(left_s), self._count_reports())
        await run_together(*(self._keep_output(i, plan) for i, plan in pairs))
        if self._problem is not None:
            raise self._problem

    async def _count_reports(self) -> None:
        """Note how many reports came before the schedules start: those of the guest's boot."""
        evidence = await run_together(*(i.read_evidence() for i in self._instances))
        self._reports_at_zero = {e.instance: e.report_count for e in evidence}

    def _find_zero(self) -> float:
        """Return the next time at which the schedules may start so that samples fall at the block's phase."""
        earliest_s = time.monotonic() + LEAD_S
        return find_zero(earliest_s, self._cost.started_s, self._interval_s, self._trial.phase_s)

    async def _keep_output(self, instance: Instance, plan: InstancePlan) -> None:
        """Copy what the instance's programs wrote; what cannot be read was never written."""
        for process in plan.schedules:
            runs = (n for n, step in enumerate(process.steps) if step.action is Action.RUN)
            for index in runs:
                for ending in ("out", "err"):
                    path = f"/tmp/run-{process.process}-{index}.{ending}"  # noqa: S108 - the instance's own
                    text = await instance.worker.read_whole(path)
                    if text:
                        self._writer.write_output(plan.name, process.process, index, ending, text)

    async def _ping(self) -> dict[str, ClockOffset]:
        offsets = await run_together(*(i.worker.ping() for i in self._instances))
        return {i.name: offset for i, offset in zip(self._instances, offsets, strict=True)}

    @asynccontextmanager
    async def _sampling(self, read_node: Callable[[], dict[str, MetricValues]]) -> AsyncIterator[None]:
        cost = self._cost
        task = asyncio.create_task(
            sample_until_cancelled(
                read_node,
                lambda: self._instances,
                interval_s=self._interval_s,
                guest_interval_s=max(self._interval_s, GUEST_INTERVAL_S),
                write=self._take_sample,
                cost=cost,
            )
        )
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._note(sampler_cpu_s=cost.cpu_s, sampler_wall_s=cost.ended_s - cost.started_s)

    def _take_event(self, event: EventLine) -> None:
        self._writer.write_event(event)
        if self._problem is None:
            self._problem = _find_problem(event, self._trial)

    def _take_sample(self, line: SampleLine) -> None:
        """Keep samples until the zero is known, then write them with times since it."""
        if self._zero_s is None:
            self._before.take(line)
            return
        shifted = replace(line, t_s=line.t_s - self._zero_s)
        self._writer.write_sample(shifted)
        if self.record.status is TrialStatus.PLANNED:
            self._progress.sampled(self._trial, shifted)

    def _set_zero(self, zero_s: float) -> None:
        waiting = self._before.lines
        self._zero_s = zero_s
        wall = datetime.now(UTC).timestamp() + zero_s - time.monotonic()
        self._note(wall_zero=datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds"))
        for line in waiting:
            self._take_sample(line)

    def _note(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)


def _find_problem(event: EventLine, trial: Trial) -> InstanceError | None:
    """Return why a trial with this step cannot be compared with others: it failed, or missed a synchronised start.

    A warm-up is compared with nothing: it may be late.
    """
    synchronised = trial.experiment.kind.synchronised and not trial.warmup
    if not event.ok and event.action != Action.RUN:
        return InstanceError(
            f"{event.instance} could not {event.action} {format_bytes(event.bytes)} at {event.t_s:.1f} s: {event.error}",
            hint="give it more memory (vm_memory), or use a smaller --scale",
        )
    if synchronised and event.action == Action.ALLOCATE and event.late_s > MISSED_START_S:
        return InstanceError(
            f"{event.instance} missed the synchronised start at {event.planned_s:.1f} s by {event.late_s:.2f} s",
            hint="use fewer instances or a smaller --scale, or stop other work on the host",
        )
    return None


def _planned_record(trial: Trial) -> TrialRecord:
    return TrialRecord(
        id=trial.id,
        experiment=trial.experiment.name,
        arm=trial.arm,
        repeat=trial.repeat,
        order=trial.order,
        status=TrialStatus.PLANNED,
        planned_duration_s=trial.duration_s,
        kind=trial.experiment.kind.name,
        warmup=trial.warmup,
        position=trial.position,
        schedule_seed=trial.schedule_seed,
        phase_s=trial.phase_s,
    )
