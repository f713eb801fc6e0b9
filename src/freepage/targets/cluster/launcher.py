"""What a VM costs its node, read inside its launcher: the memory cgroup of the container, and QEMU's own numbers.

One small shell loop runs in the container `compute` (pods/exec) and prints everything once a tick.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from freepage.kube.errors import ClusterError, ForbiddenError
from freepage.kube.resources import name_of, namespace_of
from freepage.kubevirt.launchers import COMPUTE
from freepage.sampling.cgroupfs import parse_instance_cgroup
from freepage.sampling.procfs import parse_status, parse_task_stat

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.targets.cluster.latest import LatestValues

Values = dict[str, float | None]

# A pause after the stream was lost, so that a launcher that cannot be read does not cost the API server much.
RETRY_S = 5.0
_CGROUPS = {2: "/sys/fs/cgroup", 1: "/sys/fs/cgroup/memory"}
_FILES = {2: ("memory.current", "memory.stat"), 1: ("memory.usage_in_bytes", "memory.stat")}
# Each file after a line "== NAME", all of a tick before a line "==". The pid of QEMU is looked for until it is there.
_LOOP = r"""
q=
while :; do
  if [ -z "$q" ]; then for p in /proc/[0-9]*; do
    read -r c < "$p/comm" && case $c in qemu*) q=$p;; esac
  done 2> /dev/null; fi
  for f in %s; do if [ -r "$f" ]; then echo "== $f"; cat "$f"; fi; done
  if [ -n "$q" ]; then
    echo "== status"; cat "$q/status"; echo "== stat"; cat "$q/stat"; echo "== tasks"; cat "$q"/task/*/stat
  fi 2> /dev/null
  echo "=="
  sleep %g || exit
done
"""


def build_loop(interval_s: float) -> list[str]:
    """Give the command that prints a launcher's numbers every `interval_s` seconds."""
    files = [f"{_CGROUPS[version]}/{name}" for version in (2, 1) for name in _FILES[version]]
    return ["/bin/sh", "-c", _LOOP % (" ".join(files), interval_s)]


def parse_tick(text: str) -> Values:
    """Read what one tick printed, by metric id; what it lacks is missing."""
    found = dict(re.findall(r"^== (\S+)\n(.*?)(?=^==)", text + "\n==", re.MULTILINE | re.DOTALL))
    version = 2 if f"{_CGROUPS[2]}/memory.current" in found else 1
    usage, stat = (found.get(f"{_CGROUPS[version]}/{name}", "") for name in _FILES[version])
    values = parse_instance_cgroup(usage, stat, version)
    if "status" in found:
        values |= parse_status(found["status"])
    if found.get("stat", "").strip():
        values |= _parse_qemu_cpu(found["stat"], found.get("tasks", ""))
    return values


def _parse_qemu_cpu(stat: str, tasks: str) -> Values:
    """Read QEMU's CPU by kind of thread: libvirt has QEMU name its threads, "CPU 0/KVM" those that execute the guest."""
    total_s, minor, major = parse_task_stat(stat)
    pid = stat.split(" ", 1)[0]
    times: dict[str, float] = {"vcpu": 0.0, "main_loop": 0.0, "other": 0.0}
    for line in tasks.splitlines():
        kind = "vcpu" if "(CPU " in line else "main_loop" if line.startswith(f"{pid} ") else "other"
        times[kind] += parse_task_stat(line)[0]
    return {
        **{f"cpu_{kind}_s": seconds if tasks.strip() else None for kind, seconds in times.items()},
        "cpu_total_s": total_s,
        "minor_faults": minor,
        "major_faults": major,
    }


async def follow_launcher(api: ClusterApi, pod: Object, usage: LatestValues, interval_s: float) -> None:
    """Keep `usage` up to date for ever: a lost stream is opened again, one that is refused (no pods/exec) ends it."""
    while True:
        try:
            await _follow_once(api, pod, usage, interval_s)
        except ForbiddenError:
            return
        except (OSError, ClusterError):
            pass  # an API server that is away comes back
        await asyncio.sleep(RETRY_S)


async def _follow_once(api: ClusterApi, pod: Object, usage: LatestValues, interval_s: float) -> None:
    command = build_loop(interval_s)
    async with api.open_exec(name_of(pod), command, namespace=namespace_of(pod), container=COMPUTE) as stream:
        waiting = b""
        while data := await stream.read():
            *ticks, waiting = (waiting + data).split(b"\n==\n")
            if ticks:
                usage.put(parse_tick(ticks[-1].decode("utf-8", "replace")))
