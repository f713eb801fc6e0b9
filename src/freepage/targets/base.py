"""The seam between a trial and the place it runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from freepage.errors import FreepageError
    from freepage.metrics import MetricValues
    from freepage.records import Evidence
    from freepage.study.plan import Trial
    from freepage.worker.client import WorkerClient


class Instance(Protocol):
    """One running pod or VM whose worker has said it is ready."""

    name: str
    worker: WorkerClient

    def read_usage(self) -> MetricValues:
        """Read the host-side counters of this instance by metric id; cheap, called at every tick."""
        ...

    async def read_guest(self) -> MetricValues:
        """Read what the guest says of its memory by metric id; {} where there is no guest."""
        ...

    async def read_evidence(self) -> Evidence:
        """Read what shows whether FPR is configured, negotiated and active."""
        ...


class Target(Protocol):
    """A place where trials run."""

    def find_obstacle(self, trial: Trial) -> FreepageError | None:
        """Say why this trial cannot run here though others may; None when nothing stands in its way."""
        ...

    def set_node(self, memory_bytes: int | None) -> None:
        """Make a cgroup with this much memory the node of the trials to come; None for what the run was started with."""
        ...

    def open_instances(self, trial: Trial, folder: Path) -> AbstractAsyncContextManager[Sequence[Instance]]:
        """Start every instance of the trial and leave nothing behind at the end.

        `folder` takes the consoles (console-NAME.log). Raises InstanceError, with the console's last lines as its
        hint, when one does not become ready.
        """
        ...

    def read_node(self) -> dict[str, MetricValues]:
        """Read the node's counters by entity and metric id.

        Always "node" (the host, the cgroup that plays the node, or all measured nodes together); "node/NAME" as well
        where there are several.
        """
        ...


class Place(Target, Protocol):
    """A target with what a whole run needs to know of it."""

    name: str
    node: str
    tools: dict[str, str]
    nodes_are_given: bool

    @property
    def accelerator(self) -> str:
        """How guests are executed: "kvm" or "tcg"."""
        ...

    @property
    def accelerator_reason(self) -> str: ...

    def read_facts(self) -> dict[str, object]:
        """Read the conditions by name, as facts.read_host_facts; None is not known."""
        ...

    def check_disk(self, trials: Sequence[Trial], folder: Path) -> None:
        """Raise CapacityError when a trial's test files do not fit where they will be."""
        ...

    async def warm_up(self, size_bytes: int) -> None:
        """Touch as much memory as the largest trial will, once, where that is ours to do."""
        ...
