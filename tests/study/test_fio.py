"""The arguments of fio, by what the real fio makes of them."""

from __future__ import annotations

import json
import subprocess
import zlib

import pytest

from freepage.study import fio
from freepage.study.fio import FioJob, fio_runs
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


def test_the_device_comes_first_then_the_files_then_reads_before_writes():
    labels = [run.label for run in fio_runs(JOB, 1)]
    assert labels == [
        "device/randwrite/1",
        "device/randwrite/4",
        "device/read/1",
        "device/read/4",
        "prepare",
        "cell/read/1",
        "cell/read/4",
        "cell/randwrite/1",
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
def test_the_real_fio_lays_out_incompressible_files_of_the_size_and_reads_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(fio, "DATA", str(tmp_path))
    said = {}
    for run in fio_runs(JOB, 1):
        if run.label.startswith("device"):
            continue
        outcome = subprocess.run(run.argv, capture_output=True, text=True, timeout=60, check=False)
        assert outcome.returncode == 0, outcome.stderr
        said[run.label] = json.loads(outcome.stdout[outcome.stdout.index("{") :])
        files = sorted(tmp_path.iterdir())
        assert [(f.name, f.stat().st_size) for f in files] == [(f"test.{n}", 2 * MIB) for n in range(4)]
        if run.label == "prepare":
            content = files[3].read_bytes()
            assert len(zlib.compress(content, 1)) > 0.98 * len(content)
            assert len({f.read_bytes() for f in files}) == 4
    assert said["cell/read/1"]["jobs"][0]["read"]["io_bytes"] >= 8 * MIB
    assert said["cell/randwrite/4"]["jobs"][0]["write"]["bw_bytes"] > 0
