"""The manifests that grant what freepage's commands need, and the one a refusal names."""

from __future__ import annotations

import pytest

from freepage.kube.errors import Denial
from freepage.kubevirt.permissions import describe_grant, find_manifest


@pytest.mark.parametrize(
    ("verb", "resource", "manifest"),
    [
        ("list", "virtualmachineinstances", "audit"),
        ("get", "pods/log", "audit"),
        ("list", "virtualmachineclusterpreferences", "audit"),
        ("list", "controllerrevisions", "audit"),
        ("patch", "hyperconvergeds", "switch"),
        ("update", "virtualmachines/restart", "switch"),
        ("get", "virtualmachineinstances/console", "run"),
        ("create", "pods/exec", "run"),
        ("delete", "secrets", "run"),
    ],
)
def test_each_right_is_in_one_manifest(verb, resource, manifest):
    assert find_manifest(verb, resource) == manifest


def test_what_is_denied_names_the_manifest_that_grants_it_to_who_asked():
    granted = describe_grant(Denial("ann", "list", "pods", "ns"))
    assert granted == "freepage rbac audit --user ann | kubectl apply -f -"
    assert "--user 'o'\"'\"'neil'" in describe_grant(Denial("o'neil", "list", "pods", "ns"))


def test_a_run_is_permitted_in_the_namespace_it_works_in():
    granted = describe_grant(Denial("ann", "create", "pods", "bench"))
    assert granted == "freepage rbac run --user ann --namespace bench | kubectl apply -f -"


def test_a_service_account_is_named_with_its_own_namespace():
    granted = describe_grant(Denial("system:serviceaccount:sa-ns:bot", "list", "pods", "bench"), "run")
    assert granted == "freepage rbac run --namespace sa-ns --service-account bot | kubectl apply -f -"
