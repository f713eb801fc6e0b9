"""The options of a cluster as a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepage.kube.login import Login

READY_DEADLINE_S = 300.0
# Many distributions wait two minutes for a network that never comes, and do what user data asks for last of all.
DISTRIBUTION_READY_DEADLINE_S = 600.0
CONCURRENCY = 32


@dataclass(frozen=True)
class ClusterChoices:
    """None and () stand for what the cluster itself suggests.

    image: freepage's own, as `freepage image push` wrote it. vm_disk: any containerDisk with cloud-init instead.
    pod_image: any small image for pods and samplers; freepage's own where that is given. concurrency: instances started
    at once.
    """

    login: Login
    nodes: tuple[str, ...] = ()
    image: str | None = None
    vm_disk: str | None = None
    pod_image: str | None = None
    pull_secret: str | None = None
    concurrency: int = CONCURRENCY

    @property
    def image_for_pods(self) -> str | None:
        return self.pod_image or self.image

    @property
    def ready_deadline_s(self) -> float:
        """Return how many seconds an instance may take to its worker's ready."""
        return READY_DEADLINE_S if self.vm_disk is None else DISTRIBUTION_READY_DEADLINE_S
