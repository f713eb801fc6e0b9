"""The numbers of VMs that KubeVirt exports, on a grid of times; of several exporters of one VM, the one that stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from freepage.prometheus.series import CLUSTER_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from freepage.prometheus.series import TimeSeries

    Array = NDArray[np.float64]
    Indices = NDArray[np.intp]

Vm = tuple[str, str]
PREFIX = "kubevirt_vmi_memory_"
# On the host; the guest's memory as QEMU has it; in the guest: MemTotal, MemFree, page cache, and its count of page faults,
# which begins anew whenever the guest boots and goes on through a migration.
METRICS = ("resident", "domain", "available", "unused", "cached", "pgminfault")
# KubeVirt 1.0 has "_total" behind the domain's memory and not behind the count, later ones have it the other way round.
NAMES = f"{PREFIX}({'|'.join(METRICS)})(_bytes)?(_total)?"
# Where a scrape does not honour the exporter's labels, the VM's own stand here, and the exporter's in their place.
EXPORTED = "exported_"


@dataclass(frozen=True)
class Grid:
    """`count` times from `start_s` (whole seconds since 1970) on, `step_s` apart."""

    start_s: int
    step_s: int
    count: int


@dataclass(frozen=True)
class Exporter:
    """One exporter's numbers of one VM: its labels but the name; values of shape (METRICS, times), NaN where it has none."""

    labels: dict[str, str]
    values: Array


def parse_metric(name: str) -> str | None:
    """Return which of METRICS a series is, by its full name; None for any other."""
    short = name.removeprefix(PREFIX).removesuffix("_total").removesuffix("_bytes")
    return short if short in METRICS else None


def name_vm(labels: Mapping[str, str]) -> Vm:
    """Return the namespace and the name of the VM that a series is about."""
    return own_label(labels, "namespace"), own_label(labels, "name")


def own_label(labels: Mapping[str, str], name: str) -> str:
    """Return a label as the exporter gave it; "" for none."""
    return labels.get(f"{EXPORTED}{name}") or labels.get(name, "")


def find_place(labels: Mapping[str, str]) -> dict[str, str]:
    """Return where a VM was, as far as the labels of an exporter tell: its node, and the cluster where they name one."""
    clusters = {label: labels[label] for label in CLUSTER_LABELS if label in labels}
    return clusters | {"node": own_label(labels, "node") or labels.get("instance", "")}


def find_exporters(series: Iterable[TimeSeries], grid: Grid) -> dict[Vm, list[Exporter]]:
    """Return the exporters of each VM, always in the same order.

    Whatever differs in a label but the name is another exporter: of another node, of a restarted virt-handler, or the
    same one as the other of a pair of Prometheus has scraped it.
    """
    found: dict[Vm, dict[tuple[tuple[str, str], ...], Exporter]] = {}
    for one in series:
        metric = parse_metric(one.labels.get("__name__", ""))
        if metric is not None and one.points:
            labels = {label: text for label, text in one.labels.items() if label != "__name__"}
            of_vm, key = found.setdefault(name_vm(labels), {}), tuple(sorted(labels.items()))
            if key not in of_vm:
                of_vm[key] = Exporter(labels, np.full((len(METRICS), grid.count), np.nan))
            _place(of_vm[key].values[METRICS.index(metric)], one, grid)
    return {vm: [of_vm[key] for key in sorted(of_vm)] for vm, of_vm in found.items()}


def _place(row: Array, series: TimeSeries, grid: Grid) -> None:
    """Put the points of a series where they belong on the grid; what lies beside it is left out."""
    times, values = (np.array(column, dtype=float) for column in zip(*series.points, strict=True))
    at = np.rint((times - grid.start_s) / grid.step_s).astype(int)
    inside = (at >= 0) & (at < grid.count) & ~np.isnan(values)
    row[at[inside]] = values[inside]


def merge_exporters(exporters: Sequence[Exporter]) -> tuple[Array, Indices]:
    """Return the numbers of one exporter at each time, never a mixture, and which one it was (-1 where none has any).

    The one with the most numbers stands: while a VM migrates, the guest's are known on one node alone. Of equals the one
    that came last: what a VM has left is still told for up to five minutes. Of those always the same.
    """
    values = np.stack([exporter.values for exporter in exporters])
    known = np.count_nonzero(~np.isnan(values), axis=1)
    times, order = np.arange(known.shape[1]), np.arange(len(exporters))[:, np.newaxis]
    score = (known * (len(times) + 1) + _find_begin(known > 0)) * len(exporters) + order
    chosen = score.argmax(axis=0)
    return values[chosen, :, times].T, np.where(known.max(axis=0) > 0, chosen, -1)


def _find_begin(present: NDArray[np.bool_]) -> Indices:
    """Return for each exporter and time the time since which it is there without a break."""
    before = np.pad(present[:, :-1], ((0, 0), (1, 0)))
    begins = np.where(present & ~before, np.arange(present.shape[1]), 0)
    return np.maximum.accumulate(begins, axis=1)
