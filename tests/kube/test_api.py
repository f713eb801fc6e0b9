"""The client of a cluster's API against a small server on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from contextlib import AsyncExitStack, aclosing

import pytest
from aiohttp import web

from freepage.kube import connection, login, retries
from freepage.kube.api import Login, open_cluster
from freepage.kube.call import Call
from freepage.kube.errors import (
    ClusterError,
    ConflictError,
    Denial,
    ExistsError,
    ForbiddenError,
    InvalidError,
    LoginError,
    NotFoundError,
    UnreachableError,
)
from freepage.kube.proxy import find_proxy
from freepage.kube.resources import NODES, PODS, VMIS, VMS, name_of
from helpers.api_server import TOKEN, ApiServer, echo, make_certificate, streaming, websocket

PODS_PATH = "/api/v1/namespaces/ns/pods"
POD = f"{PODS_PATH}/p"


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "https_proxy", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def server():
    async with ApiServer().serve() as server:
        yield server


@pytest.fixture
async def api(server, tmp_path):
    async with server.log_in(tmp_path) as api:
        yield api


def pod(name, version="1", **metadata):
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version, **metadata}}


def page(*objects, version="10", more=""):
    return {"items": list(objects), "metadata": {"resourceVersion": version, "continue": more}}


def event(kind, obj):
    return {"type": kind, "object": obj}


# Objects


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


# Refusals


DENIED = 'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "ns"'


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


# Repeats


async def test_a_busy_server_is_asked_again_after_the_time_it_names(server, api):
    server.script(
        PODS_PATH,
        server.answer_with(429, "TooManyRequests", headers={"Retry-After": "1"}),
        pod("p"),
        method="POST",
    )
    begun = time.monotonic()
    assert name_of(await api.create(PODS, pod("p"), namespace="ns")) == "p"
    assert 1 <= time.monotonic() - begun < 3


async def test_reading_is_repeated_until_it_works(server, api):
    server.script(
        POD,
        server.answer_with(500, "InternalError"),
        streaming(b'{"meta', drop=True),
        server.answer_with(503, "ServiceUnavailable"),
        pod("p"),
    )
    assert name_of(await api.get(PODS, "p", "ns")) == "p"


async def test_reading_is_given_up_after_five_tries(server, api):
    server.script(POD, server.answer_with(503, "ServiceUnavailable", "etcd is away"))
    with pytest.raises(ClusterError, match="etcd is away") as caught:
        await api.get(PODS, "p", "ns")
    assert caught.value.status == 503
    assert len(server.calls(POD)) == 5


@pytest.mark.parametrize("answer", ["drop", "error"])
async def test_a_write_that_may_have_been_done_is_not_repeated(server, api, answer):
    answers = {"drop": streaming(b"{", drop=True), "error": server.answer_with(500, "InternalError")}
    server.script(PODS_PATH, answers[answer], method="POST")
    with pytest.raises(ClusterError):
        await api.create(PODS, pod("p"), namespace="ns")
    assert len(server.calls(PODS_PATH)) == 1


async def test_what_is_to_be_deleted_is_deleted_however_often_that_has_to_be_asked_for(server, api):
    lost, gone = streaming(b"{", drop=True), server.answer_with(404, "NotFound")
    server.script(POD, server.answer_with(500, "InternalError"), lost, gone, method="DELETE")
    await api.delete(PODS, "p", namespace="ns")
    assert len(server.calls(POD)) == 3


async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(server, api):
    server.script("/slow", streaming(b"{", hold=True))
    async with asyncio.timeout(10):
        with pytest.raises(UnreachableError, match="does not answer: get /slow"):
            await api._connection.ask(Call("get", "/slow", limit_s=0.1))
    assert len(server.calls("/slow")) == 5


async def test_a_server_that_is_away_for_a_moment_is_met_again(tmp_path, monkeypatch):
    """For writing too: nothing was sent to a server that takes no connection."""
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.2)
    first, second = ApiServer(), ApiServer()
    second.script(PODS_PATH, pod("p"), method="POST")
    async with AsyncExitStack() as stack:
        async with first.serve():
            api = await stack.enter_async_context(first.log_in(tmp_path))
        creating = asyncio.create_task(api.create(PODS, pod("p"), namespace="ns"))
        await asyncio.sleep(0.3)
        assert not creating.done()
        await stack.enter_async_context(second.serve(port=int(first.url.rsplit(":", 1)[1])))
        assert name_of(await creating) == "p"


async def test_a_server_that_stays_away_is_named(tmp_path):
    server = ApiServer(url="http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9 cannot be reached: .*refused"):
        async with server.log_in(tmp_path):
            pass


async def test_200_requests_run_at_once(server, api):
    meeting = asyncio.Barrier(200)

    async def answer(_):
        await meeting.wait()
        return web.json_response(pod("p"))

    server.script(POD, answer)
    async with asyncio.timeout(30):
        found = await asyncio.gather(*(api.get(PODS, "p", "ns") for _ in range(200)))
    assert len(found) == 200


# Who asks


async def test_a_token_that_expired_is_renewed_once_for_all_and_cuts_no_stream(server, api, tmp_path):
    server.script(f"{POD}/attach", websocket(echo))
    server.script(POD, pod("p"))
    async with api.open_attach("p", namespace="ns", container="c") as stream:
        (tmp_path / "token").write_text("second-secret-token")
        server.tokens = {"second-secret-token"}
        await asyncio.gather(*(api.get(PODS, "p", "ns") for _ in range(20)))
        await stream.write(b"still here")
        assert await stream.read() == b"still here"
    assert len(server.calls(POD)) <= 40
    await api.get(PODS, "p", "ns")
    assert server.asked[-1].headers["Authorization"] == "Bearer second-secret-token"


async def test_a_token_that_stays_refused_is_a_login_error_without_it(server, api, caplog):
    caplog.set_level(logging.DEBUG)
    server.tokens = set()
    with pytest.raises(LoginError, match="does not accept the login from token file") as caught:
        await api.get(PODS, "p", "ns")
    shown = f"{caught.value} {caught.value!r} {caplog.text} {api._connection._resolved!r}"
    assert TOKEN not in shown
    assert len(server.calls(POD)) == 1


async def test_a_403_asks_for_no_new_login(server, api, monkeypatch):
    server.script(POD, server.answer_with(403, "Forbidden", DENIED))
    monkeypatch.setattr(connection, "resolve_login", None)
    with pytest.raises(ForbiddenError):
        await api.get(PODS, "p", "ns")


# Watches


async def take(events, count):
    found = []
    async with asyncio.timeout(5), aclosing(events) as open_events:
        async for e in open_events:
            found.append((e.type, name_of(e.object), e.object["metadata"]["resourceVersion"]))
            if len(found) == count:
                break
    return found


def watched(server, listings, connections):
    """Answer lists from one script and watches from another."""
    listings, connections = iter(listings), iter(connections)

    async def handler(request):
        if request.query.get("watch") == "true":
            return await next(connections, streaming(hold=True))(request)
        return web.json_response(next(listings))

    server.script(PODS_PATH, handler)


async def test_a_watch_that_drops_goes_on_where_it_was(server, api):
    bookmark = {"metadata": {"resourceVersion": "13"}}
    watched(
        server,
        [page(pod("a"), version="10")],
        [
            streaming(event("ADDED", pod("b", "11")), b'{"type": "MODI', drop=True),
            streaming(event("MODIFIED", pod("b", "12")), event("BOOKMARK", bookmark)),
            server.answer_with(503, "ServiceUnavailable"),
            streaming(event("DELETED", pod("a", "14")), hold=True),
        ],
    )
    assert await take(api.watch(PODS, "ns"), 4) == [
        ("ADDED", "a", "1"),
        ("ADDED", "b", "11"),
        ("MODIFIED", "b", "12"),
        ("DELETED", "a", "14"),
    ]
    versions = [c.query["resourceVersion"] for c in server.calls(PODS_PATH) if "watch" in c.query]
    assert versions == ["10", "11", "13", "13"]
    assert server.calls(PODS_PATH)[-1].query["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize("how", ["event", "status"])
async def test_a_watch_whose_version_is_forgotten_gives_the_difference(server, api, how):
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    ends = {"event": streaming(event("ERROR", gone)), "status": server.answer_with(410, "Expired")}
    listings = [
        page(pod("kept"), pod("changed"), pod("vanished"), pod("remade")),
        page(
            pod("kept"),
            pod("changed", "20"),
            pod("new", "21"),
            pod("remade", "22", uid="another"),
            version="30",
        ),
    ]
    watched(server, listings, [ends[how], streaming(event("ADDED", pod("last", "31")), hold=True)])
    found = await take(api.watch(PODS, "ns"), 10)
    assert found[4:] == [
        ("DELETED", "vanished", "1"),
        ("DELETED", "remade", "1"),
        ("MODIFIED", "changed", "20"),
        ("ADDED", "new", "21"),
        ("ADDED", "remade", "22"),
        ("ADDED", "last", "31"),
    ]


async def test_a_watch_that_may_not_is_no_loop(server, api):
    watched(server, [page()], [server.answer_with(403, "Forbidden", DENIED)])
    with pytest.raises(ForbiddenError):
        await take(api.watch(PODS, "ns"), 1)


async def test_a_watch_gives_up_on_a_server_that_stays_away(server, api):
    watched(server, [page()], [server.answer_with(503, "ServiceUnavailable", "away")] * 20)
    with pytest.raises(ClusterError, match="away"):
        await take(api.watch(PODS, "ns"), 1)


async def test_leaving_a_watch_closes_its_connection(server, api):
    ended = asyncio.Event()

    async def hold(request):
        try:
            return await streaming(event("ADDED", pod("a")), hold=True)(request)
        finally:
            ended.set()

    watched(server, [page()], [hold])
    await take(api.watch(PODS, "ns"), 1)
    async with asyncio.timeout(2):
        await ended.wait()


# Logins


def write_kubeconfig(path, cluster, user, **context):
    content = {
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u", **context}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


async def version_through(login):
    async with open_cluster(login) as api:
        return await api.server_version(), api


async def test_a_kubeconfig_s_context_names_server_user_and_namespace(server, tmp_path, monkeypatch):
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"token": TOKEN}, namespace="mine")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{path}")
    version, api = await version_through(Login())
    assert (version, api.server, api.namespace, api.user) == ("v1.31.2", server.url, "mine", "u")
    assert (await version_through(Login(namespace="other")))[1].namespace == "other"


async def test_the_kubeconfig_at_home_is_found(server, tmp_path):
    write_kubeconfig(tmp_path / "home/.kube/config", {"server": server.url}, {"token": TOKEN})
    assert (await version_through(Login()))[0] == "v1.31.2"


async def test_another_context_brings_its_own_namespace(server, tmp_path):
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"token": TOKEN}, namespace="mine")
    content = json.loads(path.read_text())
    content["contexts"].append(
        {"name": "second", "context": {"cluster": "c", "user": "u", "namespace": "two"}}
    )
    path.write_text(json.dumps(content))
    assert (await version_through(Login(kubeconfig=str(path), context="second")))[1].namespace == "two"
    with pytest.raises(LoginError, match='no context "third"') as caught:
        await version_through(Login(kubeconfig=str(path), context="third"))
    assert caught.value.hint == "it has main, second"


async def test_kubeconfigs_are_merged_and_relative_paths_start_at_their_file(server, tmp_path, monkeypatch):
    users = write_kubeconfig(tmp_path / "a/config", {"server": "https://192.0.2.1"}, {"tokenFile": "token"})
    content = json.loads(users.read_text())
    del content["clusters"]
    users.write_text(json.dumps(content))
    (tmp_path / "a/token").write_text(TOKEN)
    clusters = write_kubeconfig(tmp_path / "b/config", {"server": server.url}, {"token": "wrong"})
    monkeypatch.setenv("KUBECONFIG", f"{users}:{clusters}")
    assert (await version_through(Login()))[0] == "v1.31.2"


async def test_a_credential_plugin_is_run_and_run_again_when_its_token_expires(server, tmp_path):
    plugin = tmp_path / "plugin"
    plugin.write_text(
        "#!/bin/sh\n"
        f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n'
        f'printf \'{{"status": {{"token": "%s"}}}}\' "$(cat {tmp_path}/$NAME)"\n'
    )
    plugin.chmod(0o755)
    (tmp_path / "now").write_text(TOKEN)
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin",
        "env": [{"name": "NAME", "value": "now"}],
        "provideClusterInfo": True,
    }
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"exec": command})
    async with open_cluster(Login(kubeconfig=str(path))) as api:
        (tmp_path / "now").write_text("next-secret")
        server.tokens = {"next-secret"}
        assert await api.server_version() == "v1.31.2"
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"] == {"interactive": False, "cluster": {"server": server.url}}


async def test_a_login_is_renewed_in_the_context_it_was_made_in(server, tmp_path):
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"token": TOKEN})
    async with open_cluster(Login(kubeconfig=str(path))) as api:
        content = json.loads(path.read_text())
        content["users"] = [{"name": "u", "user": {"token": "next"}}, {"name": "v", "user": {"token": "v"}}]
        content["clusters"].append({"name": "d", "cluster": {"server": "https://192.0.2.1"}})
        content["contexts"].append({"name": "other", "context": {"cluster": "d", "user": "v"}})
        content["current-context"] = "other"
        path.write_text(json.dumps(content))
        server.tokens = {"next"}
        assert await api.server_version() == "v1.31.2"


async def test_a_login_that_names_another_server_by_now_is_not_shown_to_this_one(server, tmp_path):
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"token": TOKEN})
    async with open_cluster(Login(kubeconfig=str(path))) as api:
        write_kubeconfig(path, {"server": "https://192.0.2.1"}, {"token": "not-for-you"})
        server.tokens = {"not-for-you"}
        with pytest.raises(LoginError):
            await api.server_version()


async def test_a_credential_plugin_that_fails_says_what_it_said(tmp_path):
    command = {"command": "sh", "args": ["-c", "echo no session >&2; exit 3"], "installHint": "get it"}
    path = write_kubeconfig(tmp_path / "config", {"server": "https://192.0.2.1"}, {"exec": command})
    with pytest.raises(LoginError, match=r"credential plugin sh .*exit status 3: no session") as caught:
        await version_through(Login(kubeconfig=str(path)))
    assert caught.value.hint == "get it"


async def test_a_pod_s_service_account_is_found(server, tmp_path, monkeypatch):
    certificate = make_certificate(tmp_path, "ca")
    claims = base64.urlsafe_b64encode(b'{"sub": "system:serviceaccount:ns:sa"}').decode().rstrip("=")
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(f"head.{claims}.signature")
    (account / "namespace").write_text("ns")
    (account / "ca.crt").write_bytes(certificate[0].read_bytes())
    tls_server = ApiServer(tokens={f"head.{claims}.signature"})
    async with tls_server.serve(certificate):
        host, port = tls_server.url.removeprefix("https://").split(":")
        monkeypatch.setattr(login, "SERVICE_ACCOUNT", account)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        version, api = await version_through(Login())
    assert (version, api.namespace, api.user) == ("v1.31.2", "ns", "system:serviceaccount:ns:sa")


async def test_no_login_at_all_says_where_one_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", tmp_path / "account")
    with pytest.raises(LoginError) as caught:
        await version_through(Login())
    for looked_at in ("KUBECONFIG is not set", f"{tmp_path}/home/.kube/config", f"{tmp_path}/account"):
        assert looked_at in str(caught.value)
    assert "--kubeconfig" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("users: [{user: {token: hidden", "is no YAML"),
        ("- 1", "is no kubeconfig"),
        ("", "has no current context"),
        ("current-context: x", 'no context "x"'),
    ],
)
async def test_a_kubeconfig_that_is_none_is_refused_without_quoting_it(tmp_path, content, words):
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(LoginError, match=words) as caught:
        await version_through(Login(kubeconfig=str(path)))
    assert "hidden" not in str(caught.value)


async def test_a_token_that_fits_no_header_is_refused_without_being_shown(server, tmp_path):
    (tmp_path / "token").write_text("two\nlines")
    with pytest.raises(LoginError, match="characters that no token has") as caught:
        await version_through(Login(server=server.url, token_file=str(tmp_path / "token")))
    assert "two" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "cluster:6443", "https://", "https://host:port"])
async def test_a_server_without_an_address_is_refused(tmp_path, address):
    path = write_kubeconfig(tmp_path / "config", {"server": address}, {"token": TOKEN})
    with pytest.raises(LoginError, match="is no address of a server"):
        await version_through(Login(kubeconfig=str(path)))


async def test_a_server_is_trusted_by_its_own_ca_only(tmp_path):
    certificate, other = make_certificate(tmp_path, "right"), make_certificate(tmp_path, "wrong")
    async with ApiServer().serve(certificate) as server:
        async with server.log_in(tmp_path, ca_file=str(certificate[0])) as api:
            server.script(f"{POD}/attach", websocket(echo))
            async with api.open_attach("p", namespace="ns", container="c") as stream:
                await stream.write(b"over TLS")
                assert await stream.read() == b"over TLS"
        with pytest.raises(UnreachableError, match=rf"{server.url}.*certificate") as caught:
            async with server.log_in(tmp_path, ca_file=str(other[0])):
                pass
        assert caught.value.hint == f"is its CA the one in {other[0]}?"
        with pytest.raises(UnreachableError, match="certificate") as caught:
            async with server.log_in(tmp_path):
                pass
        assert "--ca-file" in caught.value.hint


async def test_a_server_may_go_unverified_or_by_another_name_as_the_kubeconfig_says(tmp_path):
    certificate = make_certificate(tmp_path, "right")
    async with ApiServer().serve(certificate) as server:
        cluster = {"server": server.url, "insecure-skip-tls-verify": True}
        path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
        assert (await version_through(Login(kubeconfig=str(path))))[0] == "v1.31.2"
        authority = base64.b64encode(certificate[0].read_bytes()).decode()
        cluster = {
            "server": server.url.replace("127.0.0.1", "localhost"),
            "certificate-authority-data": authority,
        }
        path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
        with pytest.raises(UnreachableError, match="certificate"):
            await version_through(Login(kubeconfig=str(path)))
        path = write_kubeconfig(
            tmp_path / "config", cluster | {"tls-server-name": "127.0.0.1"}, {"token": TOKEN}
        )
        assert (await version_through(Login(kubeconfig=str(path))))[0] == "v1.31.2"


async def test_a_client_certificate_is_shown_and_its_key_stays_nowhere(tmp_path, monkeypatch):
    files = tmp_path / "temporary"
    files.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(files))
    server_certificate, own = make_certificate(tmp_path, "server"), make_certificate(tmp_path, "ann")
    async with ApiServer().serve(server_certificate, client_ca=own[0]) as server:
        cluster = {"server": server.url, "certificate-authority": "server.crt"}
        user = {
            "client-certificate": "ann.crt",
            "client-key-data": base64.b64encode(own[1].read_bytes()).decode(),
            "token": TOKEN,
        }
        path = write_kubeconfig(tmp_path / "config", cluster, user)
        assert (await version_through(Login(kubeconfig=str(path))))[0] == "v1.31.2"
        with pytest.raises(UnreachableError):
            await version_through(Login(kubeconfig=str(write_kubeconfig(tmp_path / "config", cluster, {}))))
    assert not list(files.iterdir())


async def test_impersonation_is_honoured(server, tmp_path):
    user = {"token": TOKEN, "as": "bob", "as-groups": ["g1", "g2"]}
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, user)
    assert (await version_through(Login(kubeconfig=str(path))))[1].user == "bob"
    assert server.asked[-1].headers["Impersonate-User"] == "bob"


async def proxy(seen):
    """Start a proxy that opens tunnels, and give its address."""

    async def pump(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader, writer):
        line = (await reader.readuntil(b"\r\n\r\n")).decode().split()
        seen.append(tuple(line[:2]))
        host, port = line[1].split(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize("by", ["kubeconfig", "environment"])
async def test_a_proxy_is_used_for_calls_and_streams(tmp_path, monkeypatch, by):
    seen = []
    certificate = make_certificate(tmp_path, "right")
    tunnel = await proxy(seen)
    address = f"http://127.0.0.1:{tunnel.sockets[0].getsockname()[1]}"
    async with ApiServer().serve(certificate) as server:
        cluster = {"server": server.url, "certificate-authority": str(certificate[0])}
        if by == "kubeconfig":
            cluster["proxy-url"] = address
        else:
            monkeypatch.setenv("https_proxy", address)
        path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
        server.script(f"{POD}/attach", websocket(echo))
        async with (
            open_cluster(Login(kubeconfig=str(path))) as api,
            api.open_attach("p", namespace="ns", container="c") as stream,
        ):
            await stream.write(b"through")
            assert await stream.read() == b"through"
    tunnel.close()
    assert {verb for verb, _ in seen} == {"CONNECT"}


async def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(server, tmp_path):
    cluster = {"server": server.url, "proxy-url": "ftp://ann:hidden@proxy:21"}
    path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
    with pytest.raises(LoginError, match=r"the proxy for .* cannot be used") as caught:
        await version_through(Login(kubeconfig=str(path)))
    assert "hidden" not in str(caught.value)


async def test_a_proxy_that_is_not_there_is_named_without_its_password(tmp_path, monkeypatch):
    cluster = {"server": "http://127.0.0.1:1", "proxy-url": "http://ann:hidden@127.0.0.1:9"}
    path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
    with pytest.raises(
        UnreachableError, match=r"through the proxy http://127\.0\.0\.1:9: .*refused"
    ) as caught:
        await version_through(Login(kubeconfig=str(path)))
    assert "hidden" not in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value)


def test_no_proxy_may_name_a_network(monkeypatch):
    monkeypatch.setenv("https_proxy", "proxy:3128")
    monkeypatch.setenv("no_proxy", "example.com,172.30.0.0/16,broken/x")
    assert find_proxy("https://172.30.0.1:443") is None
    assert find_proxy("https://api.example.com") is None
    assert find_proxy("https://172.31.0.1:443") == "http://proxy:3128"
