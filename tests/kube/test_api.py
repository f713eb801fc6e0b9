"""The calls of one cluster's API, as they arrive at a server."""

from __future__ import annotations

from freepage.kube.resources import NODES, PODS, VMIS, VMS, name_of
from helpers.api_server import (
    POD,
    PODS_PATH,
    page,
    pod,
)


async def test_an_object_is_got_from_the_login_s_namespace_unless_another_is_named(server, api):
    server.script("/api/v1/namespaces/default/pods/p", pod("p"))
    server.script(POD, pod("p"))
    assert name_of(await api.get(PODS, "p")) == "p"
    assert name_of(await api.get(PODS, "p", "ns")) == "p"


async def test_what_has_no_namespace_is_asked_for_without_one(server, api):
    server.script("/api/v1/nodes/n", {"metadata": {"name": "n"}})
    assert name_of(await api.get(NODES, "n", "ns")) == "n"


async def test_a_list_of_all_namespaces_names_each_object_s_kind(server, api):
    path = "/apis/kubevirt.io/v1/virtualmachineinstances"
    server.script(path, page(pod("a"), more="next"), page(pod("b")))
    found = await api.list(VMIS, labels="a=b", fields="metadata.name!=x")
    assert [(name_of(o), o["kind"], o["apiVersion"]) for o in found] == [
        ("a", "VirtualMachineInstance", "kubevirt.io/v1"),
        ("b", "VirtualMachineInstance", "kubevirt.io/v1"),
    ]
    first, second = (c.query for c in server.calls(path))
    assert first == {"labelSelector": "a=b", "fieldSelector": "metadata.name!=x", "limit": "500"}
    assert second["continue"] == "next"


async def test_a_list_whose_pages_expire_starts_anew(server, api):
    expired = server.answer_with(410, "Expired")
    server.script(PODS_PATH, page(pod("old"), more="next"), expired, page(pod("new"), pod("newer")))
    assert [name_of(o) for o in await api.list(PODS, "ns")] == ["new", "newer"]
    assert "limit" not in server.calls(PODS_PATH)[-1].query


async def test_creating_is_strict_and_a_dry_run_where_asked(server, api):
    server.script(PODS_PATH, pod("p"), method="POST")
    await api.create(PODS, {"metadata": {"name": "p", "namespace": "ns"}}, dry_run=True)
    asked = server.asked[-1]
    assert asked.query == {"fieldValidation": "Strict", "dryRun": "All"}
    assert asked.body["metadata"]["name"] == "p"


async def test_a_patch_is_a_merge_patch(server, api):
    server.script(POD, pod("p"), method="PATCH")
    await api.patch(PODS, "p", {"metadata": {"labels": {"a": None}}}, namespace="ns")
    asked = server.asked[-1]
    assert asked.headers["Content-Type"] == "application/merge-patch+json"
    assert asked.query == {"fieldValidation": "Strict"}
    assert asked.body == {"metadata": {"labels": {"a": None}}}


async def test_deleting_what_is_gone_is_no_error(server, api):
    server.script(POD, server.answer_with(404, "NotFound", "gone", {"name": "p"}), method="DELETE")
    await api.delete(PODS, "p", namespace="ns", grace_s=0)
    assert server.asked[-1].body["gracePeriodSeconds"] == 0
    assert server.asked[-1].body["propagationPolicy"] == "Background"


async def test_served_versions_come_with_the_preferred_one_first(server, api):
    group = {
        "versions": [{"version": "v1beta1"}, {"version": "v1"}],
        "preferredVersion": {"version": "v1"},
    }
    server.script("/apis/hco.kubevirt.io", group)
    assert await api.served_versions("hco.kubevirt.io") == ["v1", "v1beta1"]
    assert await api.served_versions("kubevirt.io") == []
    assert await api.server_version() == "v1.31.2"


async def test_a_subresource_is_put_to_kubevirt_s_own_group(server, api):
    path = "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachines/vm/restart"
    server.script(path, b"", method="PUT")
    await api.put_subresource(VMS, "vm", "restart", namespace="ns")
    assert server.asked[-1].body == {}


async def test_what_a_user_may_is_asked_of_the_server(server, api):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server.script(path, {"status": {"allowed": True}}, {"status": {"allowed": False}}, method="POST")
    assert await api.may("get", PODS, namespace="ns", subresource="exec")
    assert not await api.may("list", NODES, namespace=None)
    asked = server.calls(path)[0].body["spec"]["resourceAttributes"]
    assert (asked["verb"], asked["resource"], asked["subresource"]) == ("get", "pods", "exec")
