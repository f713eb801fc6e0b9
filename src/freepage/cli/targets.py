"""Opens the place a run will be in: this host, or a cluster."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import build_login, naming_manifest
from freepage.cli.options import build_request
from freepage.errors import StudyError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Sequence

    from freepage.study.plan import Trial
    from freepage.study.request import RunPlan
    from freepage.targets.base import Place
    from freepage.targets.cluster.survey import ClusterSurvey

# Options that are about this host, and have no meaning for a cluster.
_LOCAL_ONLY = {"node_memory": "--node-memory", "kernel": "--kernel"}
# And those that have none for this host.
_CLUSTER_ONLY = {
    "image": "--image",
    "vm_disk": "--vm-disk",
    "pod_image": "--pod-image",
    "pull_secret": "--pull-secret",
    "nodes": "--nodes",
}


@asynccontextmanager
async def open_local(options: argparse.Namespace, trials: Sequence[Trial]) -> AsyncIterator[Place]:
    """Make this host ready for what trials are carried by."""
    from pathlib import Path

    from freepage.targets.local.target import open_local_target

    kernel = Path(options.kernel) if options.kernel else None
    carriers = tuple({i.carrier for t in trials for i in t.instances})
    async with open_local_target(options.accel, kernel, options.node_memory, carriers) as target:
        yield target


@asynccontextmanager
async def open_cluster_run(options: argparse.Namespace) -> AsyncIterator[Place]:
    """Look at the cluster, plan for it, and make the run's own place in it."""
    from freepage.targets.cluster.target import open_cluster_target

    async with (
        open_planned_survey(options) as (survey, run_plan),
        open_cluster_target(survey, run_plan.study.interval_s, run_plan.trials) as target,
    ):
        yield target


@asynccontextmanager
async def open_planned_survey(options: argparse.Namespace) -> AsyncIterator[tuple[ClusterSurvey, RunPlan]]:
    """Log in and plan the study for the chosen nodes; creates nothing."""
    from freepage.study.request import plan_run
    from freepage.targets.cluster.facts import read_facts
    from freepage.targets.cluster.survey import ClusterChoices, open_survey

    _refuse_local_options(options)
    choices = ClusterChoices(
        login=build_login(options),
        nodes=options.nodes,
        image=options.image,
        vm_disk=options.vm_disk,
        pod_image=options.pod_image,
        pull_secret=options.pull_secret,
        concurrency=options.concurrency,
        with_vms=_with_vms(options),
    )
    with naming_manifest("run"):
        async with open_survey(choices) as survey:
            facts = read_facts(survey.nodes, {})
            request = build_request(options)
            yield survey, plan_run(request, survey.execution.accelerator, facts, nodes_are_given=True)


def _with_vms(options: argparse.Namespace) -> bool:
    """Say whether any VM will run, from the study and the options alone."""
    from freepage.records import Arm
    from freepage.study.request import read_request

    file = read_request(build_request(options))
    always = any(g.carrier not in {"arm", Arm.POD} for e in file.experiment for g in e.groups)
    return always or bool({Arm.VM, Arm.VM_FPR} & set(file.arms))


def refuse_cluster_options(options: argparse.Namespace) -> None:
    """Refuse to run on this host what was clearly meant for a cluster."""
    given = [words for name, words in _CLUSTER_ONLY.items() if getattr(options, name)]
    if given:
        raise StudyError(
            f"{given[0]} is about a cluster, and the target is this host", hint="--target cluster"
        )


def _refuse_local_options(options: argparse.Namespace) -> None:
    given = [words for name, words in _LOCAL_ONLY.items() if getattr(options, name) is not None]
    if options.accel != "auto":
        given.append("--accel")
    if given:
        raise StudyError(
            f"{given[0]} is about this host, and the target is a cluster",
            hint="leave it out: a cluster has its own nodes, guests and way to execute them",
        )
