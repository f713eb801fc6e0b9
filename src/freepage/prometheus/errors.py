"""The errors of asking a Prometheus, and what to do about them."""

from __future__ import annotations

from freepage.errors import FreepageError

TOKEN_HINT = "give a token with --prometheus-token-file, for example of: oc whoami -t"  # noqa: S105 - how to get one
RIGHTS_HINT = (
    "let the user read metrics: oc adm policy add-cluster-role-to-user cluster-monitoring-view USER "
    "(elsewhere, what the proxy before Prometheus asks for)"
)
ADDRESS_HINT = "give the address Prometheus or Thanos answers at, as http://HOST:9090"
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
