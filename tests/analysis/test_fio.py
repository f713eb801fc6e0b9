"""What fio measured in one trial, from its own words to cells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.analysis.fio import is_cached, measure_cells, parse_fio
from freepage.records import Arm, TrialStatus
from freepage.store import load_trial
from freepage.units import MIB
from helpers.fio_run import CACHED, DEVICE, GUEST_IO, fio_json, write_io_run


def test_what_fio_says_is_read_past_its_warnings_and_added_up_over_jobs():
    found = parse_fio(fio_json("randread", 5e6, 7_000_000), "randread")
    assert (found.bytes_per_s, found.io_bytes) == (5e6, 7e6)
    assert parse_fio("fio: died", "read") is None
    assert parse_fio('{"jobs": []}', "read") is None
    assert parse_fio('{"jobs": [{"read": {}}]}', "read") is None


RESULT = fio_json("read", 5e6, 7_000_000).partition("\n")[2]
SNAPSHOT = RESULT.replace("7000000", "1000000")


@pytest.mark.parametrize(
    "text",
    [
        f"fio: pid=41, err=5/file:ioengines.c:351, func=td_io_queue, error=Input/output error\n{RESULT}",
        f"CPU mask cannot bind CPUs\n\n{RESULT}\nfio: terminating on signal {{15}}\n",
        f"\ufeffnote: both iodepth >= 1 and synchronous I/O engine are selected {RESULT}",
        f'fio: bad job {{"name": x\n{RESULT}{{"done": true}}',
        f"{SNAPSHOT}\n{RESULT}\n",
        RESULT.replace(
            '"jobname"', '"filename": "x", "filename": "y", "bw_dev": -nan, "lat": inf, "jobname"'
        ),
    ],
)
def test_words_around_fios_json_and_what_is_no_number_in_it_are_read_over(text):
    found = parse_fio(text, "read")
    assert (found.bytes_per_s, found.io_bytes) == (5e6, 7e6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        RESULT[:-9],
        f"{SNAPSHOT}\n{RESULT[:60]}",
        f"{SNAPSHOT}\n{RESULT[:20]}",
        RESULT[:80] + "\nfio: a word in the middle\n" + RESULT[80:],
        RESULT.replace("5000000.0", "NaN"),
        RESULT.replace("5000000.0", "-inf"),
        RESULT.replace("5000000.0", "-5"),
        RESULT.replace("5000000.0", '"fast"'),
        RESULT.replace("5000000.0", "1e999"),
        RESULT.replace("bw_bytes", "bw"),
        '{"jobs": null}',
        '{"jobs": [null]}',
        '{"jobs": {"read": 1}}',
        "{" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_an_fio_that_was_cut_off_or_says_no_number_has_no_result(text):
    assert parse_fio(text, "read") is None


@pytest.mark.parametrize(
    ("operation", "speed", "device", "share", "cached"),
    [
        ("read", 100, 1000, 0.01, True),
        ("read", 5000, 1000, 0.5, False),
        ("randread", 160, 100, None, True),
        ("write", 160, 100, None, True),
        ("write", 140, 100, 0.0, False),
        ("write", 140, None, None, None),
        ("read", None, 100, 0.0, None),
    ],
)
def test_a_read_is_cached_when_little_came_from_the_device_and_a_write_when_it_was_faster(
    operation, speed, device, share, cached
):
    assert is_cached(operation, speed, device, share) is cached


def test_what_several_instances_move_is_added_up(tmp_path):
    several = GUEST_IO.replace('file = "64MiB"', 'file = "64MiB"\ninstances = 3')
    run = write_io_run(
        tmp_path / "run", several, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED},
        failing=[(Arm.VM, "cell/write/1")],
    )  # fmt: skip
    cells = measure_cells(next(t for t in run.trials if t.record.arm is Arm.POD and not t.record.repeat))
    assert cells["read-1"].bytes_per_s == pytest.approx(3 * 900 * MIB)
    assert cells["read-1"].device_bytes_per_s == pytest.approx(3 * DEVICE)
    assert cells["read-1"].from_device == 0.0
    failed = measure_cells(next(t for t in run.trials if t.record.arm is Arm.VM))["write-1"]
    assert (failed.bytes_per_s, failed.reason) == (None, "fio ended with status 1: fio: no space")


def test_cells_without_output_or_of_another_kind_are_empty(tmp_path):
    run = write_io_run(tmp_path / "run", GUEST_IO, {Arm.POD: CACHED, Arm.VM: CACHED, Arm.VM_FPR: CACHED})
    folder = next((run.folder / "trials").glob("*-vm-1"))
    for path in (folder / "output").iterdir():
        path.unlink()
    cells = measure_cells(load_trial(folder))
    assert {c.reason for c in cells.values()} == {"what fio wrote is not its JSON"}
    trial = load_trial(folder)
    other = replace(trial, record=replace(trial.record, status=TrialStatus.FAILED, error="it broke"))
    assert {c.reason for c in measure_cells(other).values()} == {"it broke"}
