"""The conditions that runs must share to be compared, and those in which they differ."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import FreepageError, StudyError
from freepage.fpr.mechanics import PASS_DELAY_S
from freepage.store.folder import PLAN, read_json
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from freepage.records import Evidence
    from freepage.store import Run, TrialData

NOT_KNOWN = "not known"
ALL = "all"


class UnlikeRunsError(FreepageError):
    """Runs that were measured under different conditions, or that share nothing."""

    exit_status = 2


@dataclass(frozen=True)
class Unlike:
    """One condition in which the runs differ, with what it was on either side."""

    name: str
    base: str
    new: str

    def __str__(self) -> str:
        return f"{self.name}: {self.base} in BASE, {self.new} in NEW"


def _host(run: Run, *names: str) -> str:
    return ", ".join(str(run.manifest.host.get(name) or NOT_KNOWN) for name in names)


def _memory(run: Run) -> str:
    """Return the node's memory; kernels take different little parts of it, which do not count."""
    return format_bytes(run.manifest.node_memory_bytes)


def _seen(run: Run, read: Callable[[Evidence], str | None]) -> str:
    """Return what the trials' VMs say of a condition; "" where no VM was seen, which is no difference."""
    found = {read(e) for t in run.trials for e in t.record.evidence if e.is_of_vm}
    return ", ".join(sorted(text or NOT_KNOWN for text in found))


def _vmm(run: Run) -> str:
    found = (run.manifest.tools.get(name) for name in ("qemu", "kubevirt"))
    return ", ".join(text for text in found if text) or NOT_KNOWN


def _guest_kernel(run: Run) -> str:
    seen = _seen(run, lambda e: e.guest_kernel)
    return run.manifest.tools.get("guest_kernel", NOT_KNOWN) if seen == NOT_KNOWN else seen


def _say_delay(evidence: Evidence) -> str:
    """Return the wait before a pass: a kernel that does not show it waits the usual time."""
    delay_s = PASS_DELAY_S if evidence.reporting_delay_s is None else evidence.reporting_delay_s
    return f"{delay_s:g} s"


# What one run alone says, by the name that --across takes.
OF_ONE_RUN: dict[str, Callable[[Run], str]] = {
    "target": lambda run: run.manifest.target,
    "accelerator": lambda run: run.manifest.accelerator,
    "cpu": lambda run: _host(run, "architecture", "cpu_model", "cpus_logical"),
    "memory": _memory,
    "host-kernel": lambda run: _host(run, "kernel"),
    "guest-kernel": _guest_kernel,
    "vmm": _vmm,
    "host-thp": lambda run: _host(run, "thp_enabled"),
    "pass-delay": lambda run: _seen(run, _say_delay),
    "guest-thp": lambda run: _seen(run, lambda e: e.guest_thp),
    "scale": lambda run: f"{run.manifest.scale:g}",
    "interval": lambda run: f"{run.manifest.interval_s:g} s",
}
# What is compared experiment by experiment.
OF_EXPERIMENTS = ("arms", "instances", "schedules")
NAMES = (*OF_ONE_RUN, *OF_EXPERIMENTS)


def parse_across(text: str) -> frozenset[str]:
    """Read the names of conditions that may differ; StudyError for one that is none."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(names - {*NAMES, ALL})
    if unknown or not names:
        wrong = repr(unknown[0]) if unknown else "nothing"
        raise StudyError(f"--across: {wrong} is no condition", hint=f"{ALL}, or of {', '.join(NAMES)}")
    return frozenset(NAMES) if ALL in names else frozenset(names)


def find_shared_experiments(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the experiments that every run has, in the first one's order; UnlikeRunsError where there are none."""
    names = [dict.fromkeys(t.record.experiment for t in run.trials) for run in runs]
    shared = tuple(name for name in names[0] if all(name in other for other in names[1:]))
    if not shared:
        lists = "; ".join(
            f"{run.folder.name}: {', '.join(each) or 'none'}" for run, each in zip(runs, names, strict=True)
        )
        raise UnlikeRunsError(
            f"the runs have no experiment in common ({lists})", hint="compare runs of one study"
        )
    return shared


def find_unlike(base: Sequence[Run], new: Sequence[Run]) -> tuple[Unlike, ...]:
    """Return every condition that is not the same in all runs of both sides."""
    shared = find_shared_experiments([*base, *new])
    found = [
        _compare(name, [read(r) for r in base], [read(r) for r in new]) for name, read in OF_ONE_RUN.items()
    ]
    for experiment in shared:
        found += [
            _compare("arms", *([_arms(r, experiment) for r in side] for side in (base, new))),
            _compare("instances", *([_instances(r, experiment) for r in side] for side in (base, new))),
            _compare_schedules(experiment, base, new),
        ]
    return tuple(unlike for unlike in found if unlike is not None)


def check_alike(unlike: Collection[Unlike], across: Collection[str]) -> None:
    """Raise UnlikeRunsError for conditions that differ and may not, each with both values."""
    refused = [each for each in unlike if each.name not in across]
    if refused:
        names = ",".join(dict.fromkeys(each.name for each in refused))
        raise UnlikeRunsError(
            "\n    ".join(["the runs are not alike:", *map(str, refused)]),
            hint=f"where that is what you compare: --across {names}",
        )


def _compare(name: str, base: Sequence[str], new: Sequence[str]) -> Unlike | None:
    if len({*base, *new} - {""}) <= 1:
        return None
    return Unlike(name, *(" and ".join(dict.fromkeys(side)) for side in (base, new)))


def _arms(run: Run, experiment: str) -> str:
    return f"{experiment} on {', '.join(run.arms_of(experiment))}"


def _instances(run: Run, experiment: str) -> str:
    """Return the sizes of an experiment's instances, which its schedules do not show."""
    path = run.folder / PLAN
    planned = read_json(path) if path.exists() else []
    mine = (i for t in planned if t["experiment"] == experiment for i in t["instances"])
    sizes = dict.fromkeys(f"{i['name']} {i['cpus']} CPU, {format_bytes(i['vm_memory_bytes'])}" for i in mine)
    return "; ".join(sizes) or NOT_KNOWN


def _compare_schedules(experiment: str, base: Sequence[Run], new: Sequence[Run]) -> Unlike | None:
    """Return the first block, of those that all runs have, whose schedules differ."""
    digests = {id(run): dict(_digest_blocks(run, experiment)) for run in (*base, *new)}
    for block in sorted(set.intersection(*map(set, digests.values()))):
        sides = ([_describe_schedules(r, experiment, block, digests[id(r)]) for r in s] for s in (base, new))
        if (unlike := _compare("schedules", *sides)) is not None:
            return unlike
    return None


def _describe_schedules(run: Run, experiment: str, block: int, digests: dict[int, str]) -> str:
    return f"{digests[block]} (block {block + 1} of {experiment}, seed {run.manifest.seed})"


def _digest_blocks(run: Run, experiment: str) -> Iterator[tuple[int, str]]:
    """Yield each block with a digest of its schedules; those of a baseline, which lacks instances, are no measure."""
    blocks: dict[int, TrialData] = {}
    for trial in (t for t in run.trials if t.record.experiment == experiment and t.schedules):
        known = blocks.get(trial.record.repeat)
        if known is None or len(trial.schedules) > len(known.schedules):
            blocks[trial.record.repeat] = trial
    for block, trial in blocks.items():
        yield block, hashlib.sha256(repr(sorted(trial.schedules.items())).encode()).hexdigest()[:8]
