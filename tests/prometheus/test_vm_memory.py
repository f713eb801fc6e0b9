"""The memory of all VMs of a cluster."""

from __future__ import annotations

import time

from freepage.prometheus.client import Settings
from freepage.prometheus.vm_memory import read_vm_memory
from helpers.fake_prometheus import FakePrometheus, Held, serve


async def test_the_memory_of_500_vms_is_one_question():
    def held(name, n, value):
        labels = {
            "__name__": f"kubevirt_vmi_memory_{name}_bytes",
            "namespace": f"ns-{n % 7}",
            "name": f"vm-{n}",
        }
        return Held(labels, [(time.time() - 5, value)])

    fake = FakePrometheus([held(name, n, str(n)) for n in range(500) for name in ("resident", "unused")])
    fake.series.append(held("available", 3, "NaN"))
    fake.series.append(held("usable", 3, "1"))
    async with serve(fake) as url:
        memory = await read_vm_memory(Settings(url))
    assert len(fake.asked) == 1
    assert len(memory) == 500
    assert memory["ns-3", "vm-3"] == {"resident": 3.0, "unused": 3.0, "available": None}
