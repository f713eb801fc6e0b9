"""What a run owns in a cluster: one ConfigMap that all else of it goes with, and that says that the run is alive."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freepage.cluster.errors import ClusterError, ExistsError
from freepage.cluster.leftovers import ALIVE, OWNER_ROLE, wait_until_gone
from freepage.cluster.manifests import build_labels
from freepage.cluster.resources import CONFIG_MAPS, name_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.cluster.api import ClusterApi
    from freepage.cluster.resources import Object

RENEWAL_S = 30.0


def build_owner(run: str, namespace: str) -> Object:
    """Give the ConfigMap that all other objects of a run name as their owner."""
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            "name": f"freepage-run-{run}",
            "namespace": namespace,
            "labels": build_labels(run, OWNER_ROLE),
            "annotations": {ALIVE: _now()},
        },
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@asynccontextmanager
async def open_owner(api: ClusterApi, namespace: str, run: str) -> AsyncIterator[Object]:
    """Create a run's owner and keep it alive; at the end remove it, and wait until all that it owns is gone.

    ExistsError for a run that is there already: it is never taken over.
    """
    owner = await _create(api, namespace, run)
    renewal = asyncio.create_task(_keep_alive(api, namespace, name_of(owner)))
    try:
        yield owner
    finally:
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)
        await api.delete(CONFIG_MAPS, name_of(owner), namespace=namespace, propagation="Foreground")
        await wait_until_gone(api, namespace, run)


async def _create(api: ClusterApi, namespace: str, run: str) -> Object:
    try:
        return await api.create(CONFIG_MAPS, build_owner(run, namespace), namespace=namespace)
    except ExistsError as error:
        raise ExistsError(
            f"namespace {namespace} already has a run {run}",
            hint=f"`freepage clean --run {run}` removes what is left of it",
            status=error.status,
        ) from error


async def _keep_alive(api: ClusterApi, namespace: str, name: str) -> None:
    """Renew the sign of life for ever; what the cluster says no to now may work the next time."""
    while True:
        await asyncio.sleep(RENEWAL_S)
        with contextlib.suppress(ClusterError):
            patch = {"metadata": {"annotations": {ALIVE: _now()}}}
            await api.patch(CONFIG_MAPS, name, patch, namespace=namespace)
