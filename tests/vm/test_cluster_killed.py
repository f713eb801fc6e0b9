"""Nothing of the test cluster outlives it, however it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

PROGRAM = Path(__file__).parents[1] / "helpers/cluster_to_kill.py"
DEADLINE_S = 15


def test_a_cluster_that_is_killed_leaves_no_container_no_cgroup_and_no_server(tmp_path):
    with subprocess.Popen([sys.executable, PROGRAM, tmp_path / "nodes"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"running\n"
        mark = f"freepage-{process.pid}"
        assert find_left(mark, tmp_path)
        process.kill()
    end_s = time.monotonic() + DEADLINE_S
    while (left := find_left(mark, tmp_path)) and time.monotonic() < end_s:
        time.sleep(0.1)
    assert not left


def find_left(mark, folder):
    """Return the cgroups and processes of a cluster, by the name of its cgroup and by its folder."""
    processes = [
        command
        for path in Path("/proc").glob("[0-9]*")
        if (command := read_quietly(path / "cmdline"))
        and (mark in read_quietly(path / "cgroup") or str(folder) in command)
    ]
    cgroups = [path for pattern in (mark, f"*/{mark}") for path in Path("/sys/fs/cgroup").glob(pattern)]
    return [*map(str, cgroups), *processes]


def read_quietly(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
