"""A node's counters as the real worker prints them, and as they are read."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from freepage.metrics import NODE_METRICS
from freepage.sampling import procfs
from freepage.sampling.node_lines import parse_node_line, sampler_command
from freepage.sampling.procfs import NODE_FILES, read_host, read_host_from
from freepage.worker.build import build_worker

RECORDED = Path(__file__).parents[1] / "recorded"


def sample(*arguments, seconds=0.0):
    """Give the lines of a sampler that is ended after its first line and some seconds."""
    command = [build_worker(), "sample", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(10) == 0
    return [json.loads(line) for line in (first + rest).splitlines()]


def test_the_sampler_gives_the_same_numbers_as_reading_the_files():
    with subprocess.Popen([build_worker(), *sampler_command(1.0)], stdout=subprocess.PIPE) as process:
        line = parse_node_line(process.stdout.readline().decode())
        process.terminate()
    values = read_host_from(line.read, line.page_bytes)
    assert set(values) == {m.id for m in NODE_METRICS}
    there = {key for key, value in values.items() if value is not None}
    assert there == {key for key, value in read_host().items() if value is not None}
    assert values["mem_total_bytes"] == read_host()["mem_total_bytes"]
    assert abs(line.clock_s - time.monotonic()) < 10
    assert abs(line.wall_s - time.time()) < 10


def test_the_lines_a_node_prints_give_what_its_whole_files_would():
    """One source of truth: what is kept by its start is all that the parsers look at."""
    recorded = {
        "/proc/meminfo": "meminfo-6.18.txt",
        "/proc/stat": "stat-6.18.txt",
        "/proc/vmstat": "vmstat-6.18.txt",
        "/proc/pressure/memory": "pressure-memory-6.18.txt",
    }
    texts = {path: (RECORDED / name).read_text() for path, name in recorded.items()}
    texts["/proc/zoneinfo"] = Path("/proc/zoneinfo").read_text()
    kept = {path: keep(text, NODE_FILES[path]) for path, text in texts.items()}
    assert len(kept["/proc/vmstat"]) < len(texts["/proc/vmstat"]) / 5
    assert read_host_from(lambda path: kept.get(path, "")) == read_host_from(lambda path: texts.get(path, ""))


def keep(text, starts):
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not starts or line.lstrip().startswith(starts))


def test_every_file_that_is_read_is_printed():
    asked = []
    read_host_from(lambda path: asked.append(path) or "")
    assert set(asked) == set(NODE_FILES)


def test_a_line_is_small_enough_for_a_log_of_thousands():
    (line,) = sample(*sampler_command(100.0)[1:])
    assert len(json.dumps(line)) < 8000


def test_lines_are_kept_by_how_they_start_after_blanks(tmp_path):
    path = tmp_path / "text"
    path.write_text('cpu  1 "2"\ncpu0 1\n   count: 3\n\tcount: 4\nrecount: 5\nlast \\ without an end')
    (line,) = sample(1000, f"{path}:cpu ,count:,last", f"{path}:nothing", path, tmp_path / "none", tmp_path)
    assert line["files"][str(tmp_path / "none")] is None
    assert line["files"][str(tmp_path)] is None
    assert line["files"][str(path)] == path.read_text()
    (line,) = sample(1000, f"{path}:cpu ,count:,last")
    assert line["files"][str(path)] == 'cpu  1 "2"\n   count: 3\n\tcount: 4\nlast \\ without an end'


def test_ticks_stand_on_a_fixed_grid_and_those_missed_are_left_out(tmp_path):
    process = subprocess.Popen([build_worker(), "sample", "50", "/proc/stat:cpu "], stdout=subprocess.PIPE)
    with process:
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        process.terminate()
        lines = [first, *map(json.loads, process.stdout)]
    assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
    ticks = [(line["clock_ns"] - first["clock_ns"]) / 5e7 for line in lines]
    assert len(lines) < ticks[-1]
    late = sorted(abs(tick - round(tick)) for tick in ticks)
    assert late[len(late) // 2] < 0.2


def test_a_file_too_large_is_not_there(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * (2**20 + 1))
    (line,) = sample(1000, path)
    assert line["files"] == {str(path): None}


@pytest.mark.parametrize(
    "arguments", [[], ["1000"], ["0", "/proc/stat"], ["x", "/proc/stat"], ["1", *["/f"] * 33]]
)
def test_what_cannot_be_sampled_is_said(arguments):
    command = [build_worker(), "sample", *arguments]
    outcome = subprocess.run(command, capture_output=True, timeout=10, check=False)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith(b"worker sample INTERVAL_MS FILE")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "3",
        '{"type":"ready"}',
        '{"type":"sample"}',
        '{"type":"sample","n":1,"clock_ns":"1"}',
        '{"n":1,"type":"sample","clock_ns":1,"wall_ns":1,"page_bytes":1,"files":[]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_line_of_the_sampler_is_nothing(text):
    assert parse_node_line(text) is None


def test_a_file_that_could_not_be_read_gives_missing_values():
    said = {"n": 4, "type": "sample", "clock_ns": 5 * 10**8, "wall_ns": 10**9, "page_bytes": 65536}
    line = parse_node_line(
        json.dumps({**said, "files": {"/proc/zoneinfo": "  count: 2\n", "/proc/stat": None}})
    )
    assert (line.number, line.clock_s, line.wall_s) == (4, 0.5, 1.0)
    values = read_host_from(line.read, line.page_bytes)
    assert values.pop("mem_per_cpu_free_bytes") == 2 * 65536
    assert set(values.values()) == {None}


def test_no_start_holds_what_separates_the_workers_arguments():
    assert len(NODE_FILES) < 32
    assert not [path for path in NODE_FILES if ":" in path]
    assert not [start for starts in NODE_FILES.values() for start in starts if "," in start]
    assert procfs.NODE_FILES["/proc/zoneinfo"] == ("count:",)
