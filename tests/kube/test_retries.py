"""Calls that are made again, and those that are not."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from freepage.kube import api as api_module
from freepage.kube import retries
from freepage.kube.call import Call
from freepage.kube.errors import (
    ClusterError,
    UnreachableError,
)
from freepage.kube.resources import PODS, name_of
from freepage.kube.retries import ATTEMPTS
from helpers.api_server import (
    POD,
    PODS_PATH,
    ApiServer,
    pod,
    streaming,
)


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


async def test_reading_is_given_up_after_five_attempts(server, api):
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


async def test_what_is_cleaned_up_is_deleted_by_a_server_that_is_away_for_longer(server, api, monkeypatch):
    failures = [server.answer_with(500, "InternalError")] * (ATTEMPTS + 1)
    server.script(POD, *failures, pod("p"), method="DELETE")
    await api.delete(PODS, "p", namespace="ns")
    assert len(server.calls(POD)) == ATTEMPTS + 2
    monkeypatch.setattr(api_module, "DELETE_DEADLINE_S", 0.0)
    server.script(POD, failures[0], method="DELETE")
    with pytest.raises(ClusterError):
        await api.delete(PODS, "p", namespace="ns")


async def test_a_server_that_names_a_time_to_come_back_has_not_written(server, api):
    """A server that has just started and does not know all its paths yet says so."""
    unready = server.answer_with(503, "ServiceUnavailable", headers={"Retry-After": "0"})
    server.script(PODS_PATH, unready, pod("p"), method="POST")
    assert name_of(await api.create(PODS, pod("p"), namespace="ns")) == "p"


async def test_an_answer_that_does_not_come_is_not_waited_for_without_end(server, api):
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


@pytest.mark.parametrize("code", [429, 503])
async def test_a_login_to_a_busy_server_is_tried_as_often_as_any_call(tmp_path, code):
    server = ApiServer()
    busy = server.answer_with(code, "Busy", headers={"Retry-After": "0"})
    server.script("/version", *[busy] * 4, {"gitVersion": "v1"})
    async with server.serve(), server.log_in(tmp_path):
        assert len(server.calls("/version")) == 5


async def test_a_login_to_a_server_that_stays_busy_is_given_up_with_its_words(tmp_path):
    server = ApiServer()
    server.script(
        "/version",
        server.answer_with(429, "TooManyRequests", "try again later", headers={"Retry-After": "0"}),
    )
    with pytest.raises(ClusterError, match="try again later"):
        async with server.serve(), server.log_in(tmp_path):
            pass
    assert len(server.calls("/version")) == 5


async def test_a_login_to_an_address_that_does_not_answer_is_tried_twice(tmp_path):
    server = ApiServer()
    server.script("/version", streaming(b"", drop=True))
    with pytest.raises(UnreachableError):
        async with server.serve(), server.log_in(tmp_path):
            pass
    assert len(server.calls("/version")) == 2


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
