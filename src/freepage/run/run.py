"""A whole run: from what a person asked for to a run folder."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freepage import __version__
from freepage.errors import CapacityError
from freepage.records import RUN_SCHEMA, Arm, Manifest
from freepage.run.trial import run_trial
from freepage.store import prepare_folder, write_json, write_manifest
from freepage.study.file import name_of
from freepage.study.plan import (
    Trial,
    check_capacity,
    find_budget,
    fit_scale,
    plan_as_json,
    plan_trials,
    planned_duration_s,
)
from freepage.study.scaling import SMOKE_SCALE, scale_study
from freepage.study.study import Conditions, Study, read_study
from freepage.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.run.progress import Progress
    from freepage.study.file import StudyFile
    from freepage.study.plan import Budget
    from freepage.targets.base import Place


@dataclass(frozen=True)
class RunRequest:
    """What a person asked for; None is what the study says."""

    study: str
    arms: tuple[Arm, ...] | None = None
    scale: float | None = None
    repeats: int | None = None
    seed: int | None = None
    node_memory_bytes: int | None = None
    overrides: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunPlan:
    """A request that has been checked against the host: what will run, and what it needs.

    budget: what the scale had to fit into; None where it was given. left_out: names of experiments that a smoke run leaves out.
    """

    study: Study
    study_text: str
    trials: list[Trial]
    conditions: Conditions
    available_bytes: int
    budget: Budget | None = None
    left_out: tuple[str, ...] = ()

    @property
    def planned_duration_s(self) -> float:
        return planned_duration_s(self.trials, self.conditions.accelerator)


def plan_run(
    request: RunRequest, accelerator: str, host: dict[str, object], *, nodes_are_given: bool = False
) -> RunPlan:
    """Read, scale and plan a study for a host, or for nodes that cannot be made smaller.

    Raises StudyError for a wrong study and CapacityError for one that does not fit.
    """
    file, text = _read_file(request)
    total, available_bytes = _find_memory(request, host)
    is_given = nodes_are_given or request.node_memory_bytes is not None
    conditions = Conditions(total, int(str(host["cpus_logical"])), accelerator, is_given)
    budget = None if request.scale else find_budget(file, conditions, available_bytes)
    scale = request.scale or fit_scale(file, conditions, available_bytes)
    left_out: tuple[str, ...] = ()
    if scale < SMOKE_SCALE:
        file, left_out = _first_of_each_kind(file if request.repeats else _repeat(file, 1))
    study = scale_study(file, scale, conditions)
    check_capacity(file, study, conditions, available_bytes)
    return RunPlan(study, text, plan_trials(study), conditions, available_bytes, budget, left_out)


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


def read_request(request: RunRequest) -> StudyFile:
    """Read the study a request is about, with its options applied; StudyError for a wrong one."""
    return _read_file(request)[0]


def _read_file(request: RunRequest) -> tuple[StudyFile, str]:
    file, text = read_study(request.study, request.overrides)
    changes: dict[str, object] = {}
    if request.arms is not None:
        changes["arms"] = request.arms
    if request.seed is not None:
        changes["seed"] = request.seed
    if request.repeats is not None:
        file = _repeat(file, request.repeats)
    return file.model_copy(update=changes), text


def _repeat(file: StudyFile, repeats: int) -> StudyFile:
    experiments = tuple(e.model_copy(update={"repeats": repeats}) for e in file.experiment)
    return file.model_copy(update={"experiment": experiments})


def _first_of_each_kind(file: StudyFile) -> tuple[StudyFile, tuple[str, ...]]:
    """Keep the first experiment of each kind, and name the others."""
    firsts = {e.kind: e for e in reversed(file.experiment)}
    kept = tuple(e for e in file.experiment if firsts[e.kind] is e)
    left_out = tuple(name_of(e) for e in file.experiment if firsts[e.kind] is not e)
    return file.model_copy(update={"experiment": kept}), left_out


def _find_memory(request: RunRequest, host: dict[str, object]) -> tuple[int, int]:
    """Give the node's memory and what of it is available, in bytes."""
    total, available = int(str(host["memory_total_bytes"])), int(str(host["memory_available_bytes"]))
    if request.node_memory_bytes is None:
        return total, available
    if request.node_memory_bytes > available:
        raise CapacityError(
            f"--node-memory {format_bytes(request.node_memory_bytes)} is more than the {format_bytes(available)} available",
            hint="give less, or leave it out to take the host itself as the node",
        )
    return request.node_memory_bytes, request.node_memory_bytes


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
        smoke=study.scale < SMOKE_SCALE,
        budget_bytes=None if run_plan.budget is None else round(run_plan.budget.memory_bytes),
        budget_s=None if run_plan.budget is None else run_plan.budget.duration_s,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
