"""A cluster as a choice of the command line: its options, its preview, and its opening for a run."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from freepage.kube.login import Login
from freepage.records import Arm
from freepage.study.request import RunPlan, RunRequest, plan_run, read_request
from freepage.targets.arguments import parse_count, parse_names
from freepage.targets.base import TargetEntry, TargetOption
from freepage.targets.cluster.choices import CONCURRENCY, ClusterChoices
from freepage.targets.cluster.dry_run import list_objects
from freepage.targets.cluster.facts import read_facts
from freepage.targets.cluster.survey import ClusterSurvey, open_survey
from freepage.targets.cluster.target import NAME, ClusterTarget, open_cluster_target

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


@dataclass(frozen=True)
class ClusterPreview:
    """A cluster that was looked at, with nothing created in it (targets.base.Preview)."""

    survey: ClusterSurvey
    request: RunRequest
    plan: RunPlan

    @property
    def execution(self) -> str:
        return f"{self.survey.accelerator}, on {', '.join(self.survey.node_names)}"

    def list_objects(self) -> Iterable[tuple[str, dict[str, Any]]]:
        return list_objects(self.survey, self.plan)

    @asynccontextmanager
    async def open_target(self, folder: Path) -> AsyncIterator[tuple[ClusterTarget, RunPlan]]:  # noqa: ARG002 - the seam's
        """Create what the run shares in the cluster, and plan for what the samplers read of the nodes."""
        async with open_cluster_target(self.survey, self.plan.study.interval_s, self.plan.trials) as target:
            accelerator = target.facts.accelerator.name
            yield (
                target,
                plan_run(self.request, accelerator, target.facts.conditions, nodes_are_given=True),
            )


@asynccontextmanager
async def open_cluster_preview(choices: ClusterChoices, request: RunRequest) -> AsyncIterator[ClusterPreview]:
    """Log in and plan a study for the chosen nodes; creates nothing."""
    async with open_survey(choices, with_vms=_runs_vms(request)) as survey:
        conditions = read_facts(survey.nodes, {})
        plan = plan_run(request, survey.accelerator.name, conditions, nodes_are_given=True)
        yield ClusterPreview(survey, request, plan)


def _runs_vms(request: RunRequest) -> bool:
    """Return whether any VM will run, from the study and the options alone."""
    file = read_request(request)
    always = any(g.carrier not in {"arm", Arm.POD} for e in file.experiment for g in e.groups)
    return always or bool({Arm.VM, Arm.VM_FPR} & set(file.arms))


def _choose(
    options: argparse.Namespace,
) -> Callable[[RunRequest], AbstractAsyncContextManager[ClusterPreview]]:
    choices = ClusterChoices(
        login=Login(**{f.name: getattr(options, f.name) for f in fields(Login)}),
        nodes=options.nodes,
        image=options.image,
        vm_disk=options.vm_disk,
        pod_image=options.pod_image,
        pull_secret=options.pull_secret,
        concurrency=options.concurrency,
    )
    return partial(open_cluster_preview, choices)


def _reference(flag: str, words: str) -> TargetOption:
    return TargetOption(flag, {"metavar": "REF", "help": words})


CLUSTER = TargetEntry(
    name=NAME,
    title="a cluster",
    summary="where trials run in a cluster with KubeVirt, and from which images",
    options=(
        _reference("--image", "freepage's image in a registry (see `freepage image push`): VMs boot it"),
        _reference("--vm-disk", "any containerDisk with cloud-init for VMs instead (Linux 5.7 or newer)"),
        _reference("--pod-image", "any small image for pods instead of --image"),
        TargetOption("--pull-secret", {"metavar": "NAME", "help": "the Secret by which images are pulled"}),
        TargetOption(
            "--nodes",
            {
                "type": parse_names,
                "default": (),
                "metavar": "LIST",
                "help": "nodes to measure; the largest by default",
            },
        ),
        TargetOption(
            "--concurrency",
            {
                "type": parse_count,
                "default": CONCURRENCY,
                "metavar": "N",
                "help": f"instances started at once ({CONCURRENCY})",
            },
        ),
    ),
    choose=_choose,
)
