"""The owner of a run's objects: one ConfigMap that all others are removed with, and that shows that the run is alive."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freepage.aio import finish
from freepage.errors import FreepageError
from freepage.kube.errors import ClusterError, ExistsError, UnreachableError
from freepage.kube.resources import CONFIG_MAPS, name_of
from freepage.targets.cluster.leftovers import ALIVE, OWNER_ROLE, wait_until_gone
from freepage.targets.cluster.manifests import build_labels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object

RENEWAL_S = 30.0


def build_owner(run: str, namespace: str) -> Object:
    """Return the ConfigMap that all other objects of a run name as their owner."""
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            "name": _owner_name(run),
            "namespace": namespace,
            "labels": build_labels(run, OWNER_ROLE),
            "annotations": {ALIVE: _now()},
        },
    }


def _owner_name(run: str) -> str:
    return f"freepage-run-{run}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@asynccontextmanager
async def open_owner(api: ClusterApi, namespace: str, run: str) -> AsyncIterator[Object]:
    """Create a run's owner and keep it alive; at the end remove it, and wait until all that it owns is gone.

    ExistsError for a run that is there already: it is never taken over.
    """
    try:
        owner = await _create(api, namespace, run)
    except (asyncio.CancelledError, UnreachableError):
        # The cluster may have created it all the same.
        with contextlib.suppress(ClusterError):
            await finish(_delete(api, namespace, run))
        raise
    renewal = asyncio.create_task(_keep_alive(api, namespace, name_of(owner)))
    try:
        yield owner
    finally:
        first = sys.exception()
        renewal.cancel()
        try:
            await finish(_delete(api, namespace, run))
            await asyncio.gather(renewal, return_exceptions=True)
            await wait_until_gone(api, namespace, run)
        except ClusterError as error:
            raise _build_removal_error(namespace, run, error, first) from error


async def _create(api: ClusterApi, namespace: str, run: str) -> Object:
    try:
        return await api.create(CONFIG_MAPS, build_owner(run, namespace), namespace=namespace)
    except ExistsError as error:
        raise ExistsError(
            f"namespace {namespace} already has a run {run}",
            hint=f"`freepage clean --run {run}` removes what is left of it",
            status=error.status,
        ) from error


async def _delete(api: ClusterApi, namespace: str, run: str) -> None:
    await api.delete(CONFIG_MAPS, _owner_name(run), namespace=namespace, propagation="Foreground")


def _build_removal_error(
    namespace: str, run: str, error: ClusterError, first: BaseException | None
) -> ClusterError:
    """Return the error for a run that could not be removed, with the one that had ended it before."""
    before = ""
    if isinstance(first, FreepageError) and first.message != error.message:
        before = f"{first.message}; and then "
    clean = f"`freepage clean -n {namespace} --run {run}` removes what is left of it"
    return ClusterError(
        f"{before}run {run} could not be removed: {error.message}",
        hint=f"{error.hint}; then {clean}" if error.hint else clean,
        status=error.status,
    )


async def _keep_alive(api: ClusterApi, namespace: str, name: str) -> None:
    """Renew the sign of life until cancelled; a renewal that is refused now may work the next time."""
    while True:
        await asyncio.sleep(RENEWAL_S)
        with contextlib.suppress(ClusterError):
            patch = {"metadata": {"annotations": {ALIVE: _now()}}}
            await api.patch(CONFIG_MAPS, name, patch, namespace=namespace)
