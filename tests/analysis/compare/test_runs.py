"""Runs compared: modelled ones whose truth is known, recorded ones, and runs that have little to say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from freepage.analysis.compare.change import Outcome
from freepage.analysis.compare.conditions import NAMES, UnlikeRunsError, find_unlike, parse_across
from freepage.analysis.compare.runs import compare_runs
from freepage.errors import StudyError
from freepage.records import Arm
from freepage.store import load_run
from helpers.changed_run import change_manifest
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run

pytestmark = pytest.mark.long

RECORDED = Path(__file__).parents[2] / "recorded/runs"
TRUTH = Truth(repeats=5)


def slower(truth, factor):
    """Return a truth in which VMs with FPR allocate again more slowly."""
    rest = truth.rest_s_per_gib
    return replace(truth, rest_s_per_gib=rest | {Arm.VM_FPR: rest[Arm.VM_FPR] * factor})


def write(folder, truth=TRUTH, **options):
    write_run(folder, truth, study=CYCLE_ONLY, **options)
    return load_run(folder)


def by_path(comparison):
    return {str(change.path): change for change in comparison.all_changes}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        "base": write(folder / "base"),
        "again": write(folder / "again"),
        "slower": write(folder / "slower", slower(TRUTH, 1.2)),
    }


def test_between_two_equal_runs_nothing_differs(runs):
    comparison = compare_runs([runs["base"]], [runs["again"]], every_number=True)
    assert not [c for c in comparison.all_changes if c.outcome.is_change]
    assert comparison.count(Outcome.SAME) > 20


def test_what_takes_20_percent_longer_is_worse_and_the_rest_is_the_same(runs):
    comparison = compare_runs([runs["base"]], [runs["slower"]])
    worse = {str(c.path): c for c in comparison.all_changes if c.outcome.is_change}
    assert set(worse) == {"comparisons.reallocation_penalty", "arms.vm-fpr.alloc_rest_s"}
    penalty = worse["comparisons.reallocation_penalty"]
    assert penalty.outcome is Outcome.WORSE
    assert penalty.change.low < 1.2 < penalty.change.high
    assert comparison.all_changes[0] is penalty or comparison.all_changes[1] is penalty
    assert by_path(comparison)["arms.vm.alloc_rest_s"].outcome is Outcome.SAME


def test_turned_round_the_comparison_is_its_mirror(runs):
    there = by_path(compare_runs([runs["base"]], [runs["slower"]], every_number=True))
    back = by_path(compare_runs([runs["slower"]], [runs["base"]], every_number=True))
    mirrored = {Outcome.WORSE: Outcome.BETTER, Outcome.BETTER: Outcome.WORSE}
    mirrored |= {Outcome.HIGHER: Outcome.LOWER, Outcome.LOWER: Outcome.HIGHER}
    assert set(there) == set(back)
    for path, change in there.items():
        assert back[path].outcome is mirrored.get(change.outcome, change.outcome), path
        assert back[path].needed == change.needed
        if change.change is not None and change.nature.has_ratio:
            assert change.change.value * back[path].change.value == pytest.approx(1)
        elif change.change is not None:
            assert change.change.value == pytest.approx(-back[path].change.value)


def test_what_fpr_saves_of_the_nodes_memory_has_a_margin_in_points(runs):
    """A share that may be negative once had none: nothing was the same, and whatever was no chance mattered."""
    changes = by_path(compare_runs([runs["base"]], [runs["again"]], every_number=True))
    saved = changes["comparisons.saved_mean_fraction"]
    assert (saved.margin, saved.outcome) == (0.05, Outcome.SAME)


def test_with_one_run_a_side_the_comparison_says_that_variation_between_runs_is_not_known(runs):
    assert any(
        "Between-run variation is not known" in note
        for note in compare_runs([runs["base"]], [runs["slower"]]).notes
    )


def test_with_several_runs_a_side_a_run_is_the_unit(tmp_path):
    base = [write(tmp_path / f"base-{f}", slower(TRUTH, f)) for f in (1.0, 1.15)]
    new = [write(tmp_path / f"new-{f}", slower(TRUTH, f)) for f in (1.1, 1.25)]
    comparison = compare_runs(base, new)
    assert not any("not known" in note for note in comparison.notes)
    penalty = by_path(comparison)["comparisons.reallocation_penalty"]
    assert penalty.runs_are_units
    assert penalty.outcome is Outcome.CANNOT_TELL
    one_a_side = by_path(compare_runs(base[:1], new[1:]))["comparisons.reallocation_penalty"]
    assert one_a_side.outcome is Outcome.WORSE


@pytest.mark.parametrize("repeats", [1, 2])
def test_fewer_than_three_trials_a_side_decide_nothing(tmp_path, repeats):
    few = replace(TRUTH, repeats=repeats)
    comparison = compare_runs([write(tmp_path / "a", few)], [write(tmp_path / "b", slower(few, 3.0))])
    assert {c.outcome for c in comparison.all_changes} == {Outcome.CANNOT_TELL}
    penalty = by_path(comparison)["comparisons.reallocation_penalty"]
    assert penalty.change.value == pytest.approx(3.0, rel=0.05)
    assert penalty.change.low is None
    assert f"{repeats} trial" in penalty.reason


def test_what_cannot_be_told_says_what_could_have_been_seen_and_how_many_repeats_would_do(tmp_path):
    loud = replace(TRUTH, repeats=3, trial_spread=0.25)
    comparison = compare_runs([write(tmp_path / "a", loud)], [write(tmp_path / "b", slower(loud, 1.1))])
    penalty = by_path(comparison)["comparisons.reallocation_penalty"]
    assert penalty.outcome is Outcome.CANNOT_TELL
    assert penalty.could_see > 0.1
    assert penalty.needed > 3


@pytest.mark.parametrize(("delay_s", "unlike"), [(2.0, []), (0.25, ["pass-delay"])])
def test_a_guest_that_does_not_show_its_delay_waits_the_usual_one(runs, delay_s, unlike):
    trials = [
        replace(
            t,
            record=replace(
                t.record, evidence=tuple(replace(e, reporting_delay_s=delay_s) for e in t.record.evidence)
            ),
        )
        for t in runs["base"].trials
    ]
    assert [u.name for u in find_unlike([runs["base"]], [replace(runs["base"], trials=trials)])] == unlike


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"cpu_model": "another CPU"}, "cpu"),
        ({"kernel": "6.12.0"}, "host-kernel"),
        ({"thp_enabled": "always"}, "host-thp"),
    ],
)
def test_runs_of_unlike_hosts_are_refused_with_both_values(runs, tmp_path, changes, name):
    other = write(tmp_path / "other", replace(TRUTH, host=changes))
    with pytest.raises(UnlikeRunsError) as refused:
        compare_runs([runs["base"]], [other])
    assert f"{name}: " in refused.value.message
    assert all(str(value) in refused.value.message for value in changes.values())
    assert refused.value.hint.endswith(f"--across {name}")
    allowed = compare_runs([runs["base"]], [other], across=parse_across(name))
    assert [each.name for each in allowed.unlike] == [name]


def test_another_accelerator_or_scale_or_memory_is_refused(runs, tmp_path):
    write(tmp_path / "other", replace(TRUTH, accelerator="tcg"))
    change_manifest(tmp_path / "other", scale=0.5, node_memory_bytes=8 << 30)
    with pytest.raises(UnlikeRunsError) as refused:
        compare_runs([runs["base"]], [load_run(tmp_path / "other")])
    assert refused.value.hint.endswith("--across accelerator,memory,scale")


def test_schedules_of_another_study_are_refused_by_block(runs, tmp_path):
    study = CYCLE_ONLY.replace('hold = "3s"', 'hold = "4s"')
    write_run(tmp_path / "other", TRUTH, study=study)
    with pytest.raises(UnlikeRunsError) as refused:
        compare_runs([runs["base"]], [load_run(tmp_path / "other")])
    assert "schedules: " in refused.value.message
    assert "block 1 of cycle" in refused.value.message


def test_an_unknown_condition_is_refused_with_those_there_are():
    with pytest.raises(StudyError) as refused:
        parse_across("guest-kernel,colour")
    assert "'colour'" in refused.value.message
    assert "guest-kernel" in refused.value.hint
    assert parse_across("all") == set(NAMES)


def test_a_run_that_lacks_an_arm_is_refused_and_compared_by_those_it_has_where_that_is_allowed(
    runs, tmp_path
):
    two = write(tmp_path / "two", arms=(Arm.VM, Arm.VM_FPR))
    with pytest.raises(
        UnlikeRunsError, match="arms: cycle on pod, vm, vm-fpr in BASE, cycle on vm, vm-fpr in NEW"
    ):
        compare_runs([runs["base"]], [two])
    found = by_path(compare_runs([runs["base"]], [two], across={"arms"}))
    assert found["arms.pod.alloc_first_s"].reason == "not measured in NEW"
    assert found["arms.vm.alloc_first_s"].outcome is Outcome.SAME


def test_a_run_with_only_failures_has_no_numbers_and_says_so(runs, tmp_path):
    ids = [id_ for arm in Arm for id_ in find_trial_ids(runs["base"].folder, "cycle", arm)]
    broken = write(tmp_path / "broken", failed=dict.fromkeys(ids, "it broke"))
    comparison = compare_runs([runs["base"]], [broken])
    assert {c.outcome for c in comparison.all_changes} == {Outcome.CANNOT_TELL}
    assert {c.reason for c in comparison.all_changes} == {"not measured in NEW"}
    assert any("No trial of broken (NEW) ended well" in note for note in comparison.notes)
    json.dumps(comparison.as_json(), allow_nan=False)


def test_a_number_that_some_trials_lack_decides_nothing(runs, tmp_path):
    """With little given back, only some trials reach 90 %, and those would flatter."""
    less = write(tmp_path / "less", replace(TRUTH, given_back=0.9))
    t90 = by_path(compare_runs([runs["base"]], [less]))["arms.vm-fpr.release_t90_s"]
    assert t90.outcome is Outcome.CANNOT_TELL


def test_a_run_of_an_earlier_schema_is_compared_where_that_is_allowed_and_the_note_says_so(tmp_path):
    new = write_run(tmp_path / "new", TRUTH)
    assert new is TRUTH
    old = load_run(RECORDED / "0.1-quick")
    with pytest.raises(UnlikeRunsError, match="host-kernel"):
        compare_runs([old], [load_run(tmp_path / "new")])
    comparison = compare_runs([old], [load_run(tmp_path / "new")], across=parse_across("all"))
    assert set(comparison.changes) == {"cycle", "random"}
    assert any("schema 1 (0.1-quick), schema 3 (new)" in note for note in comparison.notes)


def test_runs_without_a_common_experiment_are_refused():
    with pytest.raises(UnlikeRunsError, match="no experiment in common"):
        compare_runs(
            [load_run(RECORDED / "0.1-everything")],
            [load_run(RECORDED / "0.1-quick")],
            across=parse_across("all"),
        )


def test_a_run_says_nothing_about_itself(runs):
    with pytest.raises(UnlikeRunsError, match="named twice"):
        compare_runs([runs["base"]], [load_run(runs["base"].folder)])


def test_a_smoke_run_decides_nothing(runs, tmp_path):
    write(tmp_path / "smoke", slower(TRUTH, 2.0))
    change_manifest(tmp_path / "smoke", smoke=True)
    comparison = compare_runs([runs["base"]], [load_run(tmp_path / "smoke")])
    assert {c.outcome for c in comparison.all_changes} == {Outcome.CANNOT_TELL}
