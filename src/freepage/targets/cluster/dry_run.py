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
    from collections.abc import Iterator

    from freepage.kube.resources import Object
    from freepage.study.request import RunPlan
    from freepage.targets.cluster.survey import ClusterSurvey

# What stands for a run that has no name yet.
DRY_RUN = "dryrun"


def list_objects(survey: ClusterSurvey, run_plan: RunPlan) -> Iterator[tuple[str, Object]]:
    """Yield each object with its purpose."""
    scope = build_scope(survey, DRY_RUN, None, run_plan.trials)
    yield "owns everything below, which goes with it", build_owner(scope.run, scope.namespace)
    yield "the worker's binary", build_worker_map(scope, build_worker().read_bytes())
    command = node_command(run_plan.study.interval_s)
    for number, node in enumerate(survey.nodes):
        name = sampler_name(scope, number)
        pod = build_sampler_pod(scope, name, hostname_of(node), str(survey.choices.image_for_pods), command)
        yield f"samples node {name_of(node)}", pod
    for trial in run_plan.trials:
        for number, plan in enumerate(trial.instances):
            manifests = build_instance(scope, survey, number, trial, plan)
            for obj in (*manifests.secrets, manifests.main):
                yield f"trial {trial.id}", obj
