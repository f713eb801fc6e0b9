"""The objects of a trial's instances: pure functions of the plan, so that a dry run can show them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from freepage.image.cloud_init import build_user_data
from freepage.records import Arm
from freepage.targets.cluster.facts import hostname_of
from freepage.targets.cluster.manifests import PodShape, RunScope, build_secret, build_worker_pod
from freepage.targets.cluster.vmi_manifests import VmiShape, build_vmi
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from freepage.kube.resources import Object
    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.cluster.choices import ClusterChoices
    from freepage.targets.cluster.outline import ClusterOutline

# What a trial may take beside its schedules and the start of its instances: a slow replay, results, the end.
TRIAL_MARGIN_S = 600.0
USER_DATA_KEY = "userdata"


def build_scope(outline: ClusterOutline, run: str, owner: Object | None, trials: Sequence[Trial]) -> RunScope:
    """Return the scope that all objects of a run share."""
    limits_s = [_limit_s(trial, outline.choices) for trial in trials]
    return RunScope(
        namespace=outline.namespace,
        run=run,
        worker_map=f"freepage-{run}",
        owner=owner,
        user=outline.user,
        trial_deadline_s=round(max(limits_s)),
        run_deadline_s=round(sum(limits_s)),
        architecture=outline.architecture,
        pull_secret=outline.choices.pull_secret,
    )


def _limit_s(trial: Trial, choices: ClusterChoices) -> float:
    """Return the longest a trial may take, `concurrency` instances starting at once."""
    turns = -(-len(trial.instances) // choices.concurrency)
    return trial.duration_s + TRIAL_MARGIN_S + choices.ready_deadline_s * turns


@dataclass(frozen=True)
class InstanceManifests:
    """The objects one instance is made of: its pod or VM, and Secrets it starts from."""

    shape: PodShape | VmiShape
    main: Object
    secrets: tuple[Object, ...] = ()


def build_instance(
    scope: RunScope, outline: ClusterOutline, number: int, trial: Trial, plan: InstancePlan
) -> InstanceManifests:
    """Return the objects of the trial's instance `number`, whose name in the study is a label.

    Raises HostError for one that no image was given for.
    """
    name = f"{scope.worker_map}-{trial.order + 1}-{number}"
    shape = build_shape(outline, name, number, plan)
    if isinstance(shape, PodShape):
        return InstanceManifests(shape, build_worker_pod(scope, shape))
    if shape.disk_image is None:
        return InstanceManifests(shape, build_vmi(scope, shape))
    secret = build_secret(scope, name, {USER_DATA_KEY: _user_data(build_worker(), scope.trial_deadline_s)})
    return InstanceManifests(shape, build_vmi(scope, replace(shape, secret=name)), (secret,))


@lru_cache(maxsize=1)
def _user_data(worker: Path, deadline_s: int) -> bytes:
    return build_user_data(worker.read_bytes(), deadline_s)


def build_shape(outline: ClusterOutline, name: str, number: int, plan: InstancePlan) -> PodShape | VmiShape:
    """Return the pod or VM that instance `number` of a trial is, called `name`; nodes take instances in turn.

    Raises HostError for one that no image was given for.
    """
    node = hostname_of(outline.nodes[number % len(outline.nodes)])
    build = _pod_shape if plan.carrier is Arm.POD else _vmi_shape
    return build(outline.choices, name, node, plan)


def _pod_shape(choices: ClusterChoices, name: str, node: str, plan: InstancePlan) -> PodShape:
    programs = plan.tools is not None
    image = choices.find_pod_image(programs=programs)
    data_bytes = 0 if plan.data is None else plan.data.bytes
    return PodShape(name, plan.name, node, image, plan.demand_bytes, data_bytes, programs)


def _vmi_shape(choices: ClusterChoices, name: str, node: str, plan: InstancePlan) -> VmiShape:
    image = choices.find_boot_image(programs=plan.tools is not None)
    return VmiShape(
        name=name,
        instance=plan.name,
        node=node,
        reporting=plan.carrier is Arm.VM_FPR,
        memory_bytes=plan.vm_memory_bytes,
        cpus=plan.cpus,
        image=image,
        disk_image=choices.vm_disk if image is None else None,
        tools=plan.tools is not None,
        data=None if plan.data is None else plan.data.filesystem,
        data_bytes=0 if plan.data is None else plan.data.bytes,
    )
