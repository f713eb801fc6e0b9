"""A VM's cost for its node, read inside its launcher: the memory cgroup of the container, and QEMU's own counters.

One small shell loop runs in the container `compute` (pods/exec) and prints everything once a tick.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from freepage.kube.errors import ClusterError, ForbiddenError
from freepage.kube.resources import name_of, namespace_of
from freepage.kubevirt.launchers import COMPUTE
from freepage.sampling.cgroupfs import container_cgroup_files
from freepage.sampling.instances import CgroupTexts, ProcessTexts, parse_vm

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object
    from freepage.metrics import MetricValues
    from freepage.targets.cluster.latest import LatestValues

# A pause after the stream was lost, so that a launcher that cannot be read does not cost the API server much.
RETRY_S = 5.0
_FILES = container_cgroup_files()
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
    """Return the command that prints a launcher's numbers every `interval_s` seconds."""
    return ["/bin/sh", "-c", _LOOP % (" ".join((*_FILES[2], *_FILES[1])), interval_s)]


def parse_tick(text: str) -> MetricValues:
    """Read what one tick printed, by metric id; None is not known."""
    found: dict[str, str] = dict(
        re.findall(r"^== (\S+)\n(.*?)(?=^==)", text + "\n==", re.MULTILINE | re.DOTALL)
    )
    version = 2 if _FILES[2][0] in found else 1
    usage, stat = (found.get(path, "") for path in _FILES[version])
    qemu = (
        ProcessTexts(found["status"], found.get("stat", ""), found.get("tasks", ""))
        if "status" in found
        else None
    )
    return parse_vm(qemu, CgroupTexts(usage, stat, version))


async def follow_launcher(api: ClusterApi, pod: Object, usage: LatestValues, interval_s: float) -> None:
    """Keep `usage` current until cancelled: a lost stream is opened again, one that is refused (no pods/exec) ends it."""
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
                usage.update(parse_tick(ticks[-1].decode("utf-8", "replace")))
