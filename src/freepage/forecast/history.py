"""The trace of one VM from what KubeVirt has exported of it over time; arrays come in, whoever has fetched them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from freepage.forecast.trace import VmTrace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from freepage.forecast.trace import Array

    Bools = NDArray[np.bool_]

# What every forecast from such a history rests on.
ASSUMPTIONS = (
    "What a node has swapped out of a VM is not exported, and is left out of what the host holds now.",
    "After a migration only what the VM has touched on its new node counts as touched: memory without content is not copied.",
    "While a VM migrates the memory it takes on both nodes counts once.",
    "The statistics of a guest are as new as its balloon tells them (every 10 s by KubeVirt's default), and their age is not exported.",
    "Whether FPR was on meanwhile is not exported (freepage audit tells): where it was, it is in the numbers of now.",
)
_METRICS = {
    name: f"kubevirt_vmi_memory_{name}_bytes" for name in ("resident", "unused", "cached", "domain")
} | {"total": "kubevirt_vmi_memory_domain_bytes (nor available_bytes)"}
_WITHOUT = {
    "resident": "what the host holds now is not known",
    "unused": "how much of the guest is free is not known, so nothing is forecast: its kernel needs the balloon's driver, and "
    "KubeVirt's memBalloonStatsPeriod must not be 0",
    "cached": "what dropping the guest's page cache would add is not known",
    "domain": "the guest's MemTotal stands for its memory, though it lacks what the guest's kernel keeps for itself",
    "total": "how large the guest is is not known, so nothing is forecast",
}


def build_trace(
    vm: tuple[str, str],
    nodes: Sequence[str],
    t_s: Array,
    values: Mapping[str, Array],
    moved: Bools,
    started: Bools,
) -> VmTrace | None:
    """Return the trace of a VM (namespace, name); None where nothing is known of it at any time.

    values: resident, domain, available, unused and cached memory (bytes) by these names, arrays like t_s, NaN where missing;
    nodes: where it was, one after the other; moved, started: where it came to another node, or its guest booted, since the
    time before. Free memory that is negative, or more than the guest has, is taken as not known.
    """
    domain = values["domain"]
    total = values["available"] if np.isnan(domain).all() else domain
    resident, cached = (_drop(values[name], values[name] < 0) for name in ("resident", "cached"))
    impossible = (values["unused"] < 0) | (values["unused"] > total)
    free = _drop(values["unused"], impossible)
    kept = np.flatnonzero(~np.isnan(resident) | ~np.isnan(free))
    if not len(kept):
        return None
    return VmTrace(
        name="/".join(vm),
        t_s=t_s[kept],
        resident_bytes=resident[kept],
        total_bytes=total[kept],
        free_bytes=free[kept],
        reportable_bytes=np.full(len(kept), np.nan),
        cached_bytes=cached[kept],
        namespace=vm[0],
        node=nodes[-1] if nodes else "",
        gaps=_find_gaps(kept, moved | started),
        notes=(
            *(f"{_METRICS[name]} is not there: {_WITHOUT[name]}" for name in find_missing(values)),
            *_describe_stays(nodes, started),
            *_describe_impossible(int(np.count_nonzero(impossible))),
        ),
    )


def _drop(values: Array, wrong: Bools) -> Array:
    return np.where(wrong, np.nan, values)


def _find_gaps(kept: NDArray[Any], broken: Bools) -> tuple[int, ...]:
    """Return after which kept samples nothing is known: some are missing, or the VM moved or started before the next."""
    breaks = np.cumsum(broken)[kept]
    return tuple(int(i) for i in np.flatnonzero((np.diff(kept) > 1) | (np.diff(breaks) > 0)))


def find_missing(values: Mapping[str, Array]) -> list[str]:
    """Return the names of what was never there; of domain and available, either of which tells the total, one or "total"."""
    missing = [name for name in ("resident", "unused", "cached") if np.isnan(values[name]).all()]
    if np.isnan(values["domain"]).all():
        missing.append("total" if np.isnan(values["available"]).all() else "domain")
    return missing


def describe_missing(missing: Iterable[tuple[str, str]], count: int) -> list[str]:
    """Return a line for each number that some of `count` VMs lack, from pairs of a number's name and a VM's."""
    pairs = list(missing)
    lines = []
    for name, of_how_many in Counter(name for name, _ in pairs).items():
        vms = sorted(vm for each, vm in pairs if each == name)
        lines.append(
            f"{_METRICS[name]} is not there for {of_how_many} of {count} VMs ({_list_some(vms)}): {_WITHOUT[name]}."
        )
    return lines


def describe_shared(names: Sequence[str]) -> list[str]:
    """Return a line for VMs of whose name several clusters have one; none for none."""
    if not names:
        return []
    some = _list_some(names)
    return [
        f"several clusters have a VM of this name, so nothing is forecast: {some}; ask the cluster's own Prometheus."
    ]


def _list_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _describe_stays(nodes: Sequence[str], started: Bools) -> list[str]:
    """Return what happened to the VM meanwhile, and what follows for what it has touched."""
    times = int(np.count_nonzero(started))
    notes = []
    if len(nodes) > 1:
        way = " to ".join(nodes[-3:])
        notes.append(
            f"it moved {_times(len(nodes) - 1)} (last {way}): what it has touched counts anew from there"
        )
    if times:
        notes.append(f"its guest booted {_times(times)}: what it has touched counts anew from there")
    return notes


def _describe_impossible(count: int) -> list[str]:
    if not count:
        return []
    return [f"{_times(count)} its free memory was negative or more than it has, and is taken as not known"]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
