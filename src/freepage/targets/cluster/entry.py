"""A cluster as a choice of the command line: its options, its preview, and its opening for a run."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from freepage.kube.errors import NoLoginError
from freepage.kube.login import Login
from freepage.kube.resources import name_of
from freepage.records import Arm
from freepage.study.request import RunPlan, RunRequest, plan_run, read_request
from freepage.targets.arguments import parse_count, parse_names
from freepage.targets.base import TargetEntry, TargetOption, check_runnable
from freepage.targets.cluster.choices import CONCURRENCY, ClusterChoices
from freepage.targets.cluster.dry_run import list_objects
from freepage.targets.cluster.facts import architecture_of, read_facts
from freepage.targets.cluster.obstacles import build_launcher_memory, find_obstacle
from freepage.targets.cluster.outline import assume_cluster
from freepage.targets.cluster.survey import ClusterSurvey, find_worker_architecture, open_survey
from freepage.targets.cluster.target import NAME, ClusterTarget, open_cluster_target

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from freepage.errors import FreepageError
    from freepage.image.architecture import Architecture
    from freepage.study.plan import Trial
    from freepage.targets.cluster.outline import ClusterOutline


@dataclass(frozen=True)
class ClusterPreview:
    """A cluster that was looked at, with nothing created in it, or one that is assumed (targets.base.Preview)."""

    outline: ClusterOutline
    request: RunRequest
    plan: RunPlan

    @property
    def execution(self) -> str:
        nodes = [f"{name_of(node)} ({architecture_of(node)})" for node in self.outline.nodes]
        return f"{self.outline.accelerator}, on {', '.join(nodes)}"

    @property
    def notes(self) -> tuple[str, ...]:
        return self.outline.notes

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        return find_obstacle(self.outline, trial, build_launcher_memory(self.outline))

    def list_objects(self) -> Iterable[tuple[str, dict[str, Any]]]:
        trials = [trial for trial in self.plan.trials if self.find_obstacle(trial) is None]
        return list_objects(self.outline, trials, self.plan.study.interval_s)

    @asynccontextmanager
    async def open_target(self, folder: Path) -> AsyncIterator[tuple[ClusterTarget, RunPlan]]:  # noqa: ARG002 - the seam's
        """Create what the run shares in the cluster, and plan for what the samplers read of the nodes."""
        assert isinstance(self.outline, ClusterSurvey)  # noqa: S101 - a run never assumes one
        async with open_cluster_target(self.outline, self.plan.study.interval_s, self.plan.trials) as target:
            accelerator = target.facts.accelerator.name
            yield (
                target,
                plan_run(self.request, accelerator, target.facts.conditions, nodes_are_given=True),
            )


@asynccontextmanager
async def open_cluster_preview(choices: ClusterChoices, request: RunRequest) -> AsyncIterator[ClusterPreview]:
    """Log in and plan a study for the chosen nodes, or for an assumed cluster where none can be asked; creates nothing.

    Raises what a run would raise before it creates anything: the errors of the cluster, HostError, CapacityError.
    """
    with_vms = _runs_vms(request)
    if with_vms:
        choices.find_boot_image(programs=False)
    choices.find_pod_image()
    architecture = await find_worker_architecture()
    async with AsyncExitStack() as stack:
        try:
            outline: ClusterOutline = await _enter_survey(stack, choices, architecture, with_vms=with_vms)
        except NoLoginError as error:
            if not choices.may_assume:
                raise
            outline = assume_cluster(choices, architecture, error.message, with_vms=with_vms)
        conditions = read_facts(outline.nodes, {})
        plan = plan_run(request, outline.accelerator.name, conditions, nodes_are_given=True)
        preview = ClusterPreview(outline, request, plan)
        check_runnable(plan.trials, preview)
        yield preview


async def _enter_survey(
    stack: AsyncExitStack, choices: ClusterChoices, architecture: Architecture, *, with_vms: bool
) -> ClusterSurvey:
    if choices.offline:
        raise NoLoginError(
            "--offline assumes a cluster, and in that nothing can run", hint="leave it out, or add --dry-run"
        )
    return await stack.enter_async_context(open_survey(choices, architecture, with_vms=with_vms))


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
        offline=options.offline,
        # `plan` has no such option, and creates nothing either.
        may_assume=getattr(options, "dry_run", True),
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
        TargetOption(
            "--offline",
            {
                "action": "store_true",
                "default": False,
                "help": "with --dry-run or plan: assume a cluster, ask none",
            },
        ),
    ),
    choose=_choose,
)
