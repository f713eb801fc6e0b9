"""OpenShift's own monitoring: its address, its CA and the token to ask it with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from freepage.kube.api import open_cluster
from freepage.kube.errors import ClusterError, ForbiddenError, NotFoundError
from freepage.kube.login import resolve_login
from freepage.kube.resources import CONFIG_MAPS, ROUTES, dig
from freepage.prometheus.client import Settings
from freepage.prometheus.errors import TOKEN_HINT, PrometheusError

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi
    from freepage.kube.login import Login

NAMESPACE = "openshift-monitoring"
ROUTE = "thanos-querier"
# OpenShift publishes the CA of its routes' certificates here.
CA_NAMESPACE = "openshift-config-managed"
CA_MAP = "default-ingress-cert"
CA_KEY = "ca-bundle.crt"


async def find_monitoring(login: Login) -> Settings:
    """Find the address of thanos-querier through the cluster's API, to be asked with the login's own token.

    Raises PrometheusError where there is no such route or the login has no token, and the errors of the cluster.
    """
    resolved = await asyncio.to_thread(resolve_login, login)
    if resolved.token is None:
        raise PrometheusError(
            f"OpenShift's monitoring wants a token, and the login of {resolved.source} has none",
            hint=TOKEN_HINT,
        )
    async with open_cluster(login) as api:
        return Settings(await _find_address(api), token=resolved.token, ca=await _read_ca(api))


async def _find_address(api: ClusterApi) -> str:
    try:
        route = await api.get(ROUTES, ROUTE, NAMESPACE)
    except NotFoundError as error:
        raise PrometheusError(
            f"{api.server} has no route {ROUTE} in {NAMESPACE}: it is no OpenShift, or has no monitoring",
            hint="give the address: --prometheus URL",
        ) from error
    except ForbiddenError as error:
        raise PrometheusError(
            f"this login may not read the route {ROUTE} of {NAMESPACE}",
            hint=f"give the address: --prometheus https://{ROUTE}-{NAMESPACE}.apps.DOMAIN with --prometheus-token-file",
        ) from error
    return f"https://{dig(route, 'spec', 'host')}"


async def _read_ca(api: ClusterApi) -> str | None:
    """Read the CA of the route's certificate; None where it may not be read: then the system's are trusted."""
    try:
        found = await api.get(CONFIG_MAPS, CA_MAP, CA_NAMESPACE)
    except ClusterError:
        return None
    certificates = dig(found, "data", CA_KEY)
    return str(certificates) if certificates else None
