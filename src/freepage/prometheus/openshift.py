"""OpenShift's own monitoring: where it answers, and as whom to ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from freepage.kube.api import open_cluster
from freepage.kube.errors import ClusterError, ForbiddenError, NotFoundError
from freepage.kube.login import find_access
from freepage.kube.resources import CONFIG_MAPS, ROUTES, dig
from freepage.prometheus.client import TOKEN_HINT, PrometheusError, Settings

if TYPE_CHECKING:
    from freepage.kube.api import ClusterApi, Login

NAMESPACE = "openshift-monitoring"
ROUTE = "thanos-querier"
# Where OpenShift publishes what its routes' certificates are signed by.
CA_NAMESPACE = "openshift-config-managed"
CA_MAP = "default-ingress-cert"
CA_KEY = "ca-bundle.crt"


async def find_monitoring(login: Login) -> Settings:
    """Find the address of thanos-querier through the cluster's API, to be asked with the login's own token.

    Raises PrometheusError where there is no such route or the login has no token, and the errors of the cluster.
    """
    access = await asyncio.to_thread(find_access, login)
    if access.token is None:
        raise PrometheusError(
            f"OpenShift's monitoring wants a token, and the login of {access.source} has none",
            hint=TOKEN_HINT,
        )
    async with open_cluster(login) as api:
        return Settings(await _find_address(api), token=access.token, ca=await _read_ca(api))


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
    """Read what the route's certificate is signed by; None where it may not be read, as for one the system trusts."""
    try:
        found = await api.get(CONFIG_MAPS, CA_MAP, CA_NAMESPACE)
    except ClusterError:
        return None
    certificates = dig(found, "data", CA_KEY)
    return str(certificates) if certificates else None
