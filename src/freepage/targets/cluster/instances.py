"""The objects of a trial's instances: pure functions of the plan, so that a dry run can show them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freepage.image.cloud_init import build_user_data
from freepage.kube.resources import name_of
from freepage.records import Arm
from freepage.targets.cluster.facts import allocatable_bytes, hostname_of
from freepage.targets.cluster.manifests import (
    MachineShape,
    PodShape,
    RunPlace,
    build_machine_instance,
    build_secret,
    build_worker_pod,
)
from freepage.units import format_bytes
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.kube.resources import Object
    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.cluster.survey import ClusterChoices, ClusterSite

# What a trial may take beside its schedules and the start of its instances: a slow replay, results, the end.
TRIAL_MARGIN_S = 600.0
USER_DATA_KEY = "userdata"


def build_place(site: ClusterSite, run: str, owner: Object | None, trials: Sequence[Trial]) -> RunPlace:
    """Give what all objects of a run share."""
    limits_s = [_limit_s(trial, site.choices) for trial in trials]
    return RunPlace(
        namespace=site.api.namespace,
        run=run,
        worker_map=f"freepage-{run}",
        owner=owner,
        user=site.user,
        trial_deadline_s=round(max(limits_s)),
        run_deadline_s=round(sum(limits_s)),
        pull_secret=site.choices.pull_secret,
    )


def _limit_s(trial: Trial, choices: ClusterChoices) -> float:
    """Give the longest a trial may take, its instances starting so many at once."""
    turns = -(-len(trial.instances) // choices.concurrency)
    return trial.duration_s + TRIAL_MARGIN_S + choices.ready_deadline_s * turns


def find_overload(site: ClusterSite, place: RunPlace, trial: Trial) -> str | None:
    """Say which node cannot give what a trial's instances ask it for, all other work there left out; None if all can."""
    asked: dict[str, int] = {}
    for number, plan in enumerate(trial.instances):
        shape = build_instance(place, site, number, trial, plan).shape
        asked[shape.node] = asked.get(shape.node, 0) + shape.request_bytes
    for node in site.nodes:
        wanted, given = asked.get(hostname_of(node), 0), allocatable_bytes(node)
        if wanted > given:
            return (
                f"{format_bytes(wanted)} of memory on node {name_of(node)}, which gives {format_bytes(given)}"
            )
    return None


@dataclass(frozen=True)
class InstanceManifests:
    """The objects one instance is made of: its pod or VM, and Secrets it starts from."""

    shape: PodShape | MachineShape
    main: Object
    secrets: tuple[Object, ...] = ()


def build_instance(
    place: RunPlace, site: ClusterSite, number: int, trial: Trial, plan: InstancePlan
) -> InstanceManifests:
    """Give the objects of the trial's instance `number`, whose name in the study is a label; nodes take them in turn."""
    name = f"{place.worker_map}-{trial.order + 1}-{number}"
    node = hostname_of(site.nodes[number % len(site.nodes)])
    if plan.carrier is Arm.POD:
        pod = _pod_shape(site, name, node, plan)
        return InstanceManifests(pod, build_worker_pod(place, pod))
    shape = _machine_shape(site, name, node, plan)
    if shape.disk_image is None:
        return InstanceManifests(shape, build_machine_instance(place, shape))
    user_data = build_user_data(build_worker().read_bytes(), place.trial_deadline_s)
    secret = build_secret(place, name, {USER_DATA_KEY: user_data})
    return InstanceManifests(shape, build_machine_instance(place, replace(shape, secret=name)), (secret,))


def _pod_shape(site: ClusterSite, name: str, node: str, plan: InstancePlan) -> PodShape:
    image = site.choices.image if plan.tools is not None else site.choices.image_for_pods
    data_bytes = 0 if plan.data is None else plan.data.bytes
    programs = plan.tools is not None
    return PodShape(name, plan.name, node, str(image), plan.demand_bytes, data_bytes, programs)


def _machine_shape(site: ClusterSite, name: str, node: str, plan: InstancePlan) -> MachineShape:
    own = site.choices.machine_disk is None or plan.tools is not None
    return MachineShape(
        name=name,
        instance=plan.name,
        node=node,
        reporting=plan.carrier is Arm.VM_FPR,
        memory_bytes=plan.vm_memory_bytes,
        cpus=plan.cpus,
        image=site.choices.image if own else None,
        disk_image=None if own else site.choices.machine_disk,
        tools=plan.tools is not None,
        data=None if plan.data is None else plan.data.filesystem,
        data_bytes=0 if plan.data is None else plan.data.bytes,
    )
