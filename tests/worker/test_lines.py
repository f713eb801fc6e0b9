"""The worker's own lines: numbered, kept, and sent again."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from freepage.worker.build import build_worker

STEP = {"op": "step", "process": 0, "at_ns": 0, "action": "allocate", "bytes": 4096}


def tell(*commands):
    """Give what the worker answers to commands before its input ends."""
    told = b"".join(c if isinstance(c, bytes) else json.dumps(c).encode() + b"\n" for c in commands)
    outcome = subprocess.run([build_worker()], input=told, capture_output=True, timeout=30, check=True)
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def again(start, id_=9):
    return {"op": "again", "id": id_, "from": start}


def test_every_line_has_the_next_number_and_is_said_again_unchanged():
    ping = {"op": "ping", "id": 1}
    said = tell(ping, b"garbage\n", ping, again(2))
    assert [line["n"] for line in said] == [1, 2, 3, 4, 2, 3, 4, 5]
    assert said[1:4] == said[4:7]
    assert said[7] == {"n": 5, "type": "said", "id": 9, "from": 2}


def test_nothing_is_said_again_when_nothing_was_lost():
    assert tell(again(2))[1:] == [{"n": 2, "type": "said", "id": 9, "from": 2}]


@pytest.mark.parametrize("start", [0, 1, 5000])
def test_a_line_that_is_not_kept_cannot_be_said_again(start):
    pings = [{"op": "ping", "id": number} for number in range(4500)]
    last = tell(*pings, again(start))[-1]
    assert (last["type"], last["id"]) == ("error", 9)
    assert "no longer kept, or has never been said" in last["message"]


def test_what_is_kept_reaches_as_far_back_as_256_kib():
    pings = [{"op": "ping", "id": number} for number in range(6000)]
    lines = tell(*pings)
    size = sum(len(json.dumps(line, separators=(",", ":"))) + 1 for line in lines[-4000:])
    assert size < 256 * 1024
    said = tell(*pings, again(len(lines) - 3999))
    assert said[-1]["type"] == "said"
    assert [line["n"] for line in said[-4001:-1]] == [line["n"] for line in lines[-4000:]]


def test_of_a_line_too_long_to_be_kept_its_number_is(tmp_path):
    (tmp_path / "long").write_text("x" * 70_000)
    read = {"op": "read", "id": 3, "path": str(tmp_path / "long")}
    said = tell(read, {"op": "ping", "id": 4}, again(2))
    assert len(said[1]["text"]) == 70_000
    assert said[3] == {"n": 2, "type": "forgotten"}
    assert said[4] == said[2]


def test_a_file_is_read_as_far_as_asked(tmp_path):
    (tmp_path / "text").write_text("abcdef")
    read = {"op": "read", "id": 3, "path": str(tmp_path / "text"), "offset": 1, "bytes": 2}
    assert tell(read)[1]["text"] == "bc"
    assert tell(read | {"bytes": 2**20})[1]["type"] == "error"


def test_a_step_told_twice_is_one_and_one_that_was_lost_is_missed():
    loaded = {"op": "loaded", "id": 1}
    said = tell(STEP | {"index": 0}, STEP | {"index": 0}, STEP | {"index": 2}, loaded)
    assert [line["type"] for line in said[1:]] == ["error", "loaded"]
    assert "the step before it is missing" in said[1]["message"]
    assert said[2]["steps"] == 1
    assert tell(STEP, loaded)[1]["type"] == "error"


def test_a_start_told_twice_is_answered_twice_and_done_once():
    start = {"op": "start", "id": 5, "zero_ns": 1}
    said = tell(STEP | {"index": 0, "at_ns": 10**15}, start, start, start | {"id": 6})
    assert [(line["type"], line["id"]) for line in said[1:]] == [("started", 5), ("started", 5), ("error", 6)]


def test_a_barrier_told_again_to_a_process_that_ends_meanwhile_is_no_error():
    """A process that is told goes on and ends, while the worker still takes commands for it and has not reaped it."""
    go = {"op": "go", "id": 2, "process": 0, "index": 0, "at_ns": 1}
    said = tell(STEP | {"index": 0, "barrier": 1}, {"op": "start", "id": 1, "zero_ns": 1}, *[go] * 3000)
    assert {line["type"] for line in said if line.get("id") == 2} == {"going"}


def test_a_worker_ends_when_it_is_told_to_terminate():
    process = subprocess.Popen([build_worker()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert json.loads(process.stdout.readline())["type"] == "ready"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_worker_on_a_terminal_gets_and_gives_bytes_as_they_are():
    ours, theirs = os.openpty()
    process = subprocess.Popen([build_worker()], stdin=theirs, stdout=theirs, start_new_session=True)
    os.close(theirs)
    try:
        said = os.read(ours, 4096)
        long = json.dumps({"op": "read", "id": 1, "path": "/nonesuch" + "\x03\x04\x7f" * 2000}).encode()
        os.write(ours, long[:3000])
        for start in range(3000, len(long), 3000):
            os.write(ours, long[start : start + 3000])
        os.write(ours, b"\n")
        while said.count(b"\n") < 2:
            said += os.read(ours, 4096)
    finally:
        process.terminate()
        process.wait(10)
        os.close(ours)
    assert b"\r" not in said
    assert json.loads(said.splitlines()[1])["errno"] == 36
