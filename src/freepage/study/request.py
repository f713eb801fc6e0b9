"""A request to run a study: read, scaled, checked against a host and planned for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.errors import CapacityError, StudyError
from freepage.fpr.mechanics import expect_block_bytes
from freepage.study.capacity import check_capacity, find_budget
from freepage.study.choosing import Choice, choose_points
from freepage.study.fitting import find_way, find_way_at, fit_study
from freepage.study.plan import planned_duration_s
from freepage.study.read import read_study
from freepage.study.scaling.scale import SMOKE_FACTOR
from freepage.study.scaling.study import scale_study
from freepage.study.sizes import describe_sizes
from freepage.study.study import Conditions
from freepage.study.warmup import plan_run_trials
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.records import Arm
    from freepage.study.file import StudyFile
    from freepage.study.fitting import Budget, Way
    from freepage.study.plan import Trial
    from freepage.study.study import Sizing, Study


@dataclass(frozen=True)
class RunRequest:
    """The options of a run; None leaves it to the study.

    scale: the factor of all sizes and times. time_s, memory_bytes: what the run may take instead. smoke: only try it.
    """

    study: str
    arms: tuple[Arm, ...] | None = None
    scale: float | None = None
    repeats: int | None = None
    seed: int | None = None
    node_memory_bytes: int | None = None
    overrides: tuple[str, ...] = ()
    time_s: float | None = None
    memory_bytes: int | None = None
    smoke: bool = False


@dataclass(frozen=True)
class RunPlan:
    """A request that has been checked against the host, with the trials that will run.

    budget: what the run was fitted into; None where its scale is given, and no time beside it. way: to what more time would add, with it.
    left_out: names of experiments that a smoke run leaves out, else of points of a map for which memory or time are missing;
    whole_s: the seconds that the run would take with all points that fit the memory, None where its study has no map. sizes: by
    experiment what it runs instead of what.
    """

    study: Study
    study_text: str
    trials: list[Trial]
    conditions: Conditions
    available_bytes: int
    budget: Budget | None = None
    way: Way | None = None
    left_out: tuple[str, ...] = ()
    whole_s: float | None = None
    sizes: Mapping[str, str] = field(default_factory=dict)

    @property
    def planned_duration_s(self) -> float:
        return planned_duration_s(self.trials, self.conditions.accelerator)


def plan_run(
    request: RunRequest, accelerator: str, host: dict[str, object], *, nodes_are_given: bool = False
) -> RunPlan:
    """Return the plan of a study for a host, or for nodes that cannot be made smaller.

    Raises StudyError for a wrong study and CapacityError for one that does not fit.
    """
    _check_options(request)
    file, text = _read_file(request)
    total, available_bytes = _find_memory(request, host)
    is_given = nodes_are_given or request.node_memory_bytes is not None
    cores = int(str(host["cpus_logical"]))
    block_bytes = expect_block_bytes(str(host.get("architecture")))
    conditions = Conditions(total, cores, accelerator, is_given, available_bytes, block_bytes)
    budget = _find_budget(request, file, conditions, available_bytes)
    choice = _choose(request, file, conditions, budget)
    file, fitted = choice.file, _fit(request, choice.file, conditions, budget)
    study = scale_study(file, fitted.sizing, conditions, smoke=request.smoke)
    check_capacity(file, study, conditions, available_bytes)
    return RunPlan(
        study,
        text,
        plan_run_trials(study),
        conditions,
        available_bytes,
        budget,
        fitted.way,
        choice.left_out,
        choice.whole_s,
        describe_sizes(file, study, conditions),
    )


@dataclass(frozen=True)
class _Fitted:
    """The sizing of a study, and the way it was found on; None where it is given."""

    sizing: float | Mapping[str, Sizing]
    way: Way | None = None


def _find_budget(
    request: RunRequest, file: StudyFile, conditions: Conditions, available_bytes: int
) -> Budget | None:
    """Return what a run is fitted into; None where its scale is given, and of a smoke run."""
    scale = _find_scale(request, file)
    time_s = request.time_s if scale is None else _find_time_at_scale(request, file)
    if request.smoke or (scale is not None and time_s is None):
        return None
    return find_budget(
        file,
        conditions.accelerator,
        available_bytes,
        memory_bytes=request.memory_bytes,
        duration_s=time_s,
    )


def _find_scale(request: RunRequest, file: StudyFile) -> float | None:
    """Return the scale that is given, on the command line or by the study; None where the budget chooses it."""
    return request.scale if request.memory_bytes is not None else request.scale or file.scale


def _choose(request: RunRequest, file: StudyFile, conditions: Conditions, budget: Budget | None) -> Choice:
    """Return the study without what does not run."""
    if request.smoke:
        return _first_of_each_kind(file if request.repeats else _repeat(file, 1))
    return Choice(file) if budget is None else choose_points(file, conditions, budget)


def _fit(request: RunRequest, file: StudyFile, conditions: Conditions, budget: Budget | None) -> _Fitted:
    """Return the sizing that is given, or the largest that the budget allows."""
    scale = SMOKE_FACTOR if request.smoke else _find_scale(request, file)
    if budget is None:
        return _Fitted(1.0 if scale is None else scale)
    fixed = request.repeats is not None
    if scale is not None:
        way = find_way_at(file, conditions, scale, fixed=fixed)
    else:
        way = find_way(file, conditions, budget.memory_bytes, fixed=fixed)
    # Nobody asked for the study's own time: where the least takes longer, it is run all the same.
    return _Fitted(fit_study(way, budget.duration_s, at_least=request.time_s is None), way)


def _find_time_at_scale(request: RunRequest, file: StudyFile) -> float | None:
    """Return the seconds that a run of a given scale may take; None where its repeats are given too, or no time is said."""
    own_s = file.fit.time_at_scale if request.repeats is None else None
    return own_s if request.time_s is None else request.time_s


def read_request(request: RunRequest) -> StudyFile:
    """Return the study a request is about, with its options applied; StudyError for a wrong one."""
    return _read_file(request)[0]


def _check_options(request: RunRequest) -> None:
    """Raise StudyError for options that contradict each other."""
    if request.scale is not None and request.memory_bytes is not None:
        raise StudyError(
            "--scale fixes the sizes that --memory would choose",
            hint="give the scale, or the memory it may take",
        )
    given = {"--scale": request.scale, "--time": request.time_s, "--memory": request.memory_bytes}
    beside = next((name for name, value in given.items() if value is not None), None)
    if request.smoke and beside is not None:
        raise StudyError(f"--smoke only tries the study, as small as it gets; {beside} has no part in it")


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


def _first_of_each_kind(file: StudyFile) -> Choice:
    """Return the study with the first experiment of each kind."""
    firsts = {e.kind: e for e in reversed(file.experiment)}
    kept = tuple(e for e in file.experiment if firsts[e.kind] is e)
    left_out = tuple(e.name for e in file.experiment if firsts[e.kind] is not e)
    return Choice(file.model_copy(update={"experiment": kept}), left_out)


def _find_memory(request: RunRequest, host: dict[str, object]) -> tuple[int, int]:
    """Return the node's memory and what of it is available, in bytes."""
    total, available = int(str(host["memory_total_bytes"])), int(str(host["memory_available_bytes"]))
    if request.node_memory_bytes is None:
        return total, available
    if request.node_memory_bytes > available:
        raise CapacityError(
            f"--node-memory {format_bytes(request.node_memory_bytes)} is more than the {format_bytes(available)} available",
            hint="give less, or leave it out to take the host itself as the node",
        )
    return request.node_memory_bytes, request.node_memory_bytes
