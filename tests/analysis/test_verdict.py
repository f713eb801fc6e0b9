"""The rule of the verdict: what it decides, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.analysis.limits import ExperimentOutcome
from freepage.analysis.stats import Estimate
from freepage.analysis.verdict import VerdictInput, decide
from freepage.records import VerdictRule


def between(low, high):
    return Estimate((low + high) / 2, low, high, "fraction", 3)


@pytest.mark.parametrize(
    ("given_back", "without", "penalty", "decision"),
    [
        (between(0.9, 0.95), between(0, 0.01), between(1.1, 1.3), "enable"),
        (between(0.4, 0.6), between(0, 0.01), between(1.1, 1.3), "inconclusive"),
        (between(0.1, 0.2), between(0, 0.01), between(1.1, 1.3), "no-benefit"),
        (between(0.9, 0.95), between(0.3, 0.4), between(1.1, 1.3), "inconclusive"),
        (between(0.9, 0.95), None, between(1.1, 1.3), "inconclusive"),
        (between(0.9, 0.95), between(0, 0.01), between(1.5, 2.5), "inconclusive"),
        (between(0.9, 0.95), between(0, 0.01), between(2.5, 3.5), "no-benefit"),
        (between(0.9, 0.95), between(0, 0.01), None, "enable"),
        (None, None, None, "inconclusive"),
    ],
)
def test_the_rule_decides_by_whole_intervals(given_back, without, penalty, decision):
    verdict = decide(
        found(ExperimentOutcome("cycle", "cycle-*", given_back, without, None, penalty)), VerdictRule()
    )
    assert verdict.decision == decision
    assert verdict.sentence
    assert verdict.reasons


def found(headline, *others, times_count=True):
    return VerdictInput(headline, others, times_count=times_count)


def test_a_studys_own_threshold_is_used_and_printed():
    given = found(ExperimentOutcome("cycle", "cycle-*", between(0.3, 0.4), between(0, 0)))
    verdict = decide(given, VerdictRule(min_given_back_fraction=0.2))
    assert verdict.decision == "enable"
    assert "20%" in verdict.rule


def test_every_threshold_is_printed_with_the_rule():
    rule = VerdictRule(0.61, 0.17, 2.3, 1.4, 0.33, 0.87)
    for times_count in (True, False):
        words = decide(found(CYCLE, times_count=times_count), rule).rule
        assert all(
            shown in words for shown in ("61%", "17%", "2.3 times", "1.4 s", "0.33 core", "0.87 times")
        )


CYCLE = ExperimentOutcome(
    "cycle", "cycle-*", between(0.9, 0.95), between(0, 0.01), between(4, 5), reallocation=between(1.1, 1.3)
)
CHURN = ExperimentOutcome("churn", "churn-*", between(0.8, 0.9), allocation=between(3.0, 3.4))
GUEST_IO = ExperimentOutcome("guest-io-ext4", "guest-io-ext4-*", guest_io=between(0.5, 0.6))


def test_vms_that_pay_too_much_are_excepted_by_name_while_others_gain():
    verdict = decide(found(CYCLE, CHURN, GUEST_IO), VerdictRule())
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
    dear = replace(CYCLE, reallocation=between(3, 4))
    verdict = decide(found(dear, replace(CHURN, allocation=between(1.0, 1.2))), VerdictRule())
    assert verdict.decision == "enable-except"
    assert "cycle (cycle-*: allocating again" in verdict.sentence
    assert "gave back 85" in verdict.sentence


def test_nothing_is_gained_where_all_who_gain_pay_too_much():
    dear = replace(CYCLE, reallocation=between(3, 4))
    assert decide(found(dear, CHURN), VerdictRule()).decision == "no-benefit"
    idle = replace(GUEST_IO, guest_io=between(0.95, 1.05))
    assert decide(found(dear, idle), VerdictRule()).decision == "no-benefit"
    keeps = replace(CHURN, allocation=between(1.0, 1.1), given_back=between(0.1, 0.2))
    assert decide(found(dear, keeps), VerdictRule()).decision == "no-benefit"


def test_a_price_on_both_sides_makes_the_run_inconclusive_only_in_the_headline():
    unsure = between(1.5, 2.5)
    assert decide(found(replace(CYCLE, reallocation=unsure), CHURN), VerdictRule()).decision == "inconclusive"
    verdict = decide(found(CYCLE, replace(CHURN, allocation=unsure)), VerdictRule())
    assert verdict.decision == "enable"
    assert any("In churn, " in r and "1.5 to 2.5, lies on both sides" in r for r in verdict.reasons)


@pytest.mark.parametrize(
    ("per_gib", "per_vm", "decision"),
    [
        (between(1.5, 2.0), between(0.3, 0.4), "enable-except"),
        (between(1.5, 2.0), between(0.0, 0.1), "enable"),
        (between(0.1, 0.2), between(0.3, 0.4), "enable"),
        (between(0.5, 2.0), between(0.3, 0.4), "enable"),
    ],
)
def test_cpu_is_too_much_when_it_is_out_of_proportion_and_noticeable(per_gib, per_vm, decision):
    churn = replace(CHURN, allocation=None, cpu_s_per_gib=per_gib, cpu_cores_per_vm=per_vm)
    assert decide(found(CYCLE, churn), VerdictRule()).decision == decision


def test_no_price_decides_under_emulation():
    dear = replace(CYCLE, reallocation=between(5, 6))
    verdict = decide(found(dear, CHURN, GUEST_IO, times_count=False), VerdictRule())
    assert verdict.decision == "enable"
    assert "Times, CPU and throughput under emulation do not decide." in verdict.reasons
    assert "times as long" not in verdict.sentence


def test_faster_io_on_the_host_is_named_as_a_gain():
    gain = ExperimentOutcome("host-io", "host-io-memory-*", host_io=between(3.0, 3.4))
    assert (
        "I/O on the host ran 3.2 times as fast beside them."
        in decide(found(CYCLE, gain), VerdictRule()).sentence
    )
    same = replace(gain, host_io=between(0.9, 1.2))
    assert "I/O on the host" not in decide(found(CYCLE, same), VerdictRule()).sentence


def test_an_exception_that_rests_on_one_trial_says_so():
    once = replace(GUEST_IO, guest_io=Estimate(0.5, None, None, "ratio", 1))
    assert "That is one trial" in decide(found(CYCLE, once), VerdictRule()).sentence


def test_what_settles_an_undecided_run_is_told_once():
    unsure = replace(CYCLE, reallocation=between(1.5, 2.5))
    for others in ((), (CHURN,)):
        verdict = decide(found(unsure, *others), VerdictRule())
        assert sum("1.5 to 2.5, lies on both sides" in reason for reason in verdict.reasons) == 1
    nothing = decide(found(ExperimentOutcome("cycle", "cycle-*")), VerdictRule())
    assert nothing.reasons[-1] == "No trial with FPR measured a release."
    smoke = decide(replace(found(CYCLE), smoke=True), VerdictRule())
    assert smoke.reasons[-1] == "It was a smoke run: leave out --scale to measure."
