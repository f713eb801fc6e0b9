"""OpenShift's own monitoring."""

from __future__ import annotations

import pytest

from freepage.kube.errors import ForbiddenError, NotFoundError
from freepage.kube.login import Login
from freepage.prometheus import openshift
from freepage.prometheus.client import Settings
from freepage.prometheus.errors import PrometheusError

SECRET = "sha256~not-for-anybody"


class FakeApi:
    server = "https://api.example:6443"

    def __init__(self, objects):
        self.objects = objects

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def get(self, resource, name, namespace=None):
        found = self.objects.get((resource.plural, namespace, name), NotFoundError("not there"))
        if isinstance(found, Exception):
            raise found
        return found


ROUTE = {("routes", "openshift-monitoring", "thanos-querier"): {"spec": {"host": "thanos.example"}}}


async def find_monitoring(monkeypatch, objects, token=SECRET):
    resolved = type("ResolvedLogin", (), {"token": token, "source": "a kubeconfig"})
    monkeypatch.setattr(openshift, "resolve_login", lambda _: resolved)
    monkeypatch.setattr(openshift, "open_cluster", lambda _: FakeApi(objects))
    return await openshift.find_monitoring(Login())


async def test_openshifts_monitoring_is_found_by_its_route_and_asked_with_the_logins_token(monkeypatch):
    ca = {
        ("configmaps", "openshift-config-managed", "default-ingress-cert"): {"data": {"ca-bundle.crt": "PEM"}}
    }
    found = await find_monitoring(monkeypatch, ROUTE | ca)
    assert found == Settings("https://thanos.example", token=SECRET, ca="PEM")
    assert SECRET not in repr(found)


async def test_a_ca_that_may_not_be_read_is_left_to_the_system(monkeypatch):
    ca = {("configmaps", "openshift-config-managed", "default-ingress-cert"): ForbiddenError("no")}
    assert (await find_monitoring(monkeypatch, ROUTE | ca)).ca is None


async def test_a_cluster_without_the_route_and_a_login_without_a_token_are_told_apart(monkeypatch):
    with pytest.raises(PrometheusError, match=r"no route thanos-querier"):
        await find_monitoring(monkeypatch, {})
    with pytest.raises(PrometheusError, match=r"wants a token"):
        await find_monitoring(monkeypatch, ROUTE, token=None)
    forbidden = dict.fromkeys(ROUTE, ForbiddenError("no"))
    with pytest.raises(PrometheusError, match=r"may not read the route") as caught:
        await find_monitoring(monkeypatch, forbidden)
    assert "https://thanos-querier-openshift-monitoring.apps.DOMAIN" in caught.value.hint
