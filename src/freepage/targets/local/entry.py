"""The host as a choice of the command line: its options, its preview, and its opening for a run."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.study.capacity import check_disk
from freepage.study.request import RunPlan, RunRequest, plan_run
from freepage.targets.arguments import parse_bytes
from freepage.targets.base import Accelerator, TargetEntry, TargetOption, check_runnable
from freepage.targets.local.accelerator import guess_accelerator
from freepage.targets.local.choices import LocalChoices
from freepage.targets.local.facts import read_host_facts
from freepage.targets.local.target import NAME, LocalTarget, open_local_target
from freepage.targets.local.warmup import describe_warm_up, find_warmup_bytes, warm_up

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from freepage.study.plan import Trial


@dataclass(frozen=True)
class LocalPreview:
    """The host with the accelerator it most likely has (targets.base.Preview)."""

    choices: LocalChoices
    request: RunRequest
    accelerator: Accelerator
    plan: RunPlan

    @property
    def execution(self) -> str:
        return str(self.accelerator)

    @property
    def notes(self) -> tuple[str, ...]:
        return describe_warm_up(find_warmup_bytes(self.plan.trials, self.plan.available_bytes))

    def find_obstacle(self, trial: Trial) -> None:
        """Return None: what stands in the way on this host shows when it is made ready, which may fetch a kernel."""

    def list_objects(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        return ()

    @asynccontextmanager
    async def open_target(self, folder: Path) -> AsyncIterator[tuple[LocalTarget, RunPlan]]:
        """Make this host ready, plan for what it really is, and touch its memory once."""
        check_disk(self.plan.trials, folder)
        carriers = tuple({i.carrier for t in self.plan.trials for i in t.instances})
        async with open_local_target(self.choices, carriers) as target:
            plan = plan_run(self.request, target.facts.accelerator.name, target.facts.conditions)
            check_disk(plan.trials, folder)
            check_runnable(plan.trials, target)
            await warm_up(find_warmup_bytes(plan.trials, plan.available_bytes))
            yield target, plan


@asynccontextmanager
async def open_local_preview(choices: LocalChoices, request: RunRequest) -> AsyncIterator[LocalPreview]:
    """Plan a study for this host; starts nothing."""
    accelerator = guess_accelerator(choices.accelerator)
    request = replace(request, node_memory_bytes=choices.node_memory_bytes)
    yield LocalPreview(choices, request, accelerator, plan_run(request, accelerator.name, read_host_facts()))


def _choose(options: argparse.Namespace) -> Callable[[RunRequest], AbstractAsyncContextManager[LocalPreview]]:
    kernel = Path(options.kernel) if options.kernel else None
    return partial(open_local_preview, LocalChoices(options.accel, kernel, options.node_memory))


LOCAL = TargetEntry(
    name=NAME,
    title="this host",
    summary="how guests are executed on this host, and what plays the node",
    options=(
        TargetOption(
            "--accel",
            {"choices": ("auto", "kvm", "tcg"), "default": "auto", "help": "how guests are executed"},
        ),
        TargetOption("--kernel", {"metavar": "PATH", "help": "another guest kernel (a bzImage or Image)"}),
        TargetOption(
            "--node-memory",
            {"type": parse_bytes, "metavar": "SIZE", "help": "make a memory cgroup of this size the node"},
        ),
    ),
    choose=_choose,
)
