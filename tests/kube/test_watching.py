"""Watches that go on where they were, or give the difference."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from aiohttp import web

from freepage.kube.errors import (
    ClusterError,
    ForbiddenError,
)
from freepage.kube.resources import PODS, name_of
from helpers.api_server import (
    DENIED,
    PODS_PATH,
    event,
    page,
    pod,
    streaming,
)


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
