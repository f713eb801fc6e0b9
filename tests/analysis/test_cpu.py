"""What CPU costs: synchronised bursts, and very fast allocation and release."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from freepage.analysis.trial_values import measure_trial
from freepage.records import (
    NODE,
    Action,
    Arm,
    EventLine,
    ProcessSchedule,
    SampleLine,
    Step,
    TrialRecord,
    TrialStatus,
)
from freepage.store import TrialWriter, load_trial
from freepage.units import GIB, KIB, MIB
from helpers.hand_made import make_trial

RECORD = TrialRecord("001-burst-vm-1", "burst", Arm.VM, 0, 0, TrialStatus.OK, 40.0, kind="burst", ready_s=1.0)
EVENT = EventLine(0.0, 2.0, "burst-0", 0, 0, 0, "allocate", MIB, 0.0, 0.0, 2.0, 0.0, 2.0, 1, 0, ok=True)
LATENESS = {0: (0.010, 0.015, 0.050), 1: (0.2, 0.2, 0.201)}


def write_burst(folder, record=RECORD):
    """Three instances, two iterations of 20 s: allocate for 2 s with 3 cores busy, free at 5 s with 1.5 after it."""
    writer = TrialWriter(folder)
    steps = (Step(0.0, Action.ALLOCATE, MIB, 0), Step(5.0, Action.FREE, MIB, 0))
    writer.write_schedules({f"burst-{n}": [ProcessSchedule(0, steps)] for n in range(3)})
    for iteration, lateness in LATENESS.items():
        for n, late_s in enumerate(lateness):
            start_s = 20.0 * iteration + late_s
            common = {"instance": f"burst-{n}", "iteration": iteration}
            writer.write_event(
                replace(
                    EVENT, t_s=start_s, end_s=start_s + 2, planned_s=20.0 * iteration, late_s=late_s, **common
                )
            )
            free_s = 20.0 * iteration + 5
            writer.write_event(
                replace(EVENT, action="free", t_s=free_s, end_s=free_s + 0.01, planned_s=free_s, **common)
            )
    busy_s = 0.0
    for tick in range(-4, 41):
        in_iteration = tick % 20
        busy_s += (
            3.0 if 0 < in_iteration <= 2 and tick > 0 else 1.5 if 5 < in_iteration <= 8 and tick > 0 else 0.1
        )
        values = {f"cpu_{s}_s": 0.0 for s in ("nice", "system", "irq", "softirq")}
        writer.write_sample(SampleLine(float(tick), 0.0, {NODE: values | {"cpu_user_s": busy_s}}))
    writer.write_record(record)
    writer.seal()
    return load_trial(folder)


def test_the_skew_of_a_burst_is_what_each_start_lags_behind_the_first_of_its_iteration(tmp_path):
    values = measure_trial(write_burst(tmp_path))
    assert values["start_skew_max_s"] == pytest.approx(0.040)
    assert 0 < values["start_skew_p99_s"] <= 0.040


def test_the_peaks_of_a_burst_are_told_apart_by_what_instances_do(tmp_path):
    values = measure_trial(write_burst(tmp_path))
    assert values["cpu_alloc_peak_cores"] == pytest.approx(3.0)
    assert values["cpu_release_peak_cores"] == pytest.approx(1.5)
    assert values["node_cpu_peak_cores"] == pytest.approx(3.0)


def test_what_is_watched_after_a_free_ends_when_instances_allocate_again(tmp_path):
    """The next allocation comes 6 s after the free here, within the time that is watched at most."""
    trial = write_burst(tmp_path)
    sooner = trial.events.with_columns(
        [
            pl.when(pl.col("iteration") == 1).then(pl.col(name) - 9.0).otherwise(pl.col(name)).alias(name)
            for name in ("t_s", "end_s", "planned_s")
        ]
    )
    counter = (pl.col("metric") == "cpu_user_s") & (pl.col("t_s") >= 11.0)
    busy = pl.col("value") + 10 * (pl.col("t_s") - 11.0)
    samples = trial.samples.with_columns(
        pl.when(counter).then(busy).otherwise(pl.col("value")).alias("value")
    )
    values = measure_trial(replace(trial, events=sooner, samples=samples))
    assert values["cpu_alloc_peak_cores"] > 9
    first = measure_trial(replace(trial, events=sooner.filter(pl.col("t_s") < 6), samples=samples))
    assert first["cpu_release_peak_cores"] > 9
    frees = sooner.filter((pl.col("iteration") == 0) | (pl.col("action") == "allocate"))
    assert measure_trial(replace(trial, events=frees, samples=samples))[
        "cpu_release_peak_cores"
    ] == pytest.approx(1.5)


def test_instances_that_do_not_act_together_have_no_skew(tmp_path):
    values = measure_trial(write_burst(tmp_path, replace(RECORD, kind="random")))
    assert values["start_skew_max_s"] is None
    assert values["cpu_alloc_peak_cores"] is None
    assert values["node_cpu_peak_cores"] == pytest.approx(3.0)


def counted(arm, *, faults, huge, resident, cpu_s=(0.0, 3.0), times=(-1.0, 0.0, 5.0, 10.0)):
    """A trial of one VM of which only the first and last reading of each counter matter."""
    spread = lambda first, last: [first, first, (first + last) / 2, last]  # noqa: E731
    levels = {
        ("a", "minor_faults"): (times, spread(0, faults)),
        ("node", "thp_fault_alloc"): (times, spread(0, huge)),
        ("a", "rss_bytes"): (times, resident),
        ("a", "cpu_main_loop_s"): (times, spread(*cpu_s)),
    }
    return make_trial(levels, [], arm=arm, duration_s=10.0)


def test_what_came_back_is_what_was_faulted_in_less_what_stayed_however_samples_fell():
    """130 huge pages and 62 small ones faulted, 4 MiB stayed; between samples the fall was 14 MiB."""
    resident = [200 * MIB, 200 * MIB, 218 * MIB, 204 * MIB]
    values = measure_trial(counted(Arm.VM_FPR, faults=192, huge=130, resident=resident))
    assert values["given_back_gib"] == pytest.approx((260 * MIB + 62 * 4096 - 4 * MIB) / GIB)
    assert values["main_loop_cpu_s_per_gib"] == pytest.approx(3.0 / values["given_back_gib"])


@pytest.mark.parametrize(
    ("page", "huge_page", "brought"),
    [
        (64 * KIB, 512 * MIB, 62 * 64 * KIB + 2 * 512 * MIB),
        (16 * KIB, 32 * MIB, 62 * 16 * KIB + 2 * 32 * MIB),
    ],
)
def test_a_fault_brings_as_much_as_the_hosts_own_pages_hold(page, huge_page, brought):
    trial = counted(Arm.VM_FPR, faults=64, huge=2, resident=[200 * MIB] * 4)
    (seen,) = trial.record.evidence
    seen = replace(seen, host_page_bytes=page, host_huge_page_bytes=huge_page)
    trial = replace(trial, record=replace(trial.record, evidence=(seen,)))
    assert measure_trial(trial)["given_back_gib"] == pytest.approx(brought / GIB)


def test_faults_that_do_not_explain_a_fall_say_nothing():
    resident = [600 * MIB, 600 * MIB, 100 * MIB, 600 * MIB]
    values = measure_trial(counted(Arm.VM_FPR, faults=10, huge=5, resident=resident))
    assert values["given_back_gib"] is None
    assert values["main_loop_cpu_s_per_gib"] is None


def test_huge_pages_of_others_are_never_more_than_the_faults_of_the_vms():
    values = measure_trial(counted(Arm.VM, faults=50, huge=5000, resident=[100 * MIB] * 4))
    assert values["given_back_gib"] == pytest.approx(50 * 2 * MIB / GIB)


def test_one_of_two_vms_without_cpu_numbers_leaves_no_sum(tmp_path):
    trial = write_burst(tmp_path)
    rows = [
        {"t_s": t, "entity": name, "metric": "cpu_total_s", "value": t if name != "burst-2" else None}
        for name in ("burst-0", "burst-1", "burst-2")
        for t in (-1.0, 0.0, 20.0, 40.0)
    ]
    added = replace(trial, samples=pl.concat([trial.samples, pl.DataFrame(rows)]))
    assert measure_trial(added)["instance_cpu_s"] is None
    known = added.samples.filter(pl.col("entity") != "burst-2")
    both = replace(
        added, samples=known, schedules={k: v for k, v in trial.schedules.items() if k != "burst-2"}
    )
    assert measure_trial(both)["instance_cpu_s"] == pytest.approx(80.0)
