"""Whether a namespace is there at all: an API server lists nothing in one that is not, and says no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.kube.errors import ForbiddenError, NotFoundError
from freepage.kube.resources import NAMESPACES

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi


async def check_namespace(api: ClusterApi, name: str) -> None:
    """Raise NotFoundError for a namespace that does not exist; one that may not be looked at passes."""
    try:
        await api.get(NAMESPACES, name)
    except ForbiddenError:
        return
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no namespace {name} in the cluster {api.server}",
            hint="kubectl get namespaces; -n chooses another",
        ) from error
