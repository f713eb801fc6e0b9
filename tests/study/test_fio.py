"""The arguments of fio, by what the real fio makes of them."""

from __future__ import annotations

import json
import subprocess
import zlib
from dataclasses import replace

import pytest

from freepage.study import fio
from freepage.study.fio import FioJob, FioOptions, fio_runs
from freepage.units import MIB

JOB = FioJob(
    file_bytes=8 * MIB,
    streams=(1, 4),
    operations=("read", "randwrite"),
    runtime_s=0.1,
    prepare_s=1.0,
    margin_s=0.5,
    filesystem="ext4",
)


def test_the_device_comes_first_then_files_for_each_number_of_streams_and_reads_before_writes():
    labels = [run.label for run in fio_runs(JOB, 1)]
    assert labels == [
        "device/randwrite/1",
        "device/randwrite/4",
        "device/read/1",
        "device/read/4",
        "prepare",
        "cell/read/1",
        "cell/randwrite/1",
        "prepare",
        "cell/read/4",
        "cell/randwrite/4",
    ]


def test_runs_follow_each_other_by_plan_and_end_with_the_job():
    runs = fio_runs(JOB, 1)
    starts = [run.at_s for run in runs]
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert starts[-1] + JOB.runtime_s + JOB.margin_s == pytest.approx(JOB.duration_s)
    assert all(run.timeout_s > 10 for run in runs)


def test_cells_keep_the_page_cache_and_the_device_is_measured_past_it():
    by_label = {run.label: run.argv for run in fio_runs(JOB, 1)}
    assert {"--invalidate=0", "--direct=0"} <= set(by_label["cell/read/1"])
    assert "--direct=1" in by_label["device/read/1"]
    assert fio_runs(JOB, 1) != fio_runs(JOB, 2)


@pytest.mark.long
def test_the_real_fio_lays_out_incompressible_files_of_the_size_one_for_each_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(fio, "DATA", str(tmp_path))
    said, sizes, content = {}, {}, []
    for run in fio_runs(JOB, 1):
        if run.label.startswith("device"):
            continue
        outcome = subprocess.run(run.argv, capture_output=True, text=True, timeout=60, check=False)
        assert outcome.returncode == 0, outcome.stderr
        said[run.label] = json.loads(outcome.stdout[outcome.stdout.index("{") :])
        sizes[run.label] = [f.stat().st_size for f in sorted(tmp_path.iterdir())]
        content = content or [f.read_bytes() for f in tmp_path.iterdir()]
    assert sizes["cell/read/1"] == [8 * MIB]
    assert sizes["cell/randwrite/1"] == [], (
        "the last fio takes away the files that the next streams have no use for"
    )
    assert sizes["cell/read/4"] == sizes["cell/randwrite/4"] == [2 * MIB] * 4
    assert len(zlib.compress(content[0], 1)) > 0.98 * len(content[0])
    assert said["cell/read/1"]["jobs"][0]["read"]["io_bytes"] >= 8 * MIB
    assert said["cell/randwrite/4"]["jobs"][0]["write"]["bw_bytes"] > 0


def test_the_real_fio_takes_the_options_of_a_study(tmp_path, monkeypatch):
    monkeypatch.setattr(fio, "DATA", str(tmp_path))
    job = replace(JOB, streams=(1,), operations=("read",), options=FioOptions("libaio", 4, True, 64 * 1024))
    for run in fio_runs(job, 1):
        outcome = subprocess.run(run.argv, capture_output=True, text=True, timeout=60, check=False)
        assert outcome.returncode == 0, outcome.stderr
    given = json.loads(outcome.stdout[outcome.stdout.index("{") :])["jobs"][0]["job options"]
    assert (given["ioengine"], given["iodepth"], given["direct"], given["bs"]) == (
        "libaio",
        "4",
        "1",
        "65536",
    )
