"""Doubts from a run's controls: each names what moved, when and how much, and a host where FPR does nothing is not blamed."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

from freepage.analysis.controls import find_drift
from freepage.analysis.doubts.base import DoubtInput
from freepage.analysis.doubts.controls import find_drifting_memory, find_drifting_times
from freepage.analysis.estimates import Quantity
from freepage.analysis.results import build_results
from freepage.records import CARRIERS, Arm
from freepage.store import load_run
from freepage.units import MIB
from helpers.changed_run import change_samples, doubts_of, take_memory
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run


@pytest.fixture
def run_folder(tmp_path):
    write_run(tmp_path / "run", study=CYCLE_ONLY)
    return tmp_path / "run"


def add_neighbour(folder, names, size, start_s=-1e9, end_s=1e9):
    """Let other work take memory of the host while some trials run."""
    for name in names:
        path = folder / "trials" / name / "samples.parquet"
        there = pl.col("t_s").is_between(start_s, end_s).cast(pl.Float64)
        take_memory(pl.read_parquet(path), there * size).write_parquet(path)


def test_a_neighbour_of_145_mib_in_one_trial_is_named_with_its_time_and_size(run_folder):
    name = find_trial_ids(run_folder, "cycle", Arm.VM)[2]
    add_neighbour(run_folder, [name], 145 * MIB, 3.0, 12.0)
    doubt = doubts_of(run_folder)["other-work"]
    assert (doubt.touches, doubt.experiment) == ("node", "cycle")
    assert f"in {name} from 3.0 to 12.0 s" in doubt.text
    assert "146 MiB" in doubt.text or "145 MiB" in doubt.text


def test_a_clean_host_on_which_fpr_returns_nothing_is_not_called_noisy(tmp_path):
    """N0: no effect looks like a mean whose interval reaches below zero, and is none of the host's doing."""
    for phase, spread in enumerate((0.01, 0.02, 0.05)):
        folder = tmp_path / str(phase)
        write_run(folder, Truth(given_back=0.0, trial_spread=spread), study=CYCLE_ONLY)
        assert set(doubts_of(folder)) == {"inhibited"}


def test_a_neighbour_during_the_vms_without_fpr_is_no_saving(tmp_path):
    """N1: FPR returns nothing, and 140 MiB more are in use whenever it is off."""
    folder = tmp_path / "run"
    write_run(folder, Truth(given_back=0.0), study=CYCLE_ONLY)
    without = find_trial_ids(folder, "cycle", Arm.VM)
    add_neighbour(folder, without, 140 * MIB, 0.0)
    doubts = doubts_of(folder)
    assert {"other-work", "inhibited"} == set(doubts)
    named = re.findall(r"[0-9]{3}-cycle-[a-z-]+-[0-9]", doubts["other-work"].text)
    assert sorted(named) == without


def test_a_neighbour_that_was_there_before_is_in_the_baseline(run_folder):
    add_neighbour(run_folder, find_trial_ids(run_folder, "cycle", Arm.VM), 900 * MIB)
    assert doubts_of(run_folder) == {}


def test_other_work_on_the_cpu_is_named(run_folder):
    change_samples(
        run_folder,
        Arm.POD,
        "cpu_user_s",
        lambda t, v: (
            v
            + pl.when(t.is_between(4.0, 10.0))
            .then(t - 4.0)
            .otherwise(pl.when(t > 4).then(6.0).otherwise(0.0))
        ),
    )
    doubt = doubts_of(run_folder)["other-cpu"]
    assert "1.1 cores in" in doubt.text
    assert "from 4.5 to 10.0 s" in doubt.text
    assert doubt.touches == "time"


def test_pods_that_seem_to_keep_memory_void_what_vms_gave_back(run_folder):
    """A pod returns all it frees: a share of 0.42 is one of sampling, and so is the VMs'."""
    change_samples(
        run_folder, Arm.POD, "rss_bytes", lambda t, v: pl.when(t > 3).then(300.0 * MIB).otherwise(v)
    )
    results = build_results(load_run(run_folder))
    doubts = {d.id: d for d in results.doubts}
    assert doubts["control-pod"].touches == "memory"
    for arm in (Arm.VM, Arm.VM_FPR):
        estimates = results.experiments["cycle"].arms[arm]
        assert estimates[Quantity.GIVEN_BACK] is None
        assert estimates[Quantity.RELEASE_T90] is None
        assert estimates[Quantity.NODE_MEAN] is not None
    assert results.verdict.decision == "inconclusive"


def test_vms_without_fpr_that_give_something_back_are_doubted(run_folder):
    change_samples(
        run_folder, Arm.VM, "rss_bytes", lambda t, v: pl.when(t > 8).then(v - 100.0 * MIB).otherwise(v)
    )
    doubt = doubts_of(run_folder)["control-vm"]
    assert "seem to have given back" in doubt.text


def test_a_run_with_clean_controls_raises_none(run_folder):
    assert doubts_of(run_folder) == {}


def test_trials_that_never_settled_are_named(run_folder):
    names = find_trial_ids(run_folder, "cycle", Arm.POD)
    for name in names:
        path = run_folder / "trials" / name / "trial.json"
        record = json.loads(path.read_text()) | {"settled": name != names[0], "settle_s": 34.0}
        path.write_text(json.dumps(record))
    doubt = doubts_of(run_folder)["never-settled"]
    assert names[0] in doubt.text
    assert "34 s" in doubt.text
    assert names[1] not in doubt.text


def test_a_host_that_reports_its_own_free_pages_is_named(tmp_path):
    for folder, answer in (("yes", True), ("no", False), ("unknown", None)):
        write_run(tmp_path / folder, Truth(host={"reports_free_pages": answer}), study=CYCLE_ONLY)
        assert ("host-reports-free-pages" in doubts_of(tmp_path / folder)) is (answer is True)


def test_pods_and_vms_with_unlike_pages_are_named(run_folder):
    huge = 2 * MIB / 4096
    for arm in (Arm.VM, Arm.VM_FPR):
        for metric in ("minor_faults", "thp_fault_alloc"):
            change_samples(run_folder, arm, metric, lambda t, _: (t + 8).clip(0, None) * 1024 / huge)
    doubt = doubts_of(run_folder)["page-sizes-differ"]
    assert "2.00 MiB on average to a VM and 4.00 KiB to a pod" in doubt.text


def test_a_number_that_moves_with_the_order_of_trials_is_named(tmp_path):
    folder = tmp_path / "run"
    write_run(folder, Truth(trial_spread=0.005), study=CYCLE_ONLY)
    assert doubts_of(folder) == {}
    for path in folder.glob("trials/*/events.parquet"):
        order = int(path.parent.name[:3])
        pl.read_parquet(path).with_columns(pl.col("wall_s") * (1 + 0.02 * order)).write_parquet(path)
    doubt = doubts_of(folder)["drift"]
    assert "alloc_s_per_gib by +1" in doubt.text
    assert doubt.touches == "time"


def test_a_drift_of_the_nodes_memory_touches_it_though_times_drift_more_certainly(tmp_path):
    """Only the most certain number once told what a drift touches."""
    write_run(tmp_path / "run", Truth(trial_spread=0.005), study=CYCLE_ONLY)
    run = load_run(tmp_path / "run")
    wobble = {0: 0.0, 1: 0.002, 2: -0.002}
    values = {
        t.record.id: {
            Quantity.NODE_CPU: 1 + 0.05 * t.record.order,
            Quantity.NODE_MEAN: (1 + 0.05 * t.record.order + wobble[t.record.order % 3]) * MIB,
        }
        for t in run.trials
    }
    assert [d.number for d in find_drift(run.trials, values)] == [Quantity.NODE_CPU, Quantity.NODE_MEAN]
    found = DoubtInput(run, values, {})
    assert "node_cpu_cores" in find_drifting_times(found, "cycle").text
    doubt = find_drifting_memory(found, "cycle")
    assert (doubt.touches, "node_in_use_mean_bytes" in doubt.text) == ("node", True)


def test_too_few_trials_show_no_drift(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1), study=CYCLE_ONLY)
    run = load_run(tmp_path / "run")
    values = {t.record.id: {Quantity.ALLOC_PER_GIB: 1.0 + t.record.order} for t in run.trials}
    assert find_drift(run.trials, values) == []


def test_blocks_that_touch_their_pages_in_other_orders_still_show_a_drift_from_one_to_the_next(tmp_path):
    """Every block has a seed for that order, and each once had a level of its own by it, which took the drift with it."""
    write_run(tmp_path / "run", Truth(repeats=3), study=CYCLE_ONLY)
    trials = load_run(tmp_path / "run").trials
    assert len({json.dumps(t.schedules, default=vars) for t in trials}) == 3
    values = {
        t.record.id: {Quantity.NODE_CPU: 1.02**t.record.order * (1 + t.record.order % 2 / 200)}
        for t in trials
    }
    (drift,) = find_drift(trials, values)
    assert drift.factor == pytest.approx(1.02**8, rel=0.01)


def test_a_drift_is_seen_by_chance_as_rarely_as_it_says(tmp_path):
    import numpy as np

    write_run(tmp_path / "run", Truth(repeats=3), study=CYCLE_ONLY)
    trials = load_run(tmp_path / "run").trials
    chance = np.random.default_rng(3)
    levels = {arm: 1.0 + n for n, arm in enumerate(CARRIERS)}

    def draw():
        return {
            t.record.id: {Quantity.NODE_CPU: levels[t.record.arm] * chance.lognormal(0, 0.1)} for t in trials
        }

    assert sum(bool(find_drift(trials, draw())) for _ in range(400)) / 400 <= 0.08


def test_fio_cells_that_are_missing_are_counted():
    from pathlib import Path

    from freepage.analysis.doubts.base import DoubtInput
    from freepage.analysis.doubts.run import find_missing_cells
    from freepage.analysis.estimates import TrialOnly

    run = load_run(Path(__file__).parents[2] / "recorded/runs/0.1-everything")
    ids = [t.record.id for t in run.ok_trials("files")]
    whole = {i: {TrialOnly.CELLS_MEASURED: 1.0} for i in ids}
    assert find_missing_cells(DoubtInput(run, whole, {}), "files") is None
    some = whole | {ids[0]: {TrialOnly.CELLS_MEASURED: 0.25}}
    assert "75% of fio's cells" in find_missing_cells(DoubtInput(run, some, {}), "files").text
