"""The memory of a cluster's VMs, as KubeVirt exports it: of each VM the numbers of one exporter at one time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.prometheus.client import open_prometheus
from freepage.prometheus.series import are_of_several_clusters
from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freepage.prometheus.client import Settings
    from freepage.prometheus.series import TimeSeries

# On the host; in the guest: MemTotal and MemFree.
VM_MEMORY = ("resident", "available", "unused")
# How far back samples are asked for: as far as Prometheus itself looks for a present value.
LOOK_BACK_S = 300
# An exporter that has had nothing new for this long, while another has, is one a VM has left; numbers as old are told.
STALE_S = 120.0
_PREFIX, _SUFFIX = "kubevirt_vmi_memory_", "_bytes"
_NAMED = 3

Vm = tuple[str, str]
Memory = dict[str, float | None]


@dataclass(frozen=True)
class Reading:
    """The numbers of one exporter of one VM at one time (s since 1970); newest_s: of its newest sample, known or not."""

    labels: Mapping[str, str]
    at_s: float
    newest_s: float
    values: Memory

    @property
    def known(self) -> int:
        return sum(value is not None for value in self.values.values())


async def read_vm_memory(settings: Settings, notes: list[str] | None = None) -> dict[Vm, Memory]:
    """Read the memory of every VM KubeVirt exports, now: bytes by (namespace, name), then by the names in VM_MEMORY.

    One query, however many VMs there are. What makes the numbers doubtful is appended to `notes`: how old some are, VMs
    that several clusters have, and what the server says beside its answer.
    """
    selector = f'{{__name__=~"{_PREFIX}({"|".join(VM_MEMORY)}){_SUFFIX}"}}'
    async with open_prometheus(settings) as client:
        found = await client.query(f"{selector}[{LOOK_BACK_S}s]")
    readings = {vm: read_exporters(series) for vm, series in _group_by_vm(found).items()}
    chosen = {vm: choose_reading(of_vm) for vm, of_vm in readings.items()}
    if notes is not None:
        notes += [*client.warnings, *_find_notes(chosen, client.answered_s)]
    return {vm: {} if reading is None else reading.values for vm, reading in chosen.items()}


def _group_by_vm(found: Iterable[TimeSeries]) -> dict[Vm, list[TimeSeries]]:
    by_vm: dict[Vm, list[TimeSeries]] = {}
    for series in found:
        if _name_of(series) in VM_MEMORY and series.points:
            vm = series.labels.get("namespace", ""), series.labels.get("name", "")
            by_vm.setdefault(vm, []).append(series)
    return by_vm


def _name_of(series: TimeSeries) -> str:
    return series.labels.get("__name__", "").removeprefix(_PREFIX).removesuffix(_SUFFIX)


def read_exporters(series: Iterable[TimeSeries]) -> list[Reading]:
    """Return a reading for each exporter of one VM: whatever differs in a label but the name is another exporter.

    It is also another where both of a pair of Prometheus have scraped the same one.
    """
    by_exporter: dict[frozenset[tuple[str, str]], dict[str, TimeSeries]] = {}
    for one in series:
        rest = frozenset((label, text) for label, text in one.labels.items() if label != "__name__")
        by_exporter.setdefault(rest, {})[_name_of(one)] = one
    return [_read_exporter(dict(labels), numbers) for labels, numbers in by_exporter.items()]


def _read_exporter(labels: Mapping[str, str], numbers: Mapping[str, TimeSeries]) -> Reading:
    """Return the newest time at which an exporter has all numbers; without one the newest of each it has."""
    newest_s = max(series.points[-1][0] for series in numbers.values())
    at_times: dict[float, Memory] = {}
    for name, series in numbers.items():
        for t, value in series.points:
            if value is not None:
                at_times.setdefault(t, {})[name] = value
    whole = [t for t, values in at_times.items() if len(values) == len(VM_MEMORY)]
    if whole:
        return Reading(labels, max(whole), newest_s, at_times[max(whole)])
    last = {
        name: max(((t, v[name]) for t, v in at_times.items() if name in v), default=None) for name in numbers
    }
    times = [point[0] for point in last.values() if point is not None]
    values = {name: None if point is None else point[1] for name, point in last.items()}
    return Reading(labels, min(times, default=newest_s), newest_s, values)


def choose_reading(readings: list[Reading]) -> Reading | None:
    """Choose the exporter whose numbers stand for a VM; None where they are of VMs of several clusters.

    Of those that still export it the one with the most numbers, then with the newest: while a VM migrates, the guest's are
    known on one node alone.
    """
    newest_s = max(reading.newest_s for reading in readings)
    present = [reading for reading in readings if newest_s - reading.newest_s <= STALE_S]
    if are_of_several_clusters([reading.labels for reading in present]):
        return None
    return max(present, key=lambda r: (r.known, r.at_s, sorted(r.labels.items())))


def _find_notes(chosen: Mapping[Vm, Reading | None], now_s: float) -> list[str]:
    shared = [vm for vm, reading in chosen.items() if reading is None]
    ages = {vm: now_s - reading.at_s for vm, reading in chosen.items() if reading is not None}
    old = {vm: age_s for vm, age_s in ages.items() if age_s > STALE_S}
    notes = []
    if shared:
        notes.append(f"several clusters have a VM of this name, so its memory is not known: {_list(shared)}")
    if old:
        oldest = format_duration(round(max(old.values())))
        notes.append(f"the newest numbers of these VMs are up to {oldest} old: {_list(old)}")
    return notes


def _list(vms: Iterable[Vm]) -> str:
    names = sorted("/".join(vm) for vm in vms)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
