"""Signs in a run's samples that the node was short of memory: stalls, swapping, kills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.series import growth
from freepage.kinds import find_kind
from freepage.records import NODE, Arm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.store import Run, TrialData

# Tasks that stalled on memory for this share of a trial were short of it.
STALLED_FRACTION = 0.01


@dataclass(frozen=True)
class Strain:
    """The want of memory on a node during an arm's trials; None is not known.

    stalled_fraction: time in which some task stalled on memory, of the trial in which it was most (of the node in which it was
    most). swapped_pages, kills: swapped out, and processes killed for want of memory, over all trials.
    """

    stalled_fraction: float | None = None
    swapped_pages: float | None = None
    kills: float | None = None

    @property
    def is_short(self) -> bool | None:
        """Whether the node was short of memory: None where no sign of it was read, or no trial was run."""
        known = [v for v in (self.stalled_fraction, self.swapped_pages, self.kills) if v is not None]
        stalled = (self.stalled_fraction or 0.0) >= STALLED_FRACTION
        return stalled or bool(self.swapped_pages or self.kills) if known else None

    def describe(self, stretch: str = "a trial") -> str:
        """Return what was seen, and nothing of what was not: "nothing swapped out, no process killed"; stretch: of what time."""
        return ", ".join(filter(None, (_say_stalled(self, stretch), _say_swapped(self), _say_killed(self))))


def find_strains(run: Run) -> dict[Arm, Strain]:
    """Return the strain of the node beside VMs without FPR and with it.

    Experiments that make a node of their own too small on purpose are left out: how short theirs is says nothing of the host's.
    """
    return {arm: _find_strain(_list_trials(run, arm)) for arm in (Arm.VM, Arm.VM_FPR)}


def _list_trials(run: Run, arm: Arm) -> list[TrialData]:
    return [t for t in run.ok_trials(arm=arm) if not find_kind(t.record.kind).shares_node]


def _find_strain(trials: list[TrialData]) -> Strain:
    return Strain(
        _most(_find_stalled(t) for t in trials),
        _total(growth(t, NODE, "pswpout") for t in trials),
        _total(growth(t, NODE, "oom_kill") for t in trials),
    )


def _find_stalled(trial: TrialData) -> float | None:
    """Return the share of a trial in which some task stalled on memory; of several nodes, which are also added up, the most."""
    names = {str(entity) for entity, *_ in trial.samples_by_metric}
    nodes = sorted(name for name in names if name.startswith(f"{NODE}/")) or [NODE]
    stalled_s = _most(growth(trial, name, "psi_memory_some_s") for name in nodes)
    duration_s = trial.record.planned_duration_s
    return None if stalled_s is None or duration_s <= 0 else stalled_s / duration_s


def _most(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _total(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _say_stalled(strain: Strain, stretch: str) -> str:
    if not strain.stalled_fraction:
        return "" if strain.stalled_fraction is None else "no task stalled on memory"
    return f"tasks stalled on memory for at most {strain.stalled_fraction * 100:.2g}\u00a0% of {stretch}"


def _say_swapped(strain: Strain) -> str:
    if strain.swapped_pages is None:
        return ""
    return f"{strain.swapped_pages:.0f} pages swapped out" if strain.swapped_pages else "nothing swapped out"


def _say_killed(strain: Strain) -> str:
    if strain.kills is None:
        return ""
    if not strain.kills:
        return "no process killed for want of memory"
    return f"{strain.kills:.0f} process{'es' if strain.kills > 1 else ''} killed for want of memory, the node's or a cgroup's"
