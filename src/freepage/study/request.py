"""A request to run a study: read, scaled, checked against a host and planned for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import CapacityError
from freepage.fpr.mechanics import expect_block_bytes
from freepage.study.capacity import check_capacity, find_budget, fit_scale
from freepage.study.plan import planned_duration_s
from freepage.study.read import read_study
from freepage.study.scaling.scale import is_smoke
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.study.warmup import plan_run_trials
from freepage.units import format_bytes

if TYPE_CHECKING:
    from freepage.records import Arm
    from freepage.study.capacity import Budget
    from freepage.study.file import StudyFile
    from freepage.study.plan import Trial
    from freepage.study.study import Study


@dataclass(frozen=True)
class RunRequest:
    """The options of a run; None leaves it to the study."""

    study: str
    arms: tuple[Arm, ...] | None = None
    scale: float | None = None
    repeats: int | None = None
    seed: int | None = None
    node_memory_bytes: int | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunPlan:
    """A request that has been checked against the host, with the trials that will run.

    budget: the bounds of the scale; None where it was given. left_out: names of experiments that a smoke run leaves out.
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
    """Return the plan of a study for a host, or for nodes that cannot be made smaller.

    Raises StudyError for a wrong study and CapacityError for one that does not fit.
    """
    file, text = _read_file(request)
    total, available_bytes = _find_memory(request, host)
    is_given = nodes_are_given or request.node_memory_bytes is not None
    block_bytes = expect_block_bytes(str(host.get("architecture")))
    conditions = Conditions(total, int(str(host["cpus_logical"])), accelerator, is_given, block_bytes)
    budget = None if request.scale else find_budget(file, conditions, available_bytes)
    scale = request.scale or fit_scale(file, conditions, available_bytes)
    left_out: tuple[str, ...] = ()
    if is_smoke(scale):
        file, left_out = _first_of_each_kind(file if request.repeats else _repeat(file, 1))
    study = scale_study(file, scale, conditions)
    check_capacity(file, study, conditions, available_bytes)
    return RunPlan(study, text, plan_run_trials(study), conditions, available_bytes, budget, left_out)


def read_request(request: RunRequest) -> StudyFile:
    """Return the study a request is about, with its options applied; StudyError for a wrong one."""
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
    """Return the study with the first experiment of each kind, and the names of the others."""
    firsts = {e.kind: e for e in reversed(file.experiment)}
    kept = tuple(e for e in file.experiment if firsts[e.kind] is e)
    left_out = tuple(e.name for e in file.experiment if firsts[e.kind] is not e)
    return file.model_copy(update={"experiment": kept}), left_out


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
