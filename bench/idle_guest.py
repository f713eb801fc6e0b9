"""Measure what an idle 1 GiB guest costs the host: goal under 3 s to boot and under 150 MiB beyond TCG's buffer.

Needs QEMU. The translation buffer is the mapping of its size; what of it is resident is subtracted.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import tempfile
import time
from pathlib import Path

from freepage.image.guest import build_guest
from freepage.targets.local.qemu_command import TCG_BUFFER_MIB, VmShape
from freepage.targets.local.vm import open_vm
from freepage.units import GIB, KIB, MIB

RUNS = 5
SETTLE_S = 5.0


async def boot() -> tuple[float, float, float]:
    """Return the seconds from boot to the worker's ready, and once reports have settled anonymous memory and buffer (bytes)."""
    shape = VmShape("idle", GIB, cpus=1, reporting=True, accelerator="tcg")
    with tempfile.TemporaryDirectory() as folder:
        guest = build_guest()
        start_s = time.monotonic()
        async with open_vm(shape, guest, Path(folder), None) as vm:
            ready_s = time.monotonic() - start_s
            await asyncio.sleep(SETTLE_S)
            return ready_s, vm.read_usage()["rss_anon_bytes"] or 0.0, find_buffer_bytes(vm.pid)


def find_buffer_bytes(pid: int) -> float:
    """Find what is resident of the mapping as large as TCG's buffer (a guard page less)."""
    smaps = Path(f"/proc/{pid}/smaps").read_text(encoding="ascii")
    mappings = re.findall(r"^Size:\s+(\d+) kB\n(?:.*\n)*?Rss:\s+(\d+) kB", smaps, re.MULTILINE)
    resident = [int(rss) * KIB for size, rss in mappings if 0 < TCG_BUFFER_MIB * MIB - int(size) * KIB < MIB]
    return float(max(resident, default=0))


async def measure() -> None:
    await boot()
    boots = [await boot() for _ in range(RUNS)]
    ready_s, anonymous, buffer = (statistics.median(values) for values in zip(*boots, strict=True))
    beyond = (anonymous - buffer) / MIB
    print(f"ready after {ready_s:.2f} s; goal: under 3 s: {'met' if ready_s < 3 else 'missed'}")
    print(
        f"idle 1 GiB guest: {anonymous / MIB:.0f} MiB anonymous, {buffer / MIB:.0f} MiB of it translation buffer"
    )
    print(f"beyond the buffer {beyond:.0f} MiB; goal: under 150 MiB: {'met' if beyond < 150 else 'missed'}")


if __name__ == "__main__":
    asyncio.run(measure())
