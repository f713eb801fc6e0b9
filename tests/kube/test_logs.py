"""Containers' logs: read, and followed over lost connections without losing or repeating a line."""

from __future__ import annotations

import asyncio

import pytest

from freepage.kube import logs
from freepage.kube.errors import ClusterError, NotFoundError
from helpers.api_server import POD, streaming

AT = {"namespace": "ns", "container": "c"}


def log(*lines):
    return b"".join(f"2026-01-02T03:04:{second:012.9f}Z {text}\n".encode() for second, text in lines)


def pod(state):
    return {"status": {"phase": "Running", "containerStatuses": [{"name": "c", "state": {state: {}}}]}}


ENDED = {
    "status": {
        "phase": "Running",
        "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}],
    }
}


async def follow(api):
    return [line async for line in api.follow_log("p", **AT)]


async def test_a_log_is_read_as_it_is(server, api):
    server.script(f"{POD}/log", b"one\ntwo \xff\n")
    assert await api.read_log("p", **AT, tail_lines=2, limit_bytes=100) == "one\ntwo \ufffd\n"
    query = server.asked[-1].query
    assert query == {"container": "c", "tailLines": "2", "limitBytes": "100"}


async def test_a_log_is_followed_to_the_end_of_its_container(server, api):
    server.script(f"{POD}/log", streaming(log((5, "one")), log((6.25, "two"))[:-1]))
    server.script(POD, ENDED)
    lines = await follow(api)
    assert [line.text for line in lines] == ["one", "two"]
    assert lines[1].time_s == pytest.approx(1767323046.25)
    assert server.calls(f"{POD}/log")[0].query["timestamps"] == "true"


async def test_a_log_goes_on_after_a_lost_connection_without_losing_or_repeating_a_line(server, api):
    same = [(5.1, "a"), (5.2, "b"), (5.2, "b")]
    server.script(
        f"{POD}/log",
        streaming(log((4, "old"), *same), log((5.2, "c"))[:20], drop=True),
        streaming(log(*same, (5.2, "c")), drop=True),
        streaming(log(*same, (5.2, "c"), (5.3, "d"), (7, "e"))),
    )
    server.script(POD, ENDED)
    assert [line.text for line in await follow(api)] == ["old", "a", "b", "b", "c", "d", "e"]
    since = [c.query.get("sinceTime") for c in server.calls(f"{POD}/log")]
    assert since == [None, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"]


async def test_a_log_whose_stream_ends_before_its_container_is_asked_for_again(server, api):
    server.script(f"{POD}/log", streaming(log((1, "one"))), streaming(log((1, "one"), (2, "two"))))
    server.script(POD, pod("running"), ENDED)
    assert [line.text for line in await follow(api)] == ["one", "two"]


async def test_a_half_line_is_not_given_before_the_end(server, api):
    half = log((1, "whole line"))[:-6]
    server.script(f"{POD}/log", streaming(half), streaming(log((1, "whole line"))))
    server.script(POD, pod("running"), ENDED)
    assert [line.text for line in await follow(api)] == ["whole line"]


async def test_a_log_ends_with_its_pod(server, api):
    server.script(f"{POD}/log", streaming(log((1, "one")), drop=True), server.answer_with(404, "NotFound"))
    assert [line.text for line in await follow(api)] == ["one"]


async def test_a_log_of_no_pod_is_an_error(server, api):
    server.script(f"{POD}/log", server.answer_with(404, "NotFound", 'pods "p" not found', {"name": "p"}))
    with pytest.raises(NotFoundError, match='pods "p" not found'):
        await follow(api)


async def test_a_silent_log_is_asked_for_anew(server, api, monkeypatch):
    monkeypatch.setattr(logs, "QUIET_LIMIT_S", 0.2)
    server.script(f"{POD}/log", streaming(log((1, "one")), hold=True), streaming(log((1, "one"), (2, "two"))))
    server.script(POD, ENDED)
    assert [line.text for line in await follow(api)] == ["one", "two"]


async def test_a_log_that_is_silent_from_the_start_is_no_failure(server, api, monkeypatch):
    monkeypatch.setattr(logs, "QUIET_LIMIT_S", 0.05)

    async def say_nothing(request):
        await asyncio.sleep(3600)

    server.script(f"{POD}/log", *[say_nothing] * 10, streaming(log((1, "at last"))))
    server.script(POD, ENDED)
    assert [line.text for line in await follow(api)] == ["at last"]


async def test_what_the_node_says_in_a_log_s_place_is_an_error(server, api):
    server.script(f"{POD}/log", streaming(b"unable to retrieve container logs for containerd://1"))
    server.script(POD, ENDED)
    with pytest.raises(ClusterError, match="unable to retrieve"):
        await follow(api)


async def test_a_log_line_may_be_two_mebibytes_long_and_hold_any_character(server, api):
    text = "x" * (2 << 20) + "\u2028 \x0b\r end"
    server.script(f"{POD}/log", streaming(log((1, text))))
    server.script(POD, ENDED)
    assert [line.text for line in await follow(api)] == [text]


@pytest.mark.parametrize(
    ("stamp", "time_ns"),
    [
        (b"2026-01-02T03:04:05Z", 1767323045_000000000),
        (b"2026-01-02T03:04:05.5Z", 1767323045_500000000),
        (b"2026-01-02T05:04:05.000000001+02:00", 1767323045_000000001),
    ],
)
def test_timestamps_are_exact_to_the_nanosecond(stamp, time_ns):
    assert logs.parse_time_ns(logs.STAMP.match(stamp)) == time_ns
