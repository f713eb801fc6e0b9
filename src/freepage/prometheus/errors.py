"""The errors of asking a Prometheus, and what to do about them."""

from __future__ import annotations

from freepage.errors import FreepageError

TOKEN_HINT = "give a token with --prometheus-token-file, for example of: oc whoami -t"  # noqa: S105 - how to get one
RIGHTS_HINT = (
    "let the user read metrics: oc adm policy add-cluster-role-to-user cluster-monitoring-view USER "
    "(elsewhere, what the proxy before Prometheus asks for)"
)
ADDRESS_HINT = "give the address Prometheus or Thanos answers at, as http://HOST:9090"
PAGE_HINT = f"it may want a login ({TOKEN_HINT}), or stand at another path: {ADDRESS_HINT}"
TENANCY_HINT = "this is a port for one namespace (OpenShift's 9092): ask the one for all, thanos-querier's 9091 or its route"
LATER_HINT = "ask again later: freepage prometheus RUN --prometheus URL"
CA_HINT = (
    "give the CA with --prometheus-ca-file; OpenShift has it in the ConfigMap default-ingress-cert of "
    "openshift-config-managed"
)


class PrometheusError(FreepageError):
    """Prometheus cannot be asked, or does not answer as one."""

    exit_status = 8


class QueryError(PrometheusError):
    """Prometheus refuses one query, or could not finish it; others may work."""
