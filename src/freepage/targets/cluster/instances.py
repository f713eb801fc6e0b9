"""The objects of a trial's instances: pure functions of the plan, so that a dry run can show them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freepage.image.cloud_init import build_user_data
from freepage.kube.resources import name_of
from freepage.records import Arm
from freepage.targets.cluster.facts import allocatable_bytes, hostname_of
from freepage.targets.cluster.manifests import PodShape, RunScope, build_secret, build_worker_pod
from freepage.targets.cluster.vmi_manifests import VmiShape, build_vmi
from freepage.units import format_bytes
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.kube.resources import Object
    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.cluster.choices import ClusterChoices
    from freepage.targets.cluster.survey import ClusterSurvey

# What a trial may take beside its schedules and the start of its instances: a slow replay, results, the end.
TRIAL_MARGIN_S = 600.0
USER_DATA_KEY = "userdata"


def build_scope(survey: ClusterSurvey, run: str, owner: Object | None, trials: Sequence[Trial]) -> RunScope:
    """Return the scope that all objects of a run share."""
    limits_s = [_limit_s(trial, survey.choices) for trial in trials]
    return RunScope(
        namespace=survey.api.namespace,
        run=run,
        worker_map=f"freepage-{run}",
        owner=owner,
        user=survey.user,
        trial_deadline_s=round(max(limits_s)),
        run_deadline_s=round(sum(limits_s)),
        pull_secret=survey.choices.pull_secret,
    )


def _limit_s(trial: Trial, choices: ClusterChoices) -> float:
    """Return the longest a trial may take, `concurrency` instances starting at once."""
    turns = -(-len(trial.instances) // choices.concurrency)
    return trial.duration_s + TRIAL_MARGIN_S + choices.ready_deadline_s * turns


def find_overload(survey: ClusterSurvey, scope: RunScope, trial: Trial) -> str | None:
    """Return which node cannot give what a trial's instances ask it for, other work there not counted; None if all can."""
    asked: dict[str, int] = {}
    for number, plan in enumerate(trial.instances):
        shape = build_instance(scope, survey, number, trial, plan).shape
        asked[shape.node] = asked.get(shape.node, 0) + shape.request_bytes
    for node in survey.nodes:
        wanted, given = asked.get(hostname_of(node), 0), allocatable_bytes(node)
        if wanted > given:
            return (
                f"{format_bytes(wanted)} of memory on node {name_of(node)}, which gives {format_bytes(given)}"
            )
    return None


@dataclass(frozen=True)
class InstanceManifests:
    """The objects one instance is made of: its pod or VM, and Secrets it starts from."""

    shape: PodShape | VmiShape
    main: Object
    secrets: tuple[Object, ...] = ()


def build_instance(
    scope: RunScope, survey: ClusterSurvey, number: int, trial: Trial, plan: InstancePlan
) -> InstanceManifests:
    """Return the objects of the trial's instance `number`, whose name in the study is a label; nodes take them in turn."""
    name = f"{scope.worker_map}-{trial.order + 1}-{number}"
    node = hostname_of(survey.nodes[number % len(survey.nodes)])
    if plan.carrier is Arm.POD:
        pod = _pod_shape(survey, name, node, plan)
        return InstanceManifests(pod, build_worker_pod(scope, pod))
    shape = _vmi_shape(survey, name, node, plan)
    if shape.disk_image is None:
        return InstanceManifests(shape, build_vmi(scope, shape))
    user_data = build_user_data(build_worker().read_bytes(), scope.trial_deadline_s)
    secret = build_secret(scope, name, {USER_DATA_KEY: user_data})
    return InstanceManifests(shape, build_vmi(scope, replace(shape, secret=name)), (secret,))


def _pod_shape(survey: ClusterSurvey, name: str, node: str, plan: InstancePlan) -> PodShape:
    image = survey.choices.image if plan.tools is not None else survey.choices.image_for_pods
    data_bytes = 0 if plan.data is None else plan.data.bytes
    programs = plan.tools is not None
    return PodShape(name, plan.name, node, str(image), plan.demand_bytes, data_bytes, programs)


def _vmi_shape(survey: ClusterSurvey, name: str, node: str, plan: InstancePlan) -> VmiShape:
    own = survey.choices.vm_disk is None or plan.tools is not None
    return VmiShape(
        name=name,
        instance=plan.name,
        node=node,
        reporting=plan.carrier is Arm.VM_FPR,
        memory_bytes=plan.vm_memory_bytes,
        cpus=plan.cpus,
        image=survey.choices.image if own else None,
        disk_image=None if own else survey.choices.vm_disk,
        tools=plan.tools is not None,
        data=None if plan.data is None else plan.data.filesystem,
        data_bytes=0 if plan.data is None else plan.data.bytes,
    )
