"""The memory that KubeVirt requests of a node for a VM: by its own reckoning, and by a launcher that is there to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.image.architecture import ARM64
from freepage.kube.quantities import parse_quantity
from freepage.kube.resources import dig
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.image.architecture import Architecture
    from freepage.kube.resources import Object
    from freepage.targets.cluster.vmi_manifests import VmiShape

# By KubeVirt's GetMemoryOverhead (pkg/hypervisor/kvm, before 1.8 pkg/virt-controller/services), August 2026: its monitor 25 MiB,
# its launcher 100, virtlogd 25, virtqemud 40, QEMU 50. Versions from 1.0 on came to 210 to 220 MiB.
PROCESSES_BYTES = (25 + 100 + 25 + 40 + 50) * MIB
# For each virtual CPU, and once for the I/O thread.
THREAD_BYTES = 8 * MIB
# A bit for every 512 bytes of the guest's memory, as KubeVirt reckons page tables.
TABLE_DIVISOR = 512
# The two flash chips of the firmware of QEMU's machine "virt".
ARM64_BYTES = 128 * MIB
# Containers beside it: the console's log (35M), and one for each image where those are no image volumes (1M).
CONSOLE_LOG_BYTES = 35_000_000
IMAGE_BYTES = 1_000_000
_RATIO = ("spec", "configuration", "additionalGuestMemoryOverheadRatio")


def read_overhead_ratio(kubevirt: Object | None) -> float:
    """Read the factor by which a cluster multiplies what it adds to guests' memory; 1 where its KubeVirt object has none."""
    ratio = parse_quantity(dig(kubevirt, *_RATIO))
    return 1.0 if ratio is None else ratio


def read_request_bytes(pod: Object) -> int:
    """Return the memory (bytes) that a pod requests of its node, as Kubernetes' scheduler adds it up.

    That is its containers and those init containers that go on (restartPolicy Always), or the largest init container beside
    those that were started before it, if that is more; and the overhead of its runtime class.
    """
    spec = pod.get("spec") or {}
    going_on = largest = 0.0
    for container in spec.get("initContainers") or ():
        asked = _container_bytes(container)
        if container.get("restartPolicy") == "Always":
            going_on += asked
        else:
            largest = max(largest, going_on + asked)
    together = going_on + sum(_container_bytes(c) for c in spec.get("containers") or ())
    return round(max(together, largest) + (parse_quantity(dig(spec, "overhead", "memory")) or 0))


def _container_bytes(container: Object) -> float:
    resources = container.get("resources") or {}
    asked = dig(resources, "requests", "memory") or dig(resources, "limits", "memory")
    return parse_quantity(asked) or 0


@dataclass
class LauncherMemory:
    """The memory that launchers of a cluster's VMs request.

    ratio: the cluster's own factor. correction_bytes: how much more than the reckoning the launcher seen last requested.
    """

    architecture: Architecture
    ratio: float = 1.0
    correction_bytes: int = 0

    def estimate_bytes(self, shape: VmiShape) -> int:
        """Return the memory (bytes) that the launcher of a VM requests."""
        return self._reckon_bytes(shape) + self.correction_bytes

    def observe(self, shape: VmiShape, launcher: Object) -> None:
        """Take the request of a launcher that is there for what launchers request."""
        self.correction_bytes = read_request_bytes(launcher) - self._reckon_bytes(shape)

    def _reckon_bytes(self, shape: VmiShape) -> int:
        own = PROCESSES_BYTES + THREAD_BYTES * (shape.cpus + 1) + shape.memory_bytes // TABLE_DIVISOR
        if self.architecture == ARM64:
            own += ARM64_BYTES
        return shape.memory_bytes + round(own * self.ratio) + CONSOLE_LOG_BYTES + IMAGE_BYTES * shape.images
