"""Prints every object a run would create in a cluster, as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.kube.resources import Object
    from freepage.study.request import RunPlan
    from freepage.targets.cluster.survey import ClusterSurvey

# What stands for a run that has no name yet.
DRY_RUN = "dryrun"


def print_manifests(survey: ClusterSurvey, run_plan: RunPlan) -> None:
    """Print the objects in the order they would be created, without their binaries, whose size is said."""
    import yaml

    for words, obj in list_manifests(survey, run_plan):
        shown, left_out = _leave_out_binaries(obj)
        print(f"---\n# {words}{left_out}")
        print(yaml.safe_dump(shown, sort_keys=False, width=120), end="")


def list_manifests(survey: ClusterSurvey, run_plan: RunPlan) -> Iterator[tuple[str, Object]]:
    """Give each object with what it is for."""
    from freepage.kube.resources import name_of
    from freepage.targets.cluster.facts import hostname_of
    from freepage.targets.cluster.instances import build_instance, build_scope
    from freepage.targets.cluster.manifests import build_sampler_pod, build_worker_map
    from freepage.targets.cluster.nodes import node_command, sampler_name
    from freepage.targets.cluster.owner import build_owner
    from freepage.worker.build import build_worker

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


def _leave_out_binaries(obj: Object) -> tuple[Object, str]:
    """Empty what is not to be read, so that a server can still check it, and say how much that was."""
    shown, size = dict(obj), 0
    for key in ("binaryData", "data"):
        if obj.get("kind") in {"ConfigMap", "Secret"} and key in obj:
            shown[key] = dict.fromkeys(obj[key], "")
            size += sum(map(len, obj[key].values()))
    return shown, f" ({size} bytes of base64 are left out here)" if size else ""
