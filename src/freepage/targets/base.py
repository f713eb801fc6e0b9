"""The seam between a run and where its trials run: instances, the target that opens them, and how a target is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from pathlib import Path

    from freepage.errors import FreepageError
    from freepage.metrics import MetricValues
    from freepage.records import Evidence
    from freepage.study.plan import Trial
    from freepage.study.request import RunPlan, RunRequest
    from freepage.worker.client import WorkerClient

# Why a run needs no more of a target than this: docs/decisions/011-targets.md.


class Instance(Protocol):
    """One running pod or VM whose worker has reported that it is ready."""

    name: str
    worker: WorkerClient

    def read_usage(self) -> MetricValues:
        """Read the host-side counters of this instance by metric id; cheap, called at every tick."""
        ...

    async def read_guest(self) -> MetricValues:
        """Read the guest's view of its memory and CPU by metric id; {} where there is no guest."""
        ...

    async def read_evidence(self) -> Evidence:
        """Read what shows whether FPR is configured, negotiated and active."""
        ...


@dataclass(frozen=True)
class Accelerator:
    """The way guests are executed ("kvm" or "tcg"), and the reason for it."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True)
class TargetFacts:
    """The part of a target that a run keeps.

    name: its key in registry.TARGETS. noun: the word for what is measured ("host", "nodes"). title: a description of what
    its nodes belong to; "" for a host. node: what plays the node ("host", "cgroup", "cluster"). node_is_fixed: whether
    no cgroup can play the node. conditions: those of the host or the nodes by name; None is not known.
    """

    name: str
    noun: str
    title: str
    node: str
    node_is_fixed: bool
    accelerator: Accelerator
    tools: dict[str, str]
    conditions: dict[str, object]


class Target(Protocol):
    """A host or cluster that is ready to run trials."""

    facts: TargetFacts

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        """Return why this trial cannot run here though others may; None when nothing prevents it."""
        ...

    def open_node(self, trial: Trial) -> AbstractContextManager[Callable[[], dict[str, MetricValues]]]:
        """Make the node a trial is to have, with its memory limit, and yield the reader of its counters.

        The reader returns values by entity and metric id: always "node" (the host, the cgroup that plays the node, or
        all measured nodes together), and "node/NAME" where there are several. The limit ends with the context.
        """
        ...

    def open_instances(self, trial: Trial, folder: Path) -> AbstractAsyncContextManager[Sequence[Instance]]:
        """Start every instance of the trial and leave nothing behind at the end.

        `folder` takes the consoles (console-NAME.log). Raises InstanceError, with the console's last lines as its
        hint, when one does not become ready.
        """
        ...


def check_runnable(trials: Sequence[Trial], target: Target | Preview) -> None:
    """Raise what stands in the way of the first trial when something stands in the way of every one."""
    obstacles = [target.find_obstacle(t) for t in trials]
    if all(obstacles) and obstacles[0] is not None:
        raise obstacles[0]


class Preview(Protocol):
    """A target before anything is started or created there, and the study planned by what is known of it so far."""

    @property
    def plan(self) -> RunPlan:
        """Return the study's plan, which the opened target's own may differ from a little."""
        ...

    @property
    def execution(self) -> str:
        """Describe what executes guests, and where."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Return what else a reader of the plan should know of the target, a sentence each."""
        ...

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        """Return why this trial cannot run there, though others may, as far as that is known; None when nothing prevents it."""
        ...

    def list_objects(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Return each object a run would create for trials without an obstacle, with its purpose; empty where it creates none."""
        ...

    def open_target(self, folder: Path) -> AbstractAsyncContextManager[tuple[Target, RunPlan]]:
        """Make the target ready for a run into `folder`, and plan the study again by its real memory and accelerator.

        Raises HostError for what is missing, CapacityError for a study that does not fit, and the cluster's errors.
        """
        ...


@dataclass(frozen=True)
class TargetOption:
    """One option of the command line that only one target has: its flag, and the keywords of add_argument."""

    flag: str
    keywords: dict[str, Any]

    def is_given(self, options: argparse.Namespace) -> bool:
        name = self.flag.lstrip("-").replace("-", "_")
        return bool(getattr(options, name) != self.keywords.get("default"))


@dataclass(frozen=True)
class TargetEntry:
    """One target as the command line chooses and opens it.

    title: what a sentence calls it ("this host"). summary: what its options are about. choose: reads its options (and the
    login's, under the names of kube.login.Login) and returns what opens its preview.
    """

    name: str
    title: str
    summary: str
    options: tuple[TargetOption, ...]
    choose: Callable[[argparse.Namespace], Callable[[RunRequest], AbstractAsyncContextManager[Preview]]]
