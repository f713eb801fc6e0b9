"""What an idle 1 GiB guest costs the host: goal under 3 s to boot and under 150 MiB beyond TCG's buffer.

Needs QEMU. Under TCG the translation buffer and its tables are subtracted: what the first boot of a guest of the same
kind with twice the buffer costs more tells how much a MiB of buffer takes.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from freepage.image.guest import build_guest
from freepage.targets.local import qemu_command
from freepage.targets.local.qemu_command import VmShape
from freepage.targets.local.vm import open_vm
from freepage.units import GIB, MIB

RUNS = 5
SETTLE_S = 5.0


async def boot(buffer_mib: int) -> tuple[float, float]:
    """Boot once; give the seconds to the worker's ready, and anonymous memory on the host once reports have settled."""
    qemu_command.TCG_BUFFER_MIB = buffer_mib
    shape = VmShape("idle", GIB, cpus=1, reporting=True, accelerator="tcg")
    with tempfile.TemporaryDirectory() as folder:
        start_s = time.monotonic()
        async with open_vm(shape, build_guest(), Path(folder), None) as vm:
            ready_s = time.monotonic() - start_s
            await asyncio.sleep(SETTLE_S)
            return ready_s, vm.read_usage()["rss_anon_bytes"] or 0.0


async def measure() -> None:
    await boot(32)
    small = [await boot(32) for _ in range(RUNS)]
    large = [await boot(64) for _ in range(RUNS)]
    ready_s = statistics.median(s for s, _ in small)
    anonymous = statistics.median(b for _, b in small)
    buffer = max(0.0, statistics.median(b for _, b in large) - anonymous)
    print(f"ready after {ready_s:.2f} s; goal: under 3 s: {'met' if ready_s < 3 else 'missed'}")
    beyond = (anonymous - buffer) / MIB
    print(
        f"idle 1 GiB guest: {anonymous / MIB:.0f} MiB anonymous, {buffer / MIB:.0f} MiB for a buffer of 32 MiB"
    )
    print(f"beyond the buffer {beyond:.0f} MiB; goal: under 150 MiB: {'met' if beyond < 150 else 'missed'}")


if __name__ == "__main__":
    asyncio.run(measure())
