"""A study file at a scale: docs/decisions/014-counts-stay.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.errors import StudyError
from freepage.records import Arm, VerdictRule
from freepage.study.group_file import CommandGroupFile, FioGroupFile, GridGroupFile
from freepage.study.scaling.fio import scale_fio
from freepage.study.scaling.memory import scale_memory
from freepage.study.scaling.scale import NO_LIMITS, SMOKE_LIMITS, Scale
from freepage.study.scaling.shared_node import share_node
from freepage.study.study import CommandGroup, CommandJob, Experiment, Sizing, Study
from freepage.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.study.file import ExperimentFile, StudyFile
    from freepage.study.group_file import AnyGroupFile
    from freepage.study.study import AnyGroup, Conditions


def scale_study(
    file: StudyFile, sizing: float | Mapping[str, Sizing], conditions: Conditions, *, smoke: bool = False
) -> Study:
    """Return the study on a host, at one factor or each experiment by name at a sizing of its own.

    Raises StudyError for one that makes no sense there.
    """
    sizings = sizing if not isinstance(sizing, int | float) else {}
    default = Sizing(sizing) if isinstance(sizing, int | float) else Sizing()
    experiments = tuple(
        scale_experiment(e, file, Scale(sizings.get(e.name, default), conditions, smoke))
        for e in find_experiments(file)
    )
    limits = SMOKE_LIMITS if smoke else NO_LIMITS
    return Study(
        name=file.name,
        title=file.title or file.name,
        seed=file.seed,
        arms=file.arms,
        interval_s=min(file.interval, limits.interval_s),
        scale=min(e.sizing.factor for e in experiments),
        smoke=smoke,
        experiments=experiments,
        verdict_rule=VerdictRule(**file.verdict, headline=file.verdict_headline),
    )


def find_experiments(file: StudyFile) -> tuple[ExperimentFile, ...]:
    """Return the experiments that run on one of the study's arms; StudyError where none does."""
    fitting = tuple(e for e in file.experiment if _arms_of(e, file))
    if not fitting:
        raise StudyError(
            f"no experiment of the study runs on {', '.join(file.arms)}",
            hint=f"they run on {', '.join(dict.fromkeys(a for e in file.experiment for a in e.arms or ()))}",
        )
    return fitting


def scale_experiment(file: ExperimentFile, study: StudyFile, scale: Scale) -> Experiment:
    """Return one experiment of a study at a scale."""
    groups = tuple(_scale_group(g, file.name, scale) for g in file.groups)
    experiment = Experiment(
        name=file.name,
        kind=file.kind,
        title=file.title or file.name,
        repeats=scale.sizing.repeats or file.repeats or study.repeats,
        arms=_repeat_arm(file, _arms_of(file, study)),
        duration_s=max(g.after_s + g.duration_s for g in groups),
        groups=groups,
        sizing=scale.sizing,
    )
    if file.kind.shares_node:
        return share_node(experiment, file.node_memory, study.seed, scale)
    return experiment


def _arms_of(file: ExperimentFile, study: StudyFile) -> tuple[Arm, ...]:
    return tuple(a for a in study.arms if file.arms is None or a in file.arms)


def _repeat_arm(file: ExperimentFile, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    """Return the arms with the control beside the only one, for a kind that runs it twice; StudyError for several."""
    if not file.kind.repeats_arm:
        return arms
    if len(arms) > 1:
        raise StudyError(
            f"experiment {file.name}: kind '{file.kind.name}' runs one arm twice, and there are {', '.join(arms)}",
            hint="choose one, such as --arms vm",
        )
    return (*arms, Arm.CONTROL)


def _scale_group(file: AnyGroupFile, experiment: str, scale: Scale) -> AnyGroup:
    if isinstance(file, FioGroupFile):
        return scale_fio(file, scale)
    if isinstance(file, CommandGroupFile):
        return _scale_command(file, scale)
    assert not isinstance(file, GridGroupFile)  # noqa: S101 - maps are points once they are read
    return scale_memory(file, experiment, scale)


def _scale_command(file: CommandGroupFile, scale: Scale) -> CommandGroup:
    """Return a user's program as it is, since no scale knows what it needs; only instances give way."""
    period_s = file.period if file.period is not None else file.timeout
    job = CommandJob(
        argv=file.command,
        count=file.iterations,
        period_s=period_s,
        timeout_s=file.timeout,
        programs=file.programs,
        folder=file.folder,
        data_bytes=0 if file.data is None else scale.in_bytes(file.data),
        filesystem=file.filesystem or ("ext4" if file.data is not None else None),
    )
    return CommandGroup(
        name=file.name,
        workload=file.workload,
        carrier=file.fixed_carrier,
        instances=scale.count_instances(file.instances),
        cpus=file.cpus,
        vm_memory_bytes=GIB if file.vm_memory is None else scale.in_bytes(file.vm_memory),
        duration_s=file.iterations * period_s,
        after_s=file.after,
        job=job,
    )
