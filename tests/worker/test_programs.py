"""Programs and barriers, by the real worker."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from freepage.records import Action, Arm, ProcessSchedule, Step
from freepage.run.barrier import Barrier
from freepage.study.plan import InstancePlan
from freepage.units import MIB
from freepage.worker.build import build_worker
from freepage.worker.channel import LONGEST_LINE_BYTES, open_process_channel
from freepage.worker.client import PART_BYTES, WorkerClient


@asynccontextmanager
async def worker(folder, name="pod-0"):
    process = await asyncio.create_subprocess_exec(
        build_worker(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LONGEST_LINE_BYTES,
        env={"FREEPAGE_OUTPUT": str(folder)},
    )
    client = WorkerClient(open_process_channel(process), name)
    try:
        await client.wait_ready(30)
        await client.ping()
        yield client
    finally:
        await client.close()
        await asyncio.wait_for(process.wait(), 30)


def run_step(script, at_s=0.0, timeout_s=10.0, index=0):
    argv = script if isinstance(script, tuple) else ("sh", "-c", script)
    return Step(at_s, Action.RUN, 0, index, argv=argv, timeout_s=timeout_s, label="command")


async def run_all(client, *steps):
    events = []
    await client.load([ProcessSchedule(0, steps)])
    await client.start(time.monotonic())
    await client.wait_done(events.append, 60)
    return events


def is_alive(pid):
    """Whether a process still runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read_or_wait(path, seconds=10):
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, path
        time.sleep(0.01)
    return path.read_text()


async def test_a_program_runs_with_its_arguments_and_its_output_is_kept(tmp_path):
    script = ("sh", "-c", 'printf "%s|" "$@"; echo bad >&2; echo "$HOME $PATH"', "sh", "two words", "ünï")
    async with worker(tmp_path) as client:
        (event,) = await run_all(client, run_step(script))
        out = await client.read_whole(str(tmp_path / "run-0-0.out"))
        errors = await client.read_whole(str(tmp_path / "run-0-0.err"))
    assert (event.action, event.ok, event.bytes) == ("run", True, 0)
    assert out.decode().startswith("two words|ünï|/tmp /usr/local/bin:/usr/bin")
    assert errors == b"bad\n"


@pytest.mark.parametrize(
    ("script", "timeout_s", "error"),
    [
        ("exit 3", 10, "ended with status 3"),
        ("kill -9 $$", 10, "was ended by signal 9"),
        (("nonesuch",), 10, "No such file or directory"),
        ("sleep 60 & sleep 60", 1, "did not end within 1 s"),
    ],
)
async def test_a_program_that_fails_says_how_and_the_next_one_runs(tmp_path, script, timeout_s, error):
    async with worker(tmp_path) as client:
        first, second = await run_all(
            client, run_step(script, timeout_s=timeout_s), run_step("true", index=1)
        )
    assert (first.ok, first.error) == (False, error)
    assert second.ok


async def test_a_program_that_takes_too_long_is_ended_with_its_own_children(tmp_path):
    async with worker(tmp_path) as client:
        await run_all(client, run_step("sleep 61 & echo $!; sleep 61", timeout_s=0.5))
        child = int((tmp_path / "run-0-0.out").read_text())
    await asyncio.sleep(0.1)
    assert not is_alive(child)


async def test_the_cpu_of_a_program_and_what_it_reads_are_counted(tmp_path):
    script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    async with worker(tmp_path) as client:
        (event,) = await run_all(client, run_step(script))
    assert 0.02 < event.user_s <= event.wall_s + 0.1
    assert event.minor_faults > 50
    assert event.read_bytes is not None


async def test_a_held_block_stays_while_a_program_runs(tmp_path):
    steps = (
        Step(0.0, Action.ALLOCATE, 8 * MIB, 0),
        run_step("true", 0.05),
        Step(0.1, Action.FREE, 8 * MIB, 0),
    )
    async with worker(tmp_path) as client:
        events = await run_all(client, *steps)
    assert [(e.action, e.ok) for e in events] == [("allocate", True), ("run", True), ("free", True)]
    assert events[2].bytes == 8 * MIB


async def test_the_worker_takes_its_programs_with_it(tmp_path):
    async with worker(tmp_path) as client:
        await client.load([ProcessSchedule(0, (run_step("echo $$; exec sleep 60", timeout_s=60),))])
        await client.start(time.monotonic())
        program = int(await asyncio.to_thread(read_or_wait, tmp_path / "run-0-0.out"))
        assert is_alive(program)
    await asyncio.sleep(0.1)
    assert not is_alive(program)


async def test_a_file_longer_than_one_reply_is_read_in_parts(tmp_path):
    path = tmp_path / "long"
    path.write_bytes(os.urandom(3 * PART_BYTES + 17))
    async with worker(tmp_path) as client:
        assert await client.read_whole(str(path)) == path.read_bytes()
        path.write_bytes(b"x" * PART_BYTES)
        assert await client.read_whole(str(path)) == path.read_bytes()
        assert await client.read_whole(str(tmp_path / "none")) is None


async def test_processes_of_two_workers_meet_at_every_barrier(tmp_path):
    """One of them comes 0.3 s later to its second step; both then start it together."""

    def plan(name, second_s):
        steps = (
            Step(0.0, Action.ALLOCATE, MIB, 0, barrier=True),
            Step(second_s, Action.FREE, MIB, 0, barrier=True),
        )
        return InstancePlan(name, Arm.POD, 1, 0, (ProcessSchedule(0, steps),))

    plans = [plan("a", 0.05), plan("b", 0.35)]
    events = []
    async with worker(tmp_path, "a") as a, worker(tmp_path, "b") as b:
        workers = {"a": a, "b": b}
        meeting = Barrier(plans, workers)
        for p in plans:
            client = workers[p.name]
            client.on_waiting = lambda process, index, name=p.name: meeting.arrive(name, process, index)
            await client.load(p.schedules)
        zero_s = time.monotonic() + 0.05
        for client in workers.values():
            await client.start(zero_s)
        await asyncio.gather(*(client.wait_done(events.append, 30) for client in workers.values()))
    frees = [e for e in events if e.action == "free"]
    assert len(frees) == 2
    assert abs(frees[0].planned_s - frees[1].planned_s) < 0.005
    assert all(e.t_s >= 0.35 and 0 <= e.late_s < 0.25 for e in frees)


async def test_a_step_that_cannot_be_is_refused(tmp_path):
    async with worker(tmp_path) as client:
        with pytest.raises(Exception, match="argv or timeout_ns"):
            await client.load([ProcessSchedule(0, (Step(0.0, Action.RUN, 0, 0),))])


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_worker_without_input_or_output_ends(closed):
    command = ["/bin/sh", "-c", f'exec "$0" {closed}', build_worker()]
    assert subprocess.run(command, timeout=20, check=False, input=b"").returncode == 1
