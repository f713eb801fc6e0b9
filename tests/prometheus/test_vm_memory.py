"""The memory of all VMs of a cluster: of each the numbers of one exporter at one time."""

from __future__ import annotations

import json
import time

import pytest

from freepage.fpr.stranded import stranded_bytes
from freepage.prometheus.client import Settings
from freepage.prometheus.series import TimeSeries
from freepage.prometheus.vm_memory import choose_reading, read_exporters, read_vm_memory
from freepage.units import GIB
from helpers.fake_prometheus import FakePrometheus, Held, serve

NAMES = ("resident", "available", "unused")
AT = {}


def held(name, vm, value, age_s=5.0, **labels):
    """One series of an exporter, with a sample every 30 s."""
    named = {"__name__": f"kubevirt_vmi_memory_{name}_bytes", "namespace": "apps", "name": vm}
    return Held(named | labels, [(AT["now"] - age_s - 30 * n, str(value)) for n in range(3)][::-1])


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    """Have all series of a test be scraped at the same times."""
    monkeypatch.setitem(AT, "now", time.time())


async def read(*series, warnings=()):
    notes = []
    fake = FakePrometheus(list(series), warnings=list(warnings))
    async with serve(fake) as url:
        return await read_vm_memory(Settings(url), notes), notes, fake


async def test_the_memory_of_500_vms_is_one_question():
    series = [held(name, f"vm-{n}", n) for n in range(500) for name in ("resident", "unused")]
    memory, notes, fake = await read(*series, held("available", "vm-3", "NaN"), held("usable", "vm-3", 1))
    assert len(fake.asked) == 1
    assert len(memory) == 500
    assert memory["apps", "vm-3"] == {"resident": 3.0, "unused": 3.0, "available": None}
    assert notes == []


@pytest.mark.parametrize("missing", ["NaN", None])
@pytest.mark.parametrize("target_first", [True, False])
async def test_of_a_vm_on_the_move_the_node_that_has_all_numbers_stands_for_it(missing, target_first):
    """While memory is copied both nodes export the VM: the target little of it, and nothing of the guest."""
    source = [held(n, "db", v * GIB, instance="10.0.0.1:8443") for n, v in zip(NAMES, (8, 8, 6), strict=True)]
    target = [held("resident", "db", GIB, age_s=1, instance="10.0.0.2:8443")]
    if missing is not None:
        target += [
            held("available", "db", missing, age_s=1, instance="10.0.0.2:8443"),
            held("unused", "db", 6 * GIB, age_s=1, instance="10.0.0.2:8443"),
        ]
    memory, notes, _ = await read(*((*target, *source) if target_first else (*source, *target)))
    values = memory["apps", "db"]
    assert values == {"resident": 8.0 * GIB, "available": 8.0 * GIB, "unused": 6.0 * GIB}
    assert stranded_bytes(values["resident"], 0, values["available"], values["unused"]).upper_bytes == 6 * GIB
    assert notes == []


async def test_a_vm_that_has_moved_has_the_numbers_of_where_it_is_now():
    left = [held(n, "db", 8 * GIB, age_s=200, node="a") for n in NAMES]
    there = [held(n, "db", 4 * GIB, age_s=10, node="b") for n in NAMES]
    memory, _, _ = await read(*left, *there)
    assert set(memory["apps", "db"].values()) == {4.0 * GIB}
    half, _, _ = await read(*left, *there[:2])
    assert half["apps", "db"] == {"resident": 4.0 * GIB, "available": 4.0 * GIB}


async def test_both_of_a_pair_of_prometheus_never_mix():
    pair = [held(n, "db", v, age_s=a, replica=r) for r, v, a in (("a", 1, 9), ("b", 2, 3)) for n in NAMES]
    memory, _, _ = await read(*pair[:4], *pair[4:])
    assert set(memory["apps", "db"].values()) == {2.0}


def test_all_numbers_are_of_one_scrape_and_a_missing_one_of_the_newest_does_not_mix():
    def series(name, *values):
        points = [(30.0 * n, value) for n, value in enumerate(values)]
        return TimeSeries({"__name__": f"kubevirt_vmi_memory_{name}_bytes", "instance": "a"}, points)

    (reading,) = read_exporters(
        [
            series("resident", 1.0, 2.0, 3.0),
            series("available", 8.0, 9.0, None),
            series("unused", 4.0, 5.0, 6.0),
        ]
    )
    assert (reading.at_s, reading.newest_s) == (30.0, 60.0)
    assert reading.values == {"resident": 2.0, "available": 9.0, "unused": 5.0}


def test_which_of_two_equals_stands_does_not_depend_on_their_order():
    both = [
        TimeSeries({"__name__": f"kubevirt_vmi_memory_{n}_bytes", "pod": pod}, [(0.0, value)])
        for pod, value in (("a", 1.0), ("b", 2.0))
        for n in NAMES
    ]
    chosen = [choose_reading(read_exporters(series)).values for series in (both, both[::-1])]
    assert chosen[0] == chosen[1]


async def test_vms_of_one_name_in_several_clusters_are_not_known_and_told():
    series = [held(n, "db", v, cluster=c) for c, v in (("east", 1), ("west", 2)) for n in NAMES]
    memory, notes, _ = await read(*series, *(held(n, "web", 3, cluster="east") for n in NAMES))
    assert memory["apps", "db"] == {}
    assert set(memory["apps", "web"].values()) == {3.0}
    assert notes == ["several clusters have a VM of this name, so its memory is not known: apps/db"]


async def test_numbers_that_are_old_are_told_with_their_age_and_so_is_a_partial_answer():
    series = [held(n, "db", 1, age_s=200) for n in NAMES]
    memory, notes, _ = await read(*series, warnings=["a store is away"])
    assert set(memory["apps", "db"].values()) == {1.0}
    assert notes[0] == "a store is away"
    assert notes[1].startswith("the newest numbers of these VMs are up to 3 min ")
    assert notes[1].endswith("old: apps/db")


async def test_an_instant_vector_is_read_as_well():
    def entry(name, value):
        labels = {"__name__": f"kubevirt_vmi_memory_{name}_bytes", "namespace": "apps", "name": "db"}
        return {"metric": labels, "value": [AT["now"], value]}

    result = [entry("resident", "8"), entry("available", 8), entry("unused", "6"), entry("other", "1")]
    body = {"status": "success", "data": {"resultType": "vector", "result": result}}
    async with serve(FakePrometheus(answer=(200, "application/json", json.dumps(body)))) as url:
        memory = await read_vm_memory(Settings(url))
    assert memory["apps", "db"] == {"resident": 8.0, "available": 8.0, "unused": 6.0}
