"""A whole run: from what a person asked for to a run folder."""

from __future__ import annotations

import platform
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freepage import __version__
from freepage.records import RUN_SCHEMA, Manifest
from freepage.run.trial import run_trial
from freepage.store import prepare_folder, write_json, write_manifest
from freepage.study.plan import plan_as_json
from freepage.study.request import RunPlan, RunRequest, plan_run

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.run.progress import Progress
    from freepage.targets.base import Place


async def run_study(
    request: RunRequest, place: Place, folder: Path, progress: Progress, *, force: bool = False
) -> Manifest:
    """Run every trial of a study at `place` and store it in `folder`.

    The folder is complete and can be reported on whatever ends the run; cancellation is raised again at the end.
    """
    host = place.read_facts()
    run_plan = plan_run(request, place.accelerator, host, nodes_are_given=place.nodes_are_given)
    place.check_disk(run_plan.trials, folder)
    check_runnable(run_plan, place)
    prepare_folder(folder, force=force)
    manifest = _build_manifest(request, run_plan, place, host)
    write_manifest(folder, manifest)
    (folder / "study.toml").write_text(run_plan.study_text, encoding="utf-8")
    write_json(folder / "plan.json", plan_as_json(run_plan.trials))
    await place.warm_up(max(t.demand_bytes for t in run_plan.trials))
    progress.run_started(run_plan.trials, run_plan.planned_duration_s)
    try:
        await _run_trials(place, run_plan, folder, progress)
    finally:
        progress.run_ended()
        manifest = replace(manifest, finished_at=_now())
        write_manifest(folder, manifest)
    return manifest


def check_runnable(run_plan: RunPlan, place: Place) -> None:
    """Raise what stands in the way of the first trial when something stands in the way of every one."""
    obstacles = [place.find_obstacle(t) for t in run_plan.trials]
    if all(obstacles) and obstacles[0] is not None:
        raise obstacles[0]


async def _run_trials(place: Place, run_plan: RunPlan, folder: Path, progress: Progress) -> None:
    for trial in run_plan.trials:
        progress.trial_started(trial)
        record = await run_trial(
            place,
            trial,
            folder / "trials" / trial.id,
            interval_s=run_plan.study.interval_s,
            progress=progress,
        )
        progress.trial_ended(trial, record)


def _build_manifest(
    request: RunRequest, run_plan: RunPlan, place: Place, host: dict[str, object]
) -> Manifest:
    study = run_plan.study
    return Manifest(
        schema=RUN_SCHEMA,
        freepage_version=__version__,
        command=request.command,
        study=study.name,
        title=study.title,
        seed=study.seed,
        scale=study.scale,
        repeats=max(e.repeats for e in study.experiments),
        arms=study.arms,
        target=place.name,
        accelerator=place.accelerator,
        accelerator_reason=place.accelerator_reason,
        interval_s=study.interval_s,
        node=place.node,
        node_memory_bytes=run_plan.conditions.node_memory_bytes,
        started_at=_now(),
        finished_at=None,
        host=host,
        tools=place.tools | {"python": platform.python_version()},
        verdict_rule=study.verdict_rule,
        smoke=study.smoke,
        budget_bytes=None if run_plan.budget is None else round(run_plan.budget.memory_bytes),
        budget_s=None if run_plan.budget is None else run_plan.budget.duration_s,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
