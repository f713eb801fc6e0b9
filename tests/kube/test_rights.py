"""Refusals of a server that has just started, and those that stay."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

import pytest
from aiohttp import web

from freepage.kube import connection, rights
from freepage.kube.call import Call
from freepage.kube.errors import ClusterError, ForbiddenError, LoginError, UnreachableError
from freepage.kube.resources import PODS, VMS, name_of
from freepage.kube.retries import Retries
from helpers.api_server import (
    DENIED,
    POD,
    PODS_PATH,
    ApiServer,
    echo,
    event,
    page,
    pod,
    status,
    streaming,
    websocket,
)

AT = {"namespace": "ns", "container": "c"}
RESTART = "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachines/vm/restart"
CONSOLE = "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachineinstances/vm/console"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
STAMPED = b"2026-01-01T00:00:00.1Z hello\n"
NOT_READY = 'pods "p" is forbidden: not yet ready to handle request'


@dataclass
class StartingServer(ApiServer):
    """An API server that answers what it is told to, but for the next `refusals` requests, which it refuses."""

    refusals: int = 0
    code: int = 403
    words: str = DENIED

    async def handle(self, request):
        answer = await super().handle(request) if self.refusals <= 0 or request.path == "/version" else None
        if answer is not None:
            return answer
        self.refusals -= 1
        reason = {401: "Unauthorized", 403: "Forbidden"}[self.code]
        return status(self.code, reason, self.words)


@pytest.fixture
async def starting(tmp_path):
    async with StartingServer().serve() as server, server.log_in(tmp_path) as api:
        yield server, api


async def follow_log(api):
    async with aclosing(api.follow_log("p", **AT)) as lines:
        return [line.text async for line in lines]


async def watch(api):
    async with aclosing(api.watch(PODS, "ns")) as events:
        return [name_of((await anext(events)).object), name_of((await anext(events)).object)]


async def speak(opening):
    async with opening as stream:
        await stream.write(b"hello")
        return await stream.read()


async def speak_plainly(socket, request):
    async for message in socket:
        await socket.send_bytes(message.data)


async def answer_pods(request):
    """Answer a list, and a watch that goes on with one more pod."""
    if request.query.get("watch") == "true":
        return await streaming(event("ADDED", pod("q")), hold=True)(request)
    return web.json_response(page(pod("p")))


async def answer_log(request):
    return await streaming(STAMPED)(request)


def furnish(server):
    """Have a server answer every kind of call."""
    ended = {**pod("p"), "status": {"phase": "Succeeded"}}
    server.script(POD, ended)
    server.script(POD, pod("p"), method="PATCH")
    server.script(POD, {}, method="DELETE")
    server.script(PODS_PATH, answer_pods)
    server.script(PODS_PATH, pod("p"), method="POST")
    server.script(RESTART, b"", method="PUT")
    server.script(REVIEWS, {"status": {"allowed": True}}, method="POST")
    server.script(f"{POD}/log", answer_log)
    server.script(f"{POD}/exec", websocket(echo))
    server.script(f"{POD}/attach", websocket(echo))
    server.script(CONSOLE, websocket(speak_plainly, protocols=("plain.kubevirt.io",)))


CALLS = {
    "get": lambda api: api.get(PODS, "p", "ns"),
    "list": lambda api: api.list(PODS, "ns"),
    "watch": watch,
    "create": lambda api: api.create(PODS, pod("p"), namespace="ns"),
    "patch": lambda api: api.patch(PODS, "p", {}, namespace="ns"),
    "delete": lambda api: api.delete(PODS, "p", namespace="ns"),
    "restart": lambda api: api.put_subresource(VMS, "vm", "restart", namespace="ns"),
    "may": lambda api: api.may("get", PODS, namespace="ns"),
    "log": lambda api: api.read_log("p", **AT),
    "follow": follow_log,
    "exec": lambda api: speak(api.open_exec("p", ["cat"], **AT)),
    "attach": lambda api: speak(api.open_attach("p", **AT)),
    "console": lambda api: speak(api.open_console("vm", namespace="ns")),
}


async def test_a_login_that_was_accepted_is_not_lost_to_a_server_that_has_just_started(starting):
    server, api = starting
    furnish(server)
    await api.get(PODS, "p", "ns")
    server.refusals, server.code, server.words = 3, 401, "Unauthorized"
    await api.list(PODS, "ns")
    assert server.refusals == 0


@pytest.mark.parametrize("kind", CALLS)
async def test_a_right_that_worked_is_not_lost_to_a_server_that_has_just_started(starting, kind):
    server, api = starting
    furnish(server)
    async with asyncio.timeout(10):
        first = await CALLS[kind](api)
        server.refusals = 4
        assert await CALLS[kind](api) == first
    assert server.refusals == 0


@pytest.mark.parametrize(("code", "words"), [(403, DENIED), (401, "Unauthorized")], ids=["403", "401"])
async def test_a_server_that_comes_back_is_asked_until_it_knows_its_rights(tmp_path, code, words):
    """Also for what was never asked for before."""
    first, second = ApiServer(), StartingServer(code=code, words=words)
    furnish(second)
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        async with first.serve():
            api = await stack.enter_async_context(first.log_in(tmp_path))
        with pytest.raises(UnreachableError):
            await api._connection.ask(Call("get", "/away"), Retries(1))
        await stack.enter_async_context(second.serve(port=int(first.url.rsplit(":", 1)[1])))
        for call in CALLS.values():
            second.refusals = 2
            await call(api)
            assert second.refusals == 0


async def test_a_server_that_breaks_off_or_whose_proxy_does_not_reach_it_was_away(server, api, monkeypatch):
    marks = []
    monkeypatch.setattr(rights.Rights, "note_away", lambda self: marks.append("away"))
    server.script("/cut", streaming(b"{", drop=True))
    server.script("/proxy", server.answer_with(502, "BadGateway"))
    for path in ("/cut", "/proxy"):
        with pytest.raises(ClusterError, match=path):
            await api._connection.ask(Call("get", path), Retries(1))
    assert marks == ["away", "away"]


async def test_a_right_that_was_never_had_is_told_at_once(starting):
    server, api = starting
    furnish(server)
    await api.get(PODS, "p", "ns")
    server.refusals = 100
    with pytest.raises(ForbiddenError, match="ann may not list pods in namespace ns"):
        await api.list(PODS, "ns")
    assert server.refusals == 99


async def test_a_right_that_was_never_had_is_told_at_once_also_after_the_server_was_away(starting):
    server, api = starting
    furnish(server)
    server.refusals = 100
    for _ in range(2):
        with pytest.raises(ForbiddenError):
            await api.list(PODS, "ns")
        api._connection.rights.note_away()
    assert server.refusals == 98


async def test_a_right_that_was_had_in_another_namespace_only_is_told_at_once(starting):
    server, api = starting
    furnish(server)
    await api.get(PODS, "p", "ns")
    server.refusals = 100
    with pytest.raises(ForbiddenError):
        await api.get(PODS, "p", "other")
    assert server.refusals == 99


async def test_a_right_that_stays_refused_is_withdrawn_and_then_told_at_once(starting, monkeypatch):
    monkeypatch.setattr(rights, "EARLY_S", 0.2)
    server, api = starting
    furnish(server)
    await api.get(PODS, "p", "ns")
    server.refusals = 1000
    with pytest.raises(ForbiddenError):
        await api.get(PODS, "p", "ns")
    assert server.refusals < 999
    left = server.refusals
    with pytest.raises(ForbiddenError):
        await api.get(PODS, "p", "ns")
    assert server.refusals == left - 1


async def test_a_right_that_was_withdrawn_and_given_back_is_one_again(starting, monkeypatch):
    monkeypatch.setattr(rights, "EARLY_S", 0.2)
    server, api = starting
    furnish(server)
    server.refusals = 1
    with pytest.raises(ForbiddenError):
        await api.get(PODS, "p", "ns")
    await api.get(PODS, "p", "ns")
    server.refusals = 2
    await api.get(PODS, "p", "ns")
    assert server.refusals == 0


async def test_a_token_that_was_withdrawn_ends_every_call_after_one_wait_for_all(starting, monkeypatch):
    monkeypatch.setattr(rights, "EARLY_S", 0.2)
    server, api = starting
    furnish(server)
    await api.get(PODS, "p", "ns")
    server.tokens = set()
    for _ in range(2):
        with pytest.raises(LoginError):
            await api.get(PODS, "p", "ns")
    asked = len(server.calls(PODS_PATH))
    with pytest.raises(LoginError):
        await api.list(PODS, "ns")
    assert len(server.calls(PODS_PATH)) == asked + 1


async def test_a_token_that_comes_to_be_known_late_is_not_read_anew_each_time(starting, monkeypatch):
    read, resolve_login = [], connection.resolve_login

    def count(login):
        read.append(login)
        return resolve_login(login)

    monkeypatch.setattr(connection, "resolve_login", count)
    server, api = starting
    furnish(server)
    server.refusals, server.code, server.words = 6, 401, "Unauthorized"
    api._connection.rights.note_away()
    await api.get(PODS, "p", "ns")
    assert len(read) == 1


async def test_admission_that_is_not_ready_is_asked_again(starting):
    server, api = starting
    furnish(server)
    server.refusals, server.words = 3, NOT_READY
    assert name_of(await api.create(PODS, pod("p"), namespace="ns")) == "p"


async def test_a_quota_is_told_at_once_also_after_the_server_was_away(starting):
    server, api = starting
    furnish(server)
    await api.create(PODS, pod("p"), namespace="ns")
    api._connection.rights.note_away()
    server.refusals, server.words = 100, 'pods "p" is forbidden: exceeded quota: q'
    with pytest.raises(ForbiddenError, match="exceeded quota"):
        await api.create(PODS, pod("p"), namespace="ns")
    assert server.refusals == 99


async def test_a_review_that_denies_what_was_permitted_is_asked_again(server, api):
    server.script(POD, pod("p"))
    await api.get(PODS, "p", "ns")
    no, yes = {"status": {"allowed": False}}, {"status": {"allowed": True}}
    server.script(REVIEWS, no, no, yes, method="POST")
    assert await api.may("get", PODS, namespace="ns")
    server.script(REVIEWS, no, method="POST")
    asked = len(server.calls(REVIEWS))
    assert not await api.may("watch", PODS, namespace="ns")
    assert len(server.calls(REVIEWS)) == asked + 1
