"""A map read from a run whose truth is known: what is saved, what is waited for, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from freepage.analysis.paying import PayingLine, PayingMap
from freepage.analysis.paying_words import advise_by_map, sum_up_paying
from freepage.analysis.results import build_results
from freepage.analysis.stats import Estimate, Method
from freepage.fpr.mechanics import USUAL_PASSES
from freepage.store import load_run
from freepage.units import GIB, MIB
from helpers.changed_run import change_manifest
from helpers.modelled_map import write_map
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map") / "run"
    write_map(folder)
    return folder


@pytest.fixture(scope="module")
def results(run_folder):
    return build_results(load_run(run_folder))


@pytest.fixture(scope="module")
def line(results):
    (line,) = results.paying.lines
    return line


def test_a_line_is_a_block_and_how_long_it_is_held_with_its_points_by_their_idle_time(line):
    assert (line.block_bytes, line.held_s, line.n) == (256 * MIB, 5.0, 3)
    assert [p.idle_s for p in line.points] == [1.0, 3.0, 6.0]
    assert [p.experiment for p in line.points] == ["map-256m-2s-1s", "map-256m-2s-3s", "map-256m-2s-6s"]


def test_the_share_that_is_saved_is_that_of_the_truth_up_to_half_a_sample(line):
    """0.96 of the block comes back at the first pass, 2 s after the free; samples are 0.5 s apart."""
    for point in line.points:
        seen_s = 0.96 * max(0.0, point.idle_s - 2.0)
        half_a_sample = 0.96 * 0.25
        assert point.saved_of_idle.value * point.idle_s == pytest.approx(seen_s, abs=half_a_sample + 0.02)
        assert point.saved.value == pytest.approx(
            point.saved_of_idle.value * point.idle_s / (5.0 + point.idle_s)
        )
    assert [p.predicted_of_idle for p in line.points] == pytest.approx([0.0, 1 / 3, 4 / 6])


def test_the_wait_and_the_price_are_those_of_the_truth(line):
    assert line.points[2].wait.value == pytest.approx(0.3 * 0.25, abs=0.02)
    assert line.points[2].wait_per_gib.value == pytest.approx(0.3, abs=0.08)
    assert line.price.value == pytest.approx(0.3, abs=0.08)


def test_the_break_even_lies_just_after_the_first_pass(line):
    assert line.break_even.value == pytest.approx(2.0 + 0.3 * 0.25, abs=0.03)
    assert (line.break_even.low, line.break_even.high) == (2.0, 3.0)


def test_a_run_without_a_map_pays_nowhere(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1), study=CYCLE_ONLY)
    assert build_results(load_run(tmp_path / "run")).paying is None


def test_results_have_all_of_it_as_json(results):
    told = json.loads(json.dumps(results.as_json(), allow_nan=False))["paying"]
    assert told["lines"][0]["break_even"]["value"] == pytest.approx(2.075, abs=0.03)
    assert told["passes"] == {"delay_s": 2.0, "block_bytes": 4 * MIB}


def test_the_point_with_the_longest_idle_time_answers_for_memory_and_no_other_point_is_an_exception(results):
    verdict = results.verdict
    assert verdict.headline == "map-256m-2s-6s"
    assert not any("map-256m-2s-1s" in text or "map-256m-2s-3s" in text for text in verdict.reasons)


def test_the_answer_says_from_which_idle_time_on_it_pays_and_the_reasons_for_whom(results):
    assert results.verdict.sentence.endswith(
        "Seen in 3 pairs of trials, not decided: FPR pays above 2.1 s of idle for 256 MiB."
    )
    (reason,) = [text for text in results.verdict.reasons if "GiB·s than are waited for" in text]
    assert reason.startswith("In VMs that free 256 MiB held for 5 s FPR saves more")
    assert "2.1 s or longer (2 to 3" in reason


def test_points_at_which_nothing_can_come_back_are_no_reason_to_doubt_fpr(run_folder, tmp_path):
    """As in a real run: a guest that has no time for a pass sends no report."""
    write_map(tmp_path / "run")
    for path in (tmp_path / "run" / "trials").glob("*-map-256m-2s-1s-vm-fpr-*/trial.json"):
        record = json.loads(path.read_text())
        record["evidence"][0]["active"] = False
        path.write_text(json.dumps(record))
    assert "not-seen-active" not in {d.id for d in build_results(load_run(tmp_path / "run")).doubts}


def test_a_smoke_run_says_nothing_of_where_fpr_pays(tmp_path):
    write_map(tmp_path / "run")
    change_manifest(tmp_path / "run", smoke=True)
    verdict = build_results(load_run(tmp_path / "run")).verdict
    assert "FPR pays" not in verdict.sentence
    assert not any("waited for" in text for text in verdict.reasons)


def lines_of(*changes):
    """Return a map of lines that differ from one that pays above 4.4 s, seen in five pairs of trials."""
    seconds = Estimate(4.4, 4.0, 5.0, "s", 5, Method.CENSORED)
    price = Estimate(1.4, 1.2, 1.6, "s/GiB", 5, Method.STUDENT)
    whole = PayingLine(GIB, 7.0, (), price, seconds, 5, 2.0)
    return PayingMap(tuple(replace(whole, **each) for each in changes), USUAL_PASSES)


def test_lines_are_told_in_one_sentence_with_how_long_blocks_are_held_only_where_that_differs():
    small = {"block_bytes": 256 * MIB, "break_even": Estimate(2.3, 2.0, 3.0, "s", 5, Method.CENSORED)}
    assert sum_up_paying(lines_of(small, {}), times_count=True) == (
        "FPR pays above 2.3 s of idle for 256 MiB, above 4.4 s of idle for 1.00 GiB."
    )
    held = sum_up_paying(lines_of({}, {"held_s": 20.0}), times_count=False)
    assert held.startswith("Under emulation FPR pays above 4.4 s of idle for 1.00 GiB held for 7 s, above")


def test_where_no_price_is_to_be_seen_fpr_pays_from_the_first_pass_on(line):
    soon = Estimate(2.0, 2.0, 3.0, "s", 5, Method.CENSORED)
    free = {
        "price": Estimate(0.0, -0.2, 0.2, "s/GiB", 5, Method.STUDENT),
        "break_even": soon,
        "points": line.points,
    }
    assert "from the first pass on (2 s of idle) for 1.00 GiB" in sum_up_paying(
        lines_of(free), times_count=True
    )


@pytest.mark.parametrize(("high", "said"), [(6.0, ""), (None, "Seen in 5 pairs of trials, not decided: ")])
def test_a_price_that_is_too_uncertain_to_be_seen_is_not_taken_for_none(line, high, said):
    """More pairs of trials would show it: some do not pay at the first idle time after a pass."""
    unsure = {
        "price": Estimate(1.4, -0.5, 3.3, "s/GiB", 5, Method.STUDENT),
        "break_even": Estimate(4.4, 2.0, high, "s", 5, Method.CENSORED),
        "points": line.points,
    }
    told = f"{said}FPR pays above 4.4 s of idle for 1.00 GiB."
    assert sum_up_paying(lines_of(unsure), times_count=True) == told


def test_where_it_does_not_pay_the_longest_idle_time_that_was_seen_is_named(line):
    never = lines_of({"break_even": None, "points": line.points})
    assert sum_up_paying(never, times_count=True) == "FPR pays at no idle time up to 6 s for 1.00 GiB."
    ((_, said),) = advise_by_map(never, times_count=True)
    assert (
        "FPR saves no more GiB·s than are waited for, at idle times up to 6 s at least (5 pairs of trials)"
        in said
    )


def test_one_pair_of_trials_is_advice_and_no_answer_and_none_is_nothing():
    few = Estimate(4.4, None, None, "s", 1, Method.CENSORED)
    one = lines_of({"break_even": few, "n": 1})
    assert sum_up_paying(one, times_count=True) == ""
    assert "(4.4 s, one pair of trials)" in next(iter(advise_by_map(one, times_count=True)))[1].replace(
        "\u00a0", " "
    )
    none = lines_of({"break_even": None, "n": 0})
    assert not list(advise_by_map(none, times_count=True))
    assert sum_up_paying(None, times_count=True) == ""


def test_under_emulation_the_waits_are_said_to_be_those_of_emulation():
    assert all("those of emulation" in text for _, text in advise_by_map(lines_of({}), times_count=False))
