"""The options of a cluster as a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import HostError

if TYPE_CHECKING:
    from freepage.kube.login import Login

READY_DEADLINE_S = 300.0
# Many distributions wait two minutes for a network that never comes, and do what user data asks for last of all.
DISTRIBUTION_READY_DEADLINE_S = 600.0
CONCURRENCY = 32
# What is missing, and what to do about it.
_NO_GUEST = (
    "VMs of a cluster boot an image that its nodes can pull",
    "freepage image push REGISTRY/NAME:TAG, then --image REGISTRY/NAME:TAG",
)
_NO_PROGRAMS = (
    "programs such as fio reach a cluster in freepage's own image only",
    "freepage image build --study STUDY, freepage image push REF, then --image REF",
)
_NO_PODS = (
    "pods need an image that the nodes can pull; any small one will do, it only carries the worker",
    "--pod-image REF, or --image REF with freepage's own",
)


@dataclass(frozen=True)
class ClusterChoices:
    """None and () stand for what the cluster itself suggests.

    image: freepage's own, as `freepage image push` wrote it. vm_disk: any containerDisk with cloud-init instead.
    pod_image: any small image for pods and samplers; freepage's own where that is given. concurrency: instances started
    at once. offline: assume a cluster, and ask none. may_assume: whether a cluster may be assumed where there is no login,
    as nothing will be created.
    """

    login: Login
    nodes: tuple[str, ...] = ()
    image: str | None = None
    vm_disk: str | None = None
    pod_image: str | None = None
    pull_secret: str | None = None
    concurrency: int = CONCURRENCY
    offline: bool = False
    may_assume: bool = False

    @property
    def ready_deadline_s(self) -> float:
        """Return how many seconds an instance may take to its worker's ready."""
        return READY_DEADLINE_S if self.vm_disk is None else DISTRIBUTION_READY_DEADLINE_S

    def find_pod_image(self, *, programs: bool = False) -> str:
        """Return the image of a pod, or of one that runs programs; HostError where none was given."""
        if programs:
            return _require(self.image, _NO_PROGRAMS)
        return _require(self.pod_image or self.image, _NO_PODS)

    def find_boot_image(self, *, programs: bool) -> str | None:
        """Return freepage's image that a VM boots; None where it starts from `vm_disk`, HostError where it has neither."""
        if programs:
            return _require(self.image, _NO_PROGRAMS)
        return None if self.vm_disk is not None else _require(self.image, _NO_GUEST)


def _require(image: str | None, missing: tuple[str, str]) -> str:
    if image is None:
        problem, hint = missing
        raise HostError(problem, hint=hint)
    return image
