"""A whole run: a planned study at an opened target, to a run folder."""

from __future__ import annotations

import asyncio
import platform
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freepage import __version__
from freepage.errors import FreepageError
from freepage.records import RUN_SCHEMA, Manifest
from freepage.run.trial import run_trial
from freepage.store import prepare_folder, write_json, write_manifest
from freepage.study.plan import plan_as_json
from freepage.study.repeats import ENOUGH_REPEATS
from freepage.targets.base import check_runnable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from freepage.records import TrialRecord
    from freepage.run.progress import Progress
    from freepage.study.plan import Trial
    from freepage.study.request import RunPlan
    from freepage.targets.base import Target, TargetFacts


@dataclass(frozen=True)
class StopRule:
    """The width of an interval at which a run stops early, once it has as many repeats as its shares are decided from.

    half_width: of the interval, as a share of its value. measure: returns that of a run folder so far, None where it has
    none. Significance stops no run: a run that stops once it sees what it looks for sees it too often.
    """

    half_width: float
    measure: Callable[[Path], float | None]


class RunEnded(Exception):  # noqa: N818 - it carries an end, which an interruption is too
    """A run ended before it was through, and its folder holds what it measured until then.

    problem: the error that ended it; None when it was interrupted.
    """

    def __init__(self, problem: FreepageError | None) -> None:
        super().__init__("the run ended early")
        self.problem = problem


async def run_study(
    opening: AbstractAsyncContextManager[tuple[Target, RunPlan]],
    folder: Path,
    progress: Progress,
    *,
    command: tuple[str, ...],
    force: bool = False,
    stop_rule: StopRule | None = None,
) -> list[TrialRecord]:
    """Open a target, run every trial of the plan there, or those until `stop_rule` holds; return their records.

    What ends the run once the folder holds it, be it while the target is closed, raises RunEnded, cancellation too. What
    comes before that is raised as it is; an earlier run in the folder is removed only once the new one is planned.
    """
    manifest: Manifest | None = None
    try:
        async with opening as (target, run_plan):
            check_runnable(run_plan.trials, target)
            planned = _build_manifest(command, run_plan, target.facts, stop_rule)
            _write_plan(folder, planned, run_plan, force=force)
            manifest = planned
            async with _finishing(folder, manifest, progress):
                progress.run_started(run_plan.trials, run_plan.planned_duration_s)
                return await _run_trials(target, run_plan, folder, progress, stop_rule)
    except (FreepageError, asyncio.CancelledError) as error:
        if manifest is None:
            raise
        raise RunEnded(error if isinstance(error, FreepageError) else None) from error


def _write_plan(folder: Path, manifest: Manifest, run_plan: RunPlan, *, force: bool) -> None:
    prepare_folder(folder, force=force)
    write_manifest(folder, manifest)
    (folder / "study.toml").write_text(run_plan.study_text, encoding="utf-8")
    write_json(folder / "plan.json", plan_as_json(run_plan.trials))


@asynccontextmanager
async def _finishing(folder: Path, manifest: Manifest, progress: Progress) -> AsyncIterator[None]:
    """Note in the folder when the run was over, whatever ends it."""
    try:
        yield
    finally:
        progress.run_ended()
        write_manifest(folder, replace(manifest, finished_at=_now()))


async def _run_trials(
    target: Target, run_plan: RunPlan, folder: Path, progress: Progress, stop_rule: StopRule | None
) -> list[TrialRecord]:
    records: list[TrialRecord] = []
    for trial in run_plan.trials:
        if stop_rule is not None and await _is_enough(stop_rule, records, trial, folder):
            break
        progress.trial_started(trial)
        trial_folder = folder / "trials" / trial.id
        interval_s = run_plan.study.interval_s
        record = await run_trial(target, trial, trial_folder, interval_s=interval_s, progress=progress)
        progress.trial_ended(trial, record)
        records.append(record)
    return records


async def _is_enough(
    stop_rule: StopRule, records: Sequence[TrialRecord], following: Trial, folder: Path
) -> bool:
    """Return whether the interval is narrow enough after whole repeats; the next trial begins another one."""
    if following.repeat < ENOUGH_REPEATS or following.repeat == records[-1].repeat:
        return False
    half_width = await asyncio.to_thread(stop_rule.measure, folder)
    return half_width is not None and half_width <= stop_rule.half_width


def _build_manifest(
    command: tuple[str, ...], run_plan: RunPlan, facts: TargetFacts, stop_rule: StopRule | None
) -> Manifest:
    study = run_plan.study
    return Manifest(
        schema=RUN_SCHEMA,
        freepage_version=__version__,
        command=command,
        study=study.name,
        title=study.title,
        seed=study.seed,
        scale=study.scale,
        repeats=max(e.repeats for e in study.experiments),
        arms=study.arms,
        target=facts.name,
        accelerator=facts.accelerator.name,
        accelerator_reason=facts.accelerator.reason,
        interval_s=study.interval_s,
        node=facts.node,
        node_memory_bytes=run_plan.conditions.node_memory_bytes,
        started_at=_now(),
        finished_at=None,
        host=facts.conditions,
        tools=facts.tools | {"python": platform.python_version()},
        verdict_rule=study.verdict_rule,
        smoke=study.smoke,
        budget_bytes=None if run_plan.budget is None else round(run_plan.budget.memory_bytes),
        budget_s=None if run_plan.budget is None else run_plan.budget.duration_s,
        target_noun=facts.noun,
        target_title=facts.title,
        node_is_fixed=facts.node_is_fixed,
        until_half_width=None if stop_rule is None else stop_rule.half_width,
        scales={e.name: e.sizing.factor for e in study.experiments},
        sizes=dict(run_plan.sizes),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
