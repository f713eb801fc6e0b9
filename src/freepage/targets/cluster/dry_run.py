"""Every object a run would create in a cluster, in the order it would create them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.kube.resources import name_of
from freepage.targets.cluster.facts import hostname_of
from freepage.targets.cluster.instances import build_instance, build_scope
from freepage.targets.cluster.manifests import build_sampler_pod, build_worker_map
from freepage.targets.cluster.nodes import node_command, sampler_name
from freepage.targets.cluster.owner import build_owner
from freepage.worker.build import build_worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freepage.kube.resources import Object
    from freepage.study.plan import InstancePlan, Trial
    from freepage.targets.cluster.outline import ClusterOutline

# What stands for a run that has no name yet.
DRY_RUN = "dryrun"
_CARRIERS = {"pod": "a pod", "vm": "a VM with FPR off", "vm-fpr": "a VM with FPR on"}


def list_objects(
    outline: ClusterOutline, trials: Sequence[Trial], interval_s: float
) -> Iterator[tuple[str, Object]]:
    """Yield each object with its purpose; HostError for an instance that no image was given for."""
    scope = build_scope(outline, DRY_RUN, None, trials)
    yield "owns everything below, which goes with it", build_owner(scope.run, scope.namespace)
    yield "the worker's binary", build_worker_map(scope, build_worker().read_bytes())
    image, command = outline.choices.find_pod_image(), node_command(interval_s)
    for number, node in enumerate(outline.nodes):
        pod = build_sampler_pod(scope, sampler_name(scope, number), hostname_of(node), image, command)
        yield f"samples node {name_of(node)}", pod
    for trial in trials:
        for number, plan in enumerate(trial.instances):
            manifests = build_instance(scope, outline, number, trial, plan)
            purpose = _describe(trial, plan, manifests.shape.node)
            for secret in manifests.secrets:
                yield f"{purpose}: what it starts from", secret
            yield purpose, manifests.main


def _describe(trial: Trial, plan: InstancePlan, node: str) -> str:
    return f"trial {trial.id}: {plan.name}, {_CARRIERS[plan.carrier]} on node {node}"
