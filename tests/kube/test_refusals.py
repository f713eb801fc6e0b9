"""A cluster's refusals, each as an error of its own."""

from __future__ import annotations

import base64

import pytest

from freepage.kube.api import Login, open_cluster
from freepage.kube.errors import (
    ClusterError,
    ConflictError,
    Denial,
    ExistsError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from freepage.kube.resources import PODS, VMIS
from freepage.kubevirt.permissions import describe_grant
from helpers.api_server import (
    DENIED,
    POD,
    PODS_PATH,
    pod,
)


async def test_a_verb_that_is_not_granted_is_named_with_its_resource_and_who_asked(server, api):
    server.script(PODS_PATH, server.answer_with(403, "Forbidden", DENIED))
    with pytest.raises(ForbiddenError) as caught:
        await api.list(PODS, "ns")
    assert str(caught.value) == "ann may not list pods in namespace ns"
    assert caught.value.denial == Denial("ann", "list", "pods", api.namespace)
    assert len(server.calls(PODS_PATH)) == 1


async def test_the_hint_for_what_is_denied_is_its_callers(server, tmp_path):
    server.script(PODS_PATH, server.answer_with(403, "Forbidden", DENIED))
    async with server.log_in(tmp_path, hint_denial=lambda denial: f"let {denial.user} {denial.verb}") as api:
        with pytest.raises(ForbiddenError) as caught:
            await api.list(PODS, "ns")
    assert caught.value.hint == "let ann list"


@pytest.mark.parametrize("denied", ['resource "pods" in API group ""', 'path "/apis/kubevirt.io"'])
async def test_what_is_denied_to_nobody_in_particular_asks_for_a_login(server, tmp_path, denied):
    message = f'forbidden: User "system:anonymous" cannot list {denied}'
    server.script(PODS_PATH, server.answer_with(403, "Forbidden", message))
    async with server.log_in(tmp_path, hint_denial=lambda _: "grant it") as api:
        with pytest.raises(ForbiddenError, match="system:anonymous") as caught:
            await api.list(PODS, "ns")
    assert "log in" in caught.value.hint
    assert caught.value.denial is None


async def test_a_path_that_is_denied_names_the_role_that_grants_it(server, api):
    message = 'forbidden: User "ann" cannot get path "/apis/kubevirt.io"'
    server.script("/apis/kubevirt.io", server.answer_with(403, "Forbidden", message))
    with pytest.raises(ForbiddenError) as caught:
        await api.served_versions("kubevirt.io")
    assert "system:discovery" in caught.value.hint


async def test_a_websocket_refused_without_a_word_lacks_the_right_to_create_it(server, api):
    words = 'pods "p" is forbidden: '
    server.script(f"{POD}/exec", server.answer_with(403, "Forbidden", words, {"name": "p", "kind": "pods"}))
    with pytest.raises(ForbiddenError) as caught:
        await api.run("p", ["true"], namespace="ns", container="c")
    assert caught.value.message == "this login may not create pods/exec in namespace ns"
    assert (
        describe_grant(caught.value.denial, "exec") == "freepage rbac exec --user USER | kubectl apply -f -"
    )
    server.script(POD, server.answer_with(403, "Forbidden", words))
    with pytest.raises(ForbiddenError) as caught:
        await api.get(PODS, "p", "ns")
    assert caught.value.denial is None


async def test_who_lacks_the_right_to_create_a_websocket_is_named_where_the_login_tells(server, tmp_path):
    claims = base64.urlsafe_b64encode(b'{"sub": "system:serviceaccount:ns:runner"}').decode().rstrip("=")
    token = f"e30.{claims}.c2ln"
    (tmp_path / "account").write_text(token)
    server.tokens = {token}
    server.script(f"{POD}/attach", server.answer_with(403, "Forbidden", 'pods "p" is forbidden: '))
    login = Login(server=server.url, token_file=str(tmp_path / "account"))
    async with open_cluster(login, hint_denial=describe_grant) as api:
        with pytest.raises(
            ForbiddenError, match="system:serviceaccount:ns:runner may not create pods/attach"
        ) as caught:
            async with api.open_attach("p", namespace="ns", container="c"):
                pass
    assert (
        caught.value.hint == "freepage rbac run --namespace ns --service-account runner | kubectl apply -f -"
    )


async def test_a_quota_s_refusal_is_told_in_its_own_words(server, api):
    message = 'pods "p" is forbidden: exceeded quota: q, requested: memory=1Gi, limited: memory=1Gi'
    server.script(PODS_PATH, server.answer_with(403, "Forbidden", message), method="POST")
    with pytest.raises(ForbiddenError, match="exceeded quota: q") as caught:
        await api.create(PODS, pod("p"), namespace="ns")
    assert caught.value.hint is None


async def test_an_object_that_is_missing_is_told_from_a_kind_that_is(server, api):
    server.script(
        POD, server.answer_with(404, "NotFound", 'pods "p" not found', {"name": "p", "kind": "pods"})
    )
    with pytest.raises(NotFoundError, match='pods "p" not found'):
        await api.get(PODS, "p", "ns")
    with pytest.raises(NotFoundError, match=r"the cluster has no virtualmachineinstances in kubevirt.io/v1"):
        await api.list(VMIS)
    server.script(f"{POD}/log", server.answer_with(404, "NotFound", 'container "c" not found'))
    with pytest.raises(NotFoundError, match='container "c" not found'):
        await api.read_log("p", namespace="ns", container="c")


async def test_a_name_that_is_taken_is_told_from_a_change_in_between(server, api):
    server.script(PODS_PATH, server.answer_with(409, "AlreadyExists", "exists"), method="POST")
    server.script(POD, server.answer_with(409, "Conflict", "modified"), method="PATCH")
    with pytest.raises(ExistsError, match="exists"):
        await api.create(PODS, pod("p"), namespace="ns")
    with pytest.raises(ConflictError, match="modified"):
        await api.patch(PODS, "p", {}, namespace="ns")


async def test_an_object_that_is_invalid_names_its_fields(server, api):
    causes = [{"field": "spec.a", "message": "is required"}, {"field": "spec.b", "message": "unknown"}]
    answer = server.answer_with(422, "Invalid", 'pod "p" is invalid: spec.a: is required', {"causes": causes})
    server.script(PODS_PATH, answer, method="POST")
    with pytest.raises(InvalidError, match=r"spec\.a: is required\n  spec\.b: unknown"):
        await api.create(PODS, pod("p"), namespace="ns")


async def test_an_answer_that_is_no_kubernetes_is_said_so(server, tmp_path):
    server.script("/version", b"<html>log in</html>")
    with pytest.raises(ClusterError, match="does not answer as a Kubernetes API"):
        async with server.log_in(tmp_path):
            pass
