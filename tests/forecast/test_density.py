"""How many VMs fit: exact where it can be counted by hand, and how the answer moves with what is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from freepage.errors import FreepageError
from freepage.forecast.density import Together, find_density, sum_fleet
from freepage.forecast.density_words import as_json, list_assumptions, list_unknown, show_percent, sum_up
from freepage.forecast.fleet import (
    Case,
    Distribution,
    Fleet,
    Node,
    Quantiles,
    Replay,
    Schedule,
    Steps,
    VmKind,
    Window,
)
from freepage.units import GIB, MIB

NODE = Node("node", 16.0 * GIB)
WINDOW = Window(600, 4200)
ONE = Steps(1.0 * GIB, 1.0 * GIB, 1.0 * GIB)
STEADY = VmKind("steady", 4.0 * GIB, Distribution(Quantiles((1.0 * GIB, 1.0 * GIB)), 60.0), 0.0)
# A block of 1 GiB for a fifth of the time; its passes take 8 s.
CYCLE = VmKind("cycle", 4.0 * GIB, Schedule(ONE, Steps(30, 30, 30), Steps(120, 120, 120), 1), 0.0)
DRAWN = VmKind(
    "drawn",
    4.0 * GIB,
    Schedule(Steps(256.0 * MIB, 1.0 * GIB, 256.0 * MIB), Steps(20, 60, 10), Steps(30, 120, 10), 2),
    100.0 * MIB,
    300.0 * MIB,
)


def fleet(*kinds, node=NODE, **changes):
    return Fleet("a fleet", kinds, (node,), WINDOW, **changes)


def fits(of, risk=0.001, replicates=3, node=NODE):
    """Return how many VMs of the first kind fit, by case and way of acting."""
    found = (
        find_density(of if isinstance(of, Fleet) else fleet(of, node=node), risk, replicates).kinds[0].fits
    )
    return {answer: fit.vms for answer, fit in found.items()}


def test_vms_that_always_hold_the_same_fit_as_often_as_they_go_in():
    assert set(fits(STEADY).values()) == {16}
    assert set(fits(replace(STEADY, base_bytes=1.0 * GIB)).values()) == {8}


def test_the_overhead_is_none_of_the_ideal():
    found = fits(replace(STEADY, overhead_bytes=1.0 * GIB))
    assert {case: vms for (case, _), vms in found.items()} == {Case.WITHOUT: 8, Case.WITH: 8, Case.IDEAL: 16}


def test_vms_that_act_together_need_the_sum_of_their_peaks():
    found = fits(CYCLE)
    assert {found[case, Together.SYNCHRONISED] for case in Case} == {16}
    assert found[Case.WITHOUT, Together.INDEPENDENT] == 16
    assert 16 < found[Case.WITH, Together.INDEPENDENT] < found[Case.IDEAL, Together.INDEPENDENT]


def test_what_may_be_over_as_long_as_the_peaks_last_is_not_bound_by_them(monkeypatch):
    """Acting together is the worst case only for a risk below the share of time that peaks take."""
    monkeypatch.setattr("freepage.forecast.density.MOST_VMS", 40)
    found = fits(
        replace(CYCLE, demand=replace(CYCLE.demand, hold_s=Steps(2, 2, 2), idle_s=Steps(148, 148, 148))), 0.02
    )
    assert found[Case.IDEAL, Together.SYNCHRONISED] > 16


@pytest.fixture(scope="module")
def drawn():
    return fits(DRAWN)


@pytest.mark.parametrize("together", Together)
def test_without_fpr_never_more_fit_than_with_it_nor_with_it_than_ideally(drawn, together):
    without, with_fpr, ideal = (drawn[case, together] for case in (Case.WITHOUT, Case.WITH, Case.IDEAL))
    assert without <= with_fpr <= ideal
    assert together is Together.SYNCHRONISED or without < with_fpr


@pytest.mark.parametrize("case", Case)
def test_acting_together_is_the_worst_case_of_vms_whose_peaks_are_alike(drawn, case):
    assert drawn[case, Together.SYNCHRONISED] <= drawn[case, Together.INDEPENDENT]


@pytest.mark.parametrize(
    ("changed", "by"),
    [
        (fleet(DRAWN, node=Node("node", 18.0 * GIB)), 1),
        (fleet(DRAWN, node=Node("node", 16.0 * GIB, swap_bytes=2.0 * GIB)), 1),
        (fleet(replace(DRAWN, passes=replace(DRAWN.passes, delay_s=0.5))), 0),
        (fleet(replace(DRAWN, base_bytes=200.0 * MIB)), 1),
    ],
    ids=["memory", "swap", "faster passes", "less base"],
)
def test_never_fewer_fit_with_more_of(drawn, changed, by):
    found = fits(changed)
    assert all(found[answer] >= drawn[answer] for answer in drawn)
    answer = (Case.WITH, Together.INDEPENDENT)
    assert found[answer] >= drawn[answer] + by


def test_never_fewer_fit_at_a_greater_risk(drawn):
    found = fits(DRAWN, risk=0.03)
    assert all(found[answer] >= drawn[answer] for answer in drawn)
    assert found[Case.IDEAL, Together.INDEPENDENT] > drawn[Case.IDEAL, Together.INDEPENDENT]


def test_what_stays_stranded_costs_vms_until_fpr_is_of_no_use(drawn):
    half, all_of_it = (fits(replace(DRAWN, stranded_fraction=share)) for share in (0.5, 1.0))
    answer = (Case.WITH, Together.INDEPENDENT)
    assert drawn[answer] > half[answer] > all_of_it[answer]
    assert all_of_it[answer] == drawn[Case.WITHOUT, Together.INDEPENDENT]


def test_vms_that_are_there_already_are_the_first_of_those_that_fit(drawn):
    found = fits(replace(DRAWN, count=5))
    assert found == {answer: vms - 5 for answer, vms in drawn.items()}


def test_vms_of_other_kinds_take_their_share():
    other = replace(STEADY, name="other", count=4)
    found = fits(fleet(replace(STEADY, count=2), other))
    assert set(found.values()) == {10}


def test_a_node_that_is_over_already_has_memory_for_none():
    density = find_density(fleet(replace(STEADY, count=17)), replicates=3)
    assert all(fit.vms == 0 and fit.is_over for fit in density.kinds[0].fits.values())
    assert (
        sum_up(density)
        == "A node of 16.0 GiB has no memory for more VMs 'steady': those that are there are over it already."
    )


def test_the_scheduler_admits_by_requests_as_kubevirt_computes_them():
    kind = replace(STEADY, overhead_bytes=512.0 * MIB)
    whole, half_more = (
        find_density(fleet(kind, node=replace(NODE, overcommit=overcommit)), replicates=1).kinds[0]
        for overcommit in (1.0, 2.0)
    )
    assert (whole.admitted, half_more.admitted) == (3, 6)
    assert whole.fits[Case.WITH, Together.INDEPENDENT].vms == 3
    assert whole.fits[Case.IDEAL, Together.INDEPENDENT].vms == 3
    free = find_density(fleet(kind), replicates=1).kinds[0]
    assert free.admitted is None
    assert free.fits[Case.WITH, Together.INDEPENDENT].vms == 10
    assert free.needed_overcommit == pytest.approx(10 * 4 / (16 - 5))


def test_the_same_fleet_has_the_same_density_and_another_seed_another():
    first, again, other = (find_density(fleet(DRAWN, seed=seed), replicates=1) for seed in (1, 1, 2))
    assert as_json(first) == as_json(again)
    assert as_json(first)["kinds"] != as_json(other)["kinds"]


def test_a_fleets_sum_is_that_of_its_vms_in_every_lot():
    """More VMs than are drawn at once."""
    held = sum_fleet(fleet(replace(CYCLE, count=600)), 0)
    assert held[Case.WITHOUT, Together.INDEPENDENT].tolist() == [600.0 * GIB] * 3600
    assert held[Case.IDEAL, Together.INDEPENDENT].mean() == pytest.approx(120 * GIB, rel=0.05)
    assert held[Case.IDEAL, Together.SYNCHRONISED].max() == 600 * GIB


def replayed(*cases):
    levels = {case: np.array([[2.0, 1.0]]) * GIB for case in cases}
    return Replay(np.array([[0, 60]]), levels, np.array([120]), np.array([[0, 1]]))


def test_a_case_that_is_not_recorded_is_not_known_and_said_so():
    density = find_density(
        fleet(replace(STEADY, demand=replayed(Case.WITHOUT, Case.WITH), passes=None)), replicates=3
    )
    assert set(density.kinds[0].fits) == {(c, t) for c in (Case.WITHOUT, Case.WITH) for t in Together}
    assert any("ideally" in text for text in list_unknown(density))
    assert as_json(density)["kinds"][0]["fits"]["ideal"] == {"independent": None, "synchronised": None}
    assert "; not known ideally" in sum_up(density)


def test_a_case_unknown_of_vms_that_are_there_is_unknown_of_the_node():
    there = replace(STEADY, name="there", demand=replayed(Case.WITHOUT), passes=None, count=1)
    found = fits(fleet(STEADY, there))
    assert found == {(Case.WITHOUT, t): 14 for t in Together}


def test_a_node_of_whose_vms_no_case_is_known_together_is_not_said_to_be_over():
    there = replace(STEADY, name="there", demand=replayed(Case.WITHOUT), passes=None, count=1)
    asked = replace(STEADY, demand=replayed(Case.IDEAL), passes=None)
    words = sum_up(find_density(fleet(asked, there), replicates=1))
    assert "'steady': not known with FPR, not known without FPR; not known ideally." in words


def test_vms_of_which_nothing_is_known_are_refused():
    with pytest.raises(FreepageError, match="steady: neither"):
        find_density(fleet(replace(STEADY, demand=replayed())))


def test_the_answer_names_the_numbers_with_their_intervals():
    density = find_density(fleet(CYCLE), replicates=3)
    found = {case: density.kinds[0].fits[case, Together.INDEPENDENT] for case in Case}
    with_fpr = found[Case.WITH]
    words = sum_up(density)
    assert words.startswith(
        f"A node of 16.0 GiB has memory for VMs: {with_fpr.vms} ({with_fpr.low} to {with_fpr.high}) with FPR"
    )
    assert ", 16 (16 to 16) without FPR" in words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 %"),
        (0.00052, "0.052 %"),
        (0.042, "4.2 %"),
        (0.0996, "10 %"),
        (0.996, "100 %"),
        (1.0, "100 %"),
    ],
)
def test_a_share_has_two_digits_or_all_before_the_point(share, words):
    assert show_percent(share) == words


def test_every_assumption_is_said():
    words = " ".join(
        list_assumptions(
            find_density(fleet(DRAWN, node=replace(NODE, swap_bytes=1.0 * GIB, overcommit=1.5)), replicates=1)
        )
    )
    for part in (
        "0.1 %",
        "1 h are counted",
        "passes 2 s apart",
        "4.00 MiB",
        "100 MiB beside",
        "Synchronised",
        "swap",
        "150 %",
    ):
        assert part in words
