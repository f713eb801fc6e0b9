"""Series of KubeVirt's about the memory of one VM, as a Prometheus holds them."""

from __future__ import annotations

from freepage.units import GIB
from helpers.fake_prometheus import Held

# A guest of 8 GiB with 5 GiB free, of which its host holds 7 GiB.
USUAL = {"resident": 7 * GIB, "domain": 8 * GIB, "available": 7.8 * GIB, "unused": 5 * GIB, "cached": GIB}


def vm_series(times, name="db", *, namespace="apps", node="n1", old=False, faults=None, **values):
    """One exporter's series of a VM at some times; a value is a number, a function of the time, or None for no series.

    faults: the guest's count of page faults as a function of the time. old: under the names of KubeVirt 1.0. What is no
    number of USUAL is a label.
    """
    labels = {key: values.pop(key) for key in list(values) if key not in USUAL}
    labels = {"namespace": namespace, "name": name, "node": node} | labels
    chosen = {_full(key, old): value for key, value in (USUAL | values).items()}
    chosen["kubevirt_vmi_memory_pgminfault" + ("" if old else "_total")] = faults or (lambda t: t)
    return [
        Held(
            {"__name__": metric} | labels,
            [(float(t), str(value(t) if callable(value) else value)) for t in times],
        )
        for metric, value in chosen.items()
        if value is not None
    ]


def _full(key, old):
    return f"kubevirt_vmi_memory_{key}_bytes" + ("_total" if old and key == "domain" else "")
