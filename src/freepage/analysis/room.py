"""The room for fio's test file on a node: where it fits beside VMs without FPR, reads from the page cache tell nothing of FPR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.estimates import Quantity
from freepage.analysis.series import metric_series
from freepage.kinds import Subject, find_kind
from freepage.records import NODE, Action, Arm
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freepage.analysis.estimates import TrialValues
    from freepage.store import Run, TrialData


def find_roomy(run: Run, values: Mapping[str, TrialValues]) -> dict[str, str]:
    """Return the experiments in which the test file fitted beside VMs without FPR in every trial, each with that in words.

    values: by trial id. Where memory in use, the node's size or the file's is not known, nothing is said.
    """
    trials: dict[str, list[TrialData]] = {}
    for trial in run.ok_trials(arm=Arm.VM):
        if Subject.HOST_IO in find_kind(trial.record.kind).measures:
            trials.setdefault(trial.record.experiment, []).append(trial)
    told = {name: [_tell_room(t, values[t.record.id]) for t in mine] for name, mine in trials.items()}
    return {name: sentences[0] for name, sentences in told.items() if all(sentences)}


def _tell_room(trial: TrialData, values: TrialValues) -> str:
    """Return in a sentence that the file fitted; "" where it did not, or nobody knows."""
    node_bytes, used_bytes = _find_node_bytes(trial), values.get(Quantity.NODE_ABSOLUTE_MAX)
    file_bytes = _find_file_bytes(trial)
    if node_bytes is None or used_bytes is None or not file_bytes or used_bytes + file_bytes > node_bytes:
        return ""
    return (
        f"Not decidable here: the test file of {format_bytes(file_bytes)} fits beside VMs without FPR too, which leave "
        f"{format_bytes(node_bytes - used_bytes)} of {format_bytes(node_bytes)}; --node-memory of less than "
        f"{format_bytes(used_bytes + file_bytes)} would do."
    )


def _find_node_bytes(trial: TrialData) -> float | None:
    """Return the node's memory: that of its cgroup, where it is one."""
    sizes = (metric_series(trial, NODE, m) for m in ("node_cgroup_limit_bytes", "mem_total_bytes"))
    return next((size for s in sizes if (size := s.maximum()) is not None), None)


def _find_file_bytes(trial: TrialData) -> int:
    """Return the bytes of all files that one fio of the trial works on; 0 where none is known."""
    steps = (s for ps in trial.schedules.values() for p in ps for s in p.steps if s.action is Action.RUN)
    return max((_size_of_files(step.argv) for step in steps), default=0)


def _size_of_files(argv: Iterable[str]) -> int:
    given = dict(a.removeprefix("--").split("=", 1) for a in argv if a.startswith("--") and "=" in a)
    if not given.get("filesize", "").isdigit():
        return 0
    files, jobs = (int(given.get(name, "1")) for name in ("nrfiles", "numjobs"))
    return int(given["filesize"]) * files * jobs
