"""The memory that a host holds for VMs whose use is known: all they ever touched, or what FPR's passes have left, or what they use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freepage.forecast.demand import UsedMemory
from freepage.forecast.fleet import Case
from freepage.fpr.mechanics import MOST_PASSES, REPORT_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.forecast.fleet import Bytes, VmKind, Whole, Window
    from freepage.fpr.mechanics import Passes

    # VM, second and bytes of each change, in any order.
    _Scattered = tuple[Whole, Whole, Bytes]

# Later than any second.
_NEVER = 2.0**60


@dataclass(frozen=True, eq=False)
class Changes:
    """Changes of what a host holds, of one VM after the other: from second at_s[i] on it holds bytes[i] more.

    firsts: where the changes of each VM begin, and the end of all. steady_bytes: what it holds for each beside them.
    """

    at_s: Whole
    bytes: Bytes
    firsts: Whole
    steady_bytes: float

    def __len__(self) -> int:
        return len(self.firsts) - 1

    def of(self, first: int, end: int, window: Window) -> Bytes:
        """Return what the host holds for the VMs from first up to end together, at each second of a window."""
        chosen = slice(self.firsts[first], self.firsts[end])
        changes = np.bincount(self.at_s[chosen], self.bytes[chosen], minlength=window.end_s)
        held = np.cumsum(changes[: window.end_s], dtype=float)[window.start_s :]
        held += (end - first) * self.steady_bytes
        return held


def find_holding(kind: VmKind, levels: Mapping[Case, UsedMemory], case: Case) -> Changes:
    """Return what a host holds for VMs of a kind in a case; overhead is none of the ideal."""
    if case is Case.IDEAL:
        return _gather([_follow(levels[case])], len(levels[case].at_s), 0.0)
    vms = len(levels[case].at_s)
    if case is Case.WITHOUT:
        return _gather([_keep(levels[case])], vms, kind.overhead_bytes)
    released = _follow(levels[case]) if kind.passes is None else _release(levels[case], kind.passes)
    stranded = kind.stranded_fraction
    if not stranded:
        return _gather([released], vms, kind.overhead_bytes)
    parts = [_scale(released, 1 - stranded), _scale(_keep(levels[Case.WITHOUT]), stranded)]
    return _gather(parts, vms, kind.overhead_bytes)


def _gather(parts: list[_Scattered], vms: int, steady_bytes: float) -> Changes:
    """Return changes in the order of their VMs."""
    vm, at_s, change = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.argsort(vm.astype(np.int16), kind="stable")
    firsts = np.concatenate([[0], np.cumsum(np.bincount(vm, minlength=vms))])
    return Changes(at_s[order], change[order], firsts, steady_bytes)


def _scale(part: _Scattered, factor: float) -> _Scattered:
    vm, at_s, change = part
    return vm, at_s, factor * change


def _follow(levels: UsedMemory) -> _Scattered:
    """Return the changes between levels."""
    change = np.diff(levels.bytes, axis=1, prepend=0.0)
    vm, column = np.nonzero(change)
    return vm, levels.at_s[vm, column], change[vm, column]


def _keep(levels: UsedMemory) -> _Scattered:
    """Return the changes where nothing ever goes back: the running maximum."""
    return _follow(UsedMemory(levels.at_s, np.maximum.accumulate(levels.bytes, axis=1)))


def _release(levels: UsedMemory, passes: Passes) -> _Scattered:
    """Return the changes where freed memory goes back pass by pass, after mm/page_reporting.c (fpr/release.py).

    The first pass comes one delay after memory became free, the others one delay apart while there is more. Each
    reports as many blocks as the kernel takes of a list that has all that was freed since there was nothing to report.
    What is allocated before it was reported is taken from it: reported blocks stand at the end of their list.
    """
    used, at_s = (np.ascontiguousarray(a.T) for a in (levels.bytes, levels.at_s))
    ends_s = np.concatenate([at_s[1:], np.full_like(at_s[-1:], _NEVER / 2)])
    rises, first_s, per_pass, freed = (np.zeros(used.shape) for _ in range(4))
    held, top, due_s = np.zeros(used.shape[1]), np.zeros(used.shape[1]), np.full(used.shape[1], _NEVER)
    for n in range(len(used)):
        rises[n] = np.maximum(used[n] - held, 0.0)
        held += rises[n]
        left = held - used[n]
        begins = (left > 0) & (due_s == _NEVER)
        top = np.where(begins, held, top)
        due_s = np.where(begins, at_s[n] + passes.delay_s, due_s)
        per_pass[n] = _bytes_per_pass(np.maximum(top - used[n], 0.0), passes)
        needed = np.ceil(left / per_pass[n])
        possible = np.ceil((ends_s[n] - due_s) / passes.delay_s)
        done = np.minimum(np.maximum(possible, 0.0), needed)
        freed[n] = np.minimum(left, done * per_pass[n])
        first_s[n] = due_s
        held -= freed[n]
        due_s = np.where(done == needed, _NEVER, due_s + done * passes.delay_s)
    risen = np.nonzero(rises)
    falls = _spread(first_s, per_pass, freed, passes.delay_s)
    rose = (risen[1], at_s[risen], rises[risen])
    vm, seconds, change = (np.concatenate(both) for both in zip(rose, falls, strict=True))
    return vm, seconds, change


def _bytes_per_pass(listed_bytes: Bytes, passes: Passes) -> Bytes:
    """Return the bytes that a pass reports of one list (fpr.release.blocks_per_pass), of many lists at once."""
    budget = np.ceil(np.ceil(listed_bytes / passes.block_bytes) / (REPORT_BLOCKS * MOST_PASSES))
    return np.asarray(passes.block_bytes * REPORT_BLOCKS * (budget + 1))


def _spread(first_s: Bytes, per_pass: Bytes, freed: Bytes, delay_s: float) -> _Scattered:
    """Return a fall for each pass: of all that is freed after a level began, `per_pass` at a time."""
    at = np.nonzero(freed)
    first_s, per_pass, freed = (a[at] for a in (first_s, per_pass, freed))
    count = np.ceil(freed / per_pass).astype(np.int64)
    which = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    left = freed[which] - number * per_pass[which]
    at_s = np.ceil(first_s[which] + number * delay_s).astype(np.int64)
    return at[1][which], at_s, -np.minimum(left, per_pass[which])
