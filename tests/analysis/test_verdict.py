"""The rule of the verdict: what it decides, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.analysis.conclusion import VerdictInput
from freepage.analysis.limits import ExperimentOutcome
from freepage.analysis.stats import Estimate, estimate_positive, estimate_share
from freepage.analysis.verdict import decide
from freepage.records import VerdictRule
from freepage.report.decisions import name_decision


def between(low, high, n=5):
    return Estimate((low + high) / 2, low, high, "ratio" if high > 1 else "fraction", n)


def cycle(**changes):
    """An experiment about releases that meets the rule, with changes."""
    whole = ExperimentOutcome(
        "cycle",
        "cycle-*",
        between(0.9, 0.95),
        between(0, 0.008),
        between(4, 5),
        reallocation=between(1.1, 1.3),
        saved_mean=between(0.27, 0.31),
        saved_max=between(-0.01, 0.02),
        saved_of_possible=between(0.4, 0.5),
        has_pods=True,
        about_releases=True,
    )
    return replace(whole, **changes)


CYCLE = cycle()
RANDOM = cycle(experiment="random", vms="random-*", reallocation=None, allocation=between(1.0, 1.2))
CHURN = ExperimentOutcome("churn", "churn-*", allocation=between(3.0, 3.4))
GUEST_IO = ExperimentOutcome("guest-io-ext4", "guest-io-ext4-*", guest_io=between(0.5, 0.6))


def found(headline, *others, times_count=True):
    return VerdictInput(headline, others, times_count=times_count)


def decided(headline, *others, times_count=True):
    return decide(found(headline, *others, times_count=times_count), VerdictRule())


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({}, "enable"),
        ({"given_back": between(0.4, 0.6)}, "inconclusive"),
        ({"given_back": between(0.1, 0.2)}, "no-benefit"),
        ({"given_back": None}, "inconclusive"),
        ({"given_back_without": between(0.3, 0.4)}, "inconclusive"),
        ({"given_back_without": between(0.05, 0.4)}, "inconclusive"),
        ({"given_back_without": None}, "inconclusive"),
        ({"saved_mean": between(0.02, 0.2)}, "inconclusive"),
        ({"saved_mean": between(0.0, 0.02)}, "no-benefit"),
        ({"saved_mean": None}, "inconclusive"),
        ({"saved_of_possible": between(0.1, 0.3)}, "inconclusive"),
        ({"saved_of_possible": between(0.08, 0.12)}, "no-benefit"),
        ({"saved_of_possible": between(0.08, 0.12), "saved_in_time": 0.12}, "inconclusive"),
        ({"saved_of_possible": between(0.08, 0.12), "saved_in_time": None}, "inconclusive"),
        ({"saved_of_possible": between(0.25, 0.3), "saved_in_time": 0.12}, "enable"),
        ({"saved_of_possible": between(0.25, 0.3), "saved_in_time": None}, "enable"),
        ({"saved_of_possible": None}, "inconclusive"),
        ({"saved_of_possible": None, "has_pods": False}, "enable"),
        ({"saved_max": between(-0.04, 0.0)}, "enable"),
        ({"saved_max": between(-0.15, 0.0)}, "inconclusive"),
        ({"saved_max": between(-0.3, -0.15)}, "no-benefit"),
        ({"saved_max": None}, "inconclusive"),
        ({"node_obstacle": "Other work moved it."}, "inconclusive"),
        ({"obstacle": "Of pods not all was seen to come back."}, "inconclusive"),
        ({"reallocation": between(1.5, 2.5)}, "memory-only"),
        ({"reallocation": between(2.5, 3.5)}, "no-benefit"),
        ({"reallocation": None}, "memory-only"),
    ],
)
def test_the_rule_decides_by_whole_intervals(changes, decision):
    verdict = decided(cycle(**changes))
    assert verdict.decision == decision
    assert verdict.sentence
    assert verdict.reasons


def test_a_studys_own_threshold_is_used_and_printed():
    verdict = decide(found(cycle(given_back=between(0.3, 0.4))), VerdictRule(min_given_back_fraction=0.2))
    assert verdict.decision == "enable"
    assert "20%" in verdict.rule
    assert verdict.thresholds["min_given_back_fraction"] == 0.2
    assert "headline" not in verdict.thresholds


def test_every_threshold_is_printed_with_the_rule():
    rule = VerdictRule(0.61, 0.17, 2.3, 1.4, 0.33, 0.87, 0.08, 0.23, 0.14)
    for times_count in (True, False):
        words = decide(found(CYCLE, times_count=times_count), rule).rule
        for shown in ("61%", "17%", "2.3 times", "1.4 s", "0.33 core", "0.87 times", "8%", "23%", "14%"):
            assert shown in words


def test_saved_memory_stands_beside_what_was_given_back():
    verdict = decided(CYCLE)
    assert verdict.sentence == (
        "Turn it on: FPR gave back 92\u00a0% of the memory that VMs freed, 90\u00a0% within 4.5\u00a0s. Without it, nothing came "
        "back. VMs took 29\u00a0% less of the node's memory on average, 45\u00a0% of what FPR could save. "
        "Allocating again took 1.2 times as long."
    )
    peak = decided(cycle(saved_max=between(-0.03, 0.04)))
    assert any("peak" in r and "−3 to 4\u00a0%" in r for r in peak.reasons)


def test_too_little_of_the_possible_is_put_down_to_idle_windows_where_the_kernels_pace_does():
    """FPR that gives back 92 % of what is freed and is asked for it again before it is back saves next to nothing."""
    little = cycle(saved_of_possible=between(0.08, 0.12))
    assert decided(little).sentence == (
        "Leave it off: FPR saved only 10\u00a0% of what a pod shows to be possible."
    )
    short = decided(replace(little, saved_in_time=0.12)).sentence
    assert short.startswith(
        "This run does not decide. FPR saved only 10\u00a0% of what a pod shows to be possible, too little of it"
    )
    assert "idle windows are too short" in short
    assert "the kernel's passes leave 12\u00a0% to save" in short
    unknown = decided(replace(little, saved_in_time=None)).sentence
    assert "too little of it: whether idle windows are too short is not known" in unknown


def test_a_study_without_pods_says_that_what_is_possible_is_no_part_of_the_answer():
    verdict = decided(cycle(saved_of_possible=None, has_pods=False))
    assert any("No pod was to show what is possible" in reason for reason in verdict.reasons)


def test_a_peak_that_fpr_raises_counts_against_it_and_one_that_stays_is_only_told():
    higher = decided(cycle(saved_max=between(-0.3, -0.2)))
    assert (
        higher.sentence == "Leave it off: at its peak the node's memory in use was 25\u00a0% higher with FPR."
    )
    same = decided(cycle(saved_max=between(0.0, 0.0)))
    assert same.decision == "enable"
    assert "At its peak the node's memory in use was 0\u00a0% (0 to 0\u00a0%) lower with FPR." in same.reasons


def test_a_run_whose_rule_has_no_such_limits_is_answered_without_them():
    """A run is judged by the rule it was planned with, also by a later version."""
    rule = VerdictRule(min_saved_of_possible_fraction=None, max_added_peak_fraction=None)
    poor = cycle(saved_of_possible=between(0.0, 0.05), saved_max=between(-0.3, -0.2))
    verdict = decide(found(poor), rule)
    assert verdict.decision == "enable"
    assert not {"min_saved_of_possible_fraction", "max_added_peak_fraction"} & set(verdict.thresholds)
    assert "possible" not in verdict.rule
    assert "peak" not in verdict.rule
    for told in ("of what a pod shows to be possible", "At its peak"):
        assert sum(told in reason for reason in verdict.reasons) == 1


def keeps(n, name):
    """An experiment whose VMs kept what they freed in each of n trials."""
    return replace(
        RANDOM, experiment=name, given_back=estimate_share([0.1 + k / 100 for k in range(n)], "fraction")
    )


@pytest.mark.parametrize(
    ("n", "experiments", "decision"),
    [
        (5, 1, "enable-except"),
        (5, 2, "inconclusive"),
        (6, 2, "enable-except"),
        (6, 3, "inconclusive"),
        (7, 4, "enable-except"),
    ],
)
def test_of_several_experiments_one_keeps_its_memory_by_chance_unless_more_trials_show_it(
    n, experiments, decision
):
    """All of n trials lie on one side of their median in 2^-n of runs; of two experiments one does in twice as many."""
    verdict = decided(CYCLE, *(keeps(n, f"random-{k}") for k in range(experiments)))
    assert verdict.decision == decision
    if (n, experiments) == (5, 2):
        assert (
            "of 2 experiments one would seem so by chance; 6 trials that all do would tell (--repeats 6)."
            in verdict.sentence
        )


def test_vms_that_pay_too_much_are_excepted_by_name_while_others_gain():
    verdict = decided(CYCLE, CHURN, GUEST_IO)
    assert verdict.decision == "enable-except"
    assert verdict.sentence.startswith(
        "Turn it on, except for the VMs of churn (churn-*: allocating took 3.2 times as long as without FPR) and "
        "guest-io-ext4 (guest-io-ext4-*: "
    )
    assert 'kubevirt.io/free-page-reporting-disabled: "true"' in verdict.sentence
    assert "free-page-reporting=off" in verdict.sentence
    assert "restart" in verdict.sentence
    assert "Elsewhere FPR gave back 92" in verdict.sentence


def test_the_headline_itself_can_be_the_exception():
    verdict = decided(cycle(reallocation=between(3, 4)), replace(RANDOM, given_back=between(0.8, 0.9)))
    assert verdict.decision == "enable-except"
    assert "cycle (cycle-*: allocating again" in verdict.sentence
    assert "gave back 85" in verdict.sentence


def test_nothing_is_gained_where_all_who_gain_pay_too_much():
    dear = cycle(reallocation=between(3, 4))
    assert decided(dear, CHURN).decision == "no-benefit"
    assert decided(dear, replace(GUEST_IO, guest_io=between(0.95, 1.05))).decision == "no-benefit"
    assert decided(dear, replace(RANDOM, given_back=between(0.1, 0.2))).decision == "no-benefit"


def test_where_all_who_pay_too_much_leave_one_whose_price_is_open_nothing_is_settled():
    dear, unsure = cycle(reallocation=between(3, 4)), replace(RANDOM, allocation=between(1.5, 2.5))
    assert decided(dear, unsure).decision == "memory-only"
    assert decided(dear, replace(RANDOM, given_back=between(0.4, 0.6))).decision == "inconclusive"


def test_a_price_on_both_sides_leaves_the_price_open_wherever_it_is():
    """Every other price in [0.2, 18] times its limit once still said: turn it on."""
    unsure = between(0.4, 36)
    for verdict in (
        decided(cycle(reallocation=unsure), CHURN),
        decided(CYCLE, replace(CHURN, allocation=unsure)),
    ):
        assert verdict.decision == "memory-only"
        assert "its price is open" in verdict.sentence
    assert any("In churn, " in r and "0.4 to 36 times, lies on both sides" in r for r in verdict.reasons)


@pytest.mark.parametrize(
    ("per_gib", "per_vm", "decision"),
    [
        (between(1.5, 2.0), between(0.3, 0.4), "enable-except"),
        (between(1.5, 2.0), between(0.0, 0.1), "enable"),
        (between(0.1, 0.2), between(0.3, 0.4), "enable"),
        (between(0.5, 2.0), between(0.3, 0.4), "memory-only"),
    ],
)
def test_cpu_is_too_much_when_it_is_out_of_proportion_and_noticeable(per_gib, per_vm, decision):
    churn = replace(CHURN, allocation=None, cpu_s_per_gib=per_gib, cpu_cores_per_vm=per_vm)
    assert decided(CYCLE, churn).decision == decision


def test_where_vms_without_fpr_give_memory_back_too_that_nothing_is_saved_says_nothing_of_fpr():
    """Reporting that was on in both arms once said: leave it off."""
    both = cycle(given_back_without=between(0.9, 0.95), saved_mean=between(-0.01, 0.02))
    for outcome in (
        both,
        replace(both, given_back=between(0.28, 0.32), given_back_without=between(0.2, 0.3)),
    ):
        verdict = decided(outcome)
        assert verdict.decision == "inconclusive"
        assert "which FPR cannot explain" in verdict.sentence
    for without in (None, between(0.0, 0.3)):
        verdict = decided(cycle(given_back=between(0.1, 0.2), given_back_without=without))
        assert verdict.decision == "inconclusive"


def test_an_open_price_of_vms_that_are_excepted_anyway_leaves_nothing_open():
    dear = replace(GUEST_IO, guest_io=between(0.85, 0.95), allocation=between(3, 3.4))
    keeping = replace(RANDOM, given_back=between(0.1, 0.2), allocation=between(1.5, 2.5))
    for other in (dear, keeping):
        verdict = decided(CYCLE, other)
        assert verdict.decision == "enable-except"
        assert "open" not in verdict.sentence


@pytest.mark.parametrize(
    ("per_vm", "decision"),
    [(between(0.0, 0.1), "enable"), (between(0.3, 0.4), "memory-only"), (between(0.1, 0.3), "memory-only")],
)
def test_cpu_whose_return_is_not_known_is_little_or_its_price_is_open(per_vm, decision):
    """Such VMs once had no price of CPU at all, and were told to have FPR."""
    verdict = decided(cycle(cpu_cores_per_vm=per_vm))
    assert verdict.decision == decision
    assert any("core of CPU per VM" in reason for reason in verdict.reasons)


def test_no_price_decides_under_emulation_and_the_answer_asks_for_real_hardware():
    verdict = decided(cycle(reallocation=between(5, 6)), CHURN, GUEST_IO, times_count=False)
    assert verdict.decision == "memory-only"
    assert verdict.sentence.startswith("Memory comes back; measure the price on real hardware: FPR gave back")
    assert "Times, CPU and throughput under emulation do not decide." in verdict.reasons
    assert "times as long" not in verdict.sentence


def test_a_price_that_nobody_measured_is_not_within_the_rule():
    verdict = decided(cycle(reallocation=None))
    assert verdict.decision == "memory-only"
    assert "The price of FPR was not measured." in verdict.sentence


def test_faster_io_on_the_host_is_named_as_a_gain_where_its_interval_shows_one():
    gain = ExperimentOutcome("host-io", "host-io-memory-*", host_io=between(3.0, 3.4))
    assert "I/O on the host ran 3.2 times as fast beside them." in decided(CYCLE, gain).sentence
    for open_ in (between(0.9, 1.2), Estimate(1.1, None, None, "ratio", 1, "student-log")):
        verdict = decided(CYCLE, replace(gain, host_io=open_))
        assert "I/O on the host" not in verdict.sentence
        assert any("I/O on the host" in r for r in verdict.reasons)


def test_one_pair_of_trials_never_makes_an_exception():
    """One pair of guest I/O at 0.89 once said: except these VMs, and restart them."""
    once = replace(GUEST_IO, guest_io=Estimate(0.5, None, None, "ratio", 1, "student-log"))
    verdict = decided(CYCLE, once)
    assert verdict.decision == "memory-only"
    assert "except" not in verdict.sentence
    assert "one trial misses the rule; nothing is decided from fewer than 3" in verdict.sentence


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"given_back": 0.45},
        {"given_back": 0.0},
        {"given_back_without": 0.4},
        {"saved_mean": 0.0},
        {"saved_of_possible": 0.0},
        {"saved_max": -0.5},
    ],
)
def test_single_trials_decide_nothing_in_any_branch(n, changes):
    few = {name: Estimate(v, None, None, "fraction", n, "range") for name, v in changes.items()}
    assert decided(cycle(**few)).decision == "inconclusive"


def test_three_trials_say_what_was_seen_and_how_many_decide():
    seen = cycle(
        given_back=estimate_share([0.95, 0.96, 0.97], "fraction"),
        given_back_without=estimate_share([0.0, 0.0, 0.01], "fraction"),
        saved_mean=between(0.2, 0.3, 3),
    )
    verdict = decided(seen)
    assert verdict.decision == "inconclusive"
    assert verdict.sentence.startswith("Seen in 3 trials, not decided: FPR gave back 96")
    assert verdict.sentence.endswith("5 trials can decide it (--repeats 5).")
    assert verdict.seen_in_trials == 3
    assert name_decision(verdict) == "Seen, not decided"


def test_few_trials_of_another_experiment_are_not_those_of_the_headline():
    """Three trials of a cycle and one of a random load once read as one trial in which all was seen."""
    shares = {n: estimate_share([0.95, 0.96, 0.97, 0.95, 0.96][:n], "fraction") for n in (1, 3)}
    none = estimate_share([0.0, 0.0, 0.01], "fraction")
    three = cycle(given_back=shares[3], given_back_without=none, saved_mean=between(0.2, 0.3, 3))
    verdict = decided(three, replace(RANDOM, given_back=shares[1]))
    assert verdict.sentence.startswith("Seen in 3 trials, not decided: FPR gave back 96")
    assert verdict.seen_in_trials == 3
    burst = replace(RANDOM, experiment="burst", given_back=shares[1])
    verdict = decided(CYCLE, replace(RANDOM, given_back=shares[3]), burst)
    assert verdict.sentence.startswith("Seen in cycle, not decided: FPR gave back 92")
    assert verdict.sentence.endswith(
        "In random 3 trials show that memory comes back, and 5 can decide it (--repeats 5)."
    )
    assert name_decision(verdict) == "Seen, not decided"


class TestScenarios:
    """Runs that were once answered wrongly."""

    def test_a_realistic_load_that_gives_nothing_back_is_an_exception_and_no_footnote(self):
        random = replace(RANDOM, given_back=between(0.09, 0.11))
        verdict = decided(CYCLE, random)
        assert verdict.decision == "enable-except"
        assert "except for the VMs of random (random-*: they gave back only 10\u00a0%)" in verdict.sentence

    def test_less_than_the_rule_asks_for_in_another_experiment_is_an_exception(self):
        assert decided(CYCLE, replace(RANDOM, given_back=between(0.28, 0.32))).decision == "enable-except"

    def test_one_trial_below_the_rule_is_not_leave_it_off(self):
        once = cycle(given_back=Estimate(0.45, None, None, "fraction", 1, "range"))
        assert decided(once).decision == "inconclusive"

    def test_a_release_that_other_experiments_cannot_show_is_not_answered_by_them(self):
        nothing = cycle(given_back=None, given_back_without=None, saved_mean=None, reallocation=None)
        verdict = decided(nothing, RANDOM)
        assert verdict.decision == "inconclusive"
        assert "No trial with FPR measured a release." in verdict.sentence

    def test_without_fpr_the_whole_interval_has_to_be_below_the_threshold(self):
        odd = estimate_share([0.0, 0.0, 0.29, 0.0, 0.0], "fraction")
        assert decided(cycle(given_back_without=odd)).decision == "inconclusive"
        assert decided(cycle(given_back_without=between(0.02, 0.20))).decision == "inconclusive"

    def test_ten_prices_at_four_fifths_of_their_limits_except_nobody(self):
        chance = [1.6 * f for f in (0.9, 1.3, 1.1, 1.35, 1.25)]
        others = [
            ExperimentOutcome(f"x{n}", f"x{n}-*", allocation=estimate_positive(chance, "ratio"))
            for n in range(10)
        ]
        assert decided(CYCLE, *others).decision == "memory-only"


def test_what_settles_an_undecided_run_is_told_once():
    unsure = cycle(reallocation=between(1.5, 2.5))
    for others in ((), (replace(CHURN, allocation=between(1.0, 1.1)),)):
        verdict = decided(unsure, *others)
        assert sum("1.5 to 2.5 times, lies on both sides" in reason for reason in verdict.reasons) == 1
    nothing = decided(ExperimentOutcome("cycle", "cycle-*"))
    assert "No trial with FPR measured a release." in nothing.reasons
    smoke = decide(replace(found(CYCLE), smoke=True), VerdictRule())
    assert smoke.reasons[-1] == "It was a smoke run, which measures nothing: leave out --smoke."
