"""Whole runs whose truth is known, through all rules: on hosts that are drawn, with trials left out, and seen at other times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from freepage.analysis.claims import ClaimDecision
from freepage.analysis.closure import MOST_TICKS, memory_limit
from freepage.analysis.compared import Comparison
from freepage.analysis.conclusion import Decision
from freepage.analysis.controls import void_shares
from freepage.analysis.doubts.base import DoubtInput
from freepage.analysis.doubts.controls import find_memory_excursions
from freepage.analysis.estimates import Quantity
from freepage.analysis.results import judge_run
from freepage.analysis.trial_values import measure_trial
from freepage.records import Arm
from freepage.units import GIB
from helpers.drawn_host import (
    TIMES,
    draw_host,
    measure,
    sample_at,
    slow_down,
    vary,
    without_fpr,
)
from helpers.modelled_run import CYCLE_ONLY, Truth, build_run

pytestmark = pytest.mark.long

FIVE = Truth(repeats=5, drawn_phases=True)
GAINS = {Decision.ENABLE, Decision.ENABLE_EXCEPT, Decision.MEMORY_ONLY}
# Decisions that are wrong of a host where FPR does nothing, and where it works as the model has it.
WRONG_OF_NOTHING = {
    "tracks-the-pod": ClaimDecision.CONFIRMED,
    "saves-memory": ClaimDecision.CONFIRMED,
    "saves-peak-memory": ClaimDecision.CONFIRMED,
    "reallocation-penalty": ClaimDecision.CONFIRMED,
    "only-grows": ClaimDecision.CONTRADICTED,
}
WRONG_OF_FPR = {
    "only-grows": ClaimDecision.CONTRADICTED,
    "saves-memory": ClaimDecision.CONTRADICTED,
    "reallocation-penalty": ClaimDecision.CONTRADICTED,
    "later-as-first": ClaimDecision.CONTRADICTED,
}


@pytest.fixture(scope="module")
def works():
    """A run of five blocks in which FPR works, and the numbers of its trials."""
    run = build_run(FIVE)
    return run, measure(run)


@pytest.fixture(scope="module")
def nothing(works):
    """The same run on a host where FPR does nothing."""
    run, values = works
    same = without_fpr(run)
    fpr = {t.record.id: measure_trial(t) for t in same.trials if t.record.arm is Arm.VM_FPR}
    return same, values | fpr


@pytest.fixture(scope="module")
def hosts(works, nothing):
    """Forty runs on drawn hosts with what was made of them: twenty where FPR does nothing, then twenty where it works."""
    drawn = [draw_host(*nothing, seed) for seed in range(20)]
    drawn += [draw_host(*works, seed) for seed in range(20, 40)]
    return [(host, judge_run(host.run, void_shares(host.run, host.values))) for host in drawn]


def is_wrong(results, claims, decisions):
    wrong = [c.id for c in results.claims if claims.get(c.id) is c.decision]
    return bool(wrong) or results.verdict.decision in decisions


def test_of_forty_runs_at_most_three_decide_anything_wrongly_and_half_decide(hosts):
    wrong = [is_wrong(results, WRONG_OF_NOTHING, GAINS) for _, results in hosts[:20]]
    wrong += [is_wrong(results, WRONG_OF_FPR, {Decision.NO_BENEFIT}) for _, results in hosts[20:]]
    assert sum(wrong) <= 3
    decided = [results.verdict.decision is not Decision.INCONCLUSIVE for _, results in hosts]
    assert sum(decided) >= 20


def find_seen(host, results):
    """Return the trials in which the doubt `other-work` sees memory that is not the instances'."""
    found = DoubtInput(host.run, host.values, results.experiments)
    return {name for experiment in results.experiments for name in find_memory_excursions(found, experiment)}


def find_clear(host, results):
    """Return the trials whose neighbour is clearly larger than what may be, for long enough, and those that had none, or a far smaller one."""
    clear, small = set(), set()
    for trial in host.run.trials:
        saved = results.experiments[trial.record.experiment].compared(Comparison.SAVED_MEAN)
        limit, neighbour = memory_limit(trial, saved.value), host.neighbours.get(trial.record.id)
        ends_s = trial.record.planned_duration_s
        if neighbour is None or neighbour.bytes < 0.8 * limit:
            small.add(trial.record.id)
        elif (
            neighbour.bytes > 1.2 * limit
            and min(neighbour.end_s, ends_s) - neighbour.start_s > MOST_TICKS + 2
        ):
            clear.add(trial.record.id)
    return clear, small


def test_other_work_is_named_in_the_trials_that_had_it_and_in_no_other(hosts):
    """Memory that was added to what trials had measured once never came to the books, and no doubt could name it."""
    alone = [(host, results) for host, results in hosts if not host.growth_bytes_s]
    named = 0
    for host, results in alone:
        seen, (clear, small) = find_seen(host, results), find_clear(host, results)
        assert clear <= seen
        assert not small & seen
        named += len(clear)
    assert named >= 10


def test_other_work_that_grows_throughout_is_named_where_it_is_more_than_may_be(hosts):
    growing = [(host, results) for host, results in hosts if host.growth_bytes_s]
    assert len(growing) >= 4
    for host, results in growing:
        (longest,) = {t.record.planned_duration_s for t in host.run.trials if t.record.experiment == "random"}
        doubted = {d.experiment for d in results.doubts if d.id == "other-work"}
        if host.growth_bytes_s * longest > 2 * memory_limit(host.run.trials[0], 0.0):
            assert "random" in doubted


def test_a_host_that_slows_down_by_one_percent_a_trial_is_said_to_drift_and_a_steady_one_is_not(hosts):
    drifting = [
        any(d.id == "drift" and d.touches == "time" for d in results.doubts)
        for host, results in hosts
        if host.drift
    ]
    steady = [any(d.id == "drift" for d in results.doubts) for host, results in hosts if not host.drift]
    assert min(len(drifting), len(steady)) >= 5
    assert sum(drifting) >= 0.9 * len(drifting)
    assert sum(steady) <= 0.25 * len(steady)


def test_times_that_are_scaled_are_those_of_slower_steps(works):
    run, values = works
    for trial in run.trials[:3]:
        slower, mine = measure_trial(slow_down(trial, 1.3)), values[trial.record.id]
        known = [number for number in TIMES if mine.get(number) is not None]
        assert len(known) == len(TIMES)
        assert [slower[n] for n in known] == pytest.approx([1.3 * mine[n] for n in known])


def test_most_clean_runs_decide(works):
    """Rules that never decide would never be wrong either."""
    run, values = works
    decisions = []
    for seed in range(5):
        chance = np.random.default_rng(seed)
        seen = {
            name: vary(mine, float(np.exp(0.01 * chance.normal())), chance) for name, mine in values.items()
        }
        decisions.append(judge_run(run, seen).verdict.decision)
    assert decisions.count(Decision.ENABLE) >= 4


OPPOSITES = [GAINS, {Decision.NO_BENEFIT}]
OPPOSED_CLAIMS = {ClaimDecision.CONFIRMED, ClaimDecision.CONTRADICTED}


def assert_not_turned_round(before, after):
    for one, other in (OPPOSITES, OPPOSITES[::-1]):
        assert not (before.verdict.decision in one and after.verdict.decision in other)
    for was, is_ in zip(before.claims, after.claims, strict=True):
        assert {was.decision, is_.decision} != OPPOSED_CLAIMS, was.id


@pytest.mark.parametrize("fpr_works", [True, False])
def test_dropping_any_trial_never_turns_an_answer_round(works, nothing, fpr_works):
    run, values = works if fpr_works else nothing
    before = judge_run(run, values)
    assert before.verdict.decision == ("enable" if fpr_works else "no-benefit")
    for dropped in run.trials:
        rest = replace(run, trials=[t for t in run.trials if t is not dropped])
        after = judge_run(rest, {t.record.id: values[t.record.id] for t in rest.trials})
        assert_not_turned_round(before, after)
        assert after.verdict.headline == before.verdict.headline == "cycle"


@pytest.mark.parametrize("arm", [Arm.POD, Arm.VM, Arm.VM_FPR])
def test_without_one_arm_nothing_is_answered_that_was_not_before(works, nothing, arm):
    """Pods that all failed once would have taken the limit on what they show to be possible with them."""
    for run, values in (works, nothing):
        left = [t for t in run.trials if (t.record.experiment, t.record.arm) != ("cycle", arm)]
        after = judge_run(replace(run, trials=left), {t.record.id: values[t.record.id] for t in left})
        assert after.verdict.decision in {Decision.INCONCLUSIVE, judge_run(run, values).verdict.decision}
        assert after.verdict.decision not in GAINS


@pytest.mark.parametrize("fpr_works", [True, False])
def test_blocks_told_twice_and_orders_permuted_never_turn_an_answer_round(works, nothing, fpr_works):
    host = draw_host(*(works if fpr_works else nothing), 7)
    run, values = host.run, host.values
    before = judge_run(run, values)
    copies = [
        replace(t, record=replace(t.record, id=f"{t.record.id}-again", repeat=t.record.repeat + 5))
        for t in run.trials
    ]
    twice = replace(run, trials=[*run.trials, *copies])
    doubled = values | {f"{name}-again": mine for name, mine in values.items()}
    assert_not_turned_round(before, judge_run(twice, doubled))
    turned = [replace(t, record=replace(t.record, order=n)) for n, t in enumerate(reversed(run.trials))]
    permuted = judge_run(replace(run, trials=turned), values)
    assert_not_turned_round(before, permuted)
    assert permuted.verdict.decision == before.verdict.decision


def test_a_failed_trial_opens_the_answer_and_never_makes_it_another_experiments(works):
    """One failed trial of the headline once put another experiment's 30 % there: leave it off."""
    run, values = works
    fpr = {t.record.id for t in run.trials if (t.record.experiment, t.record.arm) == ("random", Arm.VM_FPR)}
    changed = {
        name: mine | ({Quantity.GIVEN_BACK: 0.3} if name in fpr else {}) for name, mine in values.items()
    }
    whole = judge_run(run, changed)
    assert whole.verdict.decision == "enable-except"
    first = next(t for t in run.trials if (t.record.experiment, t.record.arm) == ("cycle", Arm.VM_FPR))
    rest = replace(run, trials=[t for t in run.trials if t is not first])
    after = judge_run(rest, changed)
    assert after.verdict.decision == "inconclusive"
    assert (after.verdict.headline, whole.verdict.headline) == ("cycle", "cycle")


def test_a_higher_baseline_changes_no_answer(works):
    run, values = works
    higher = build_run(replace(FIVE, baseline_bytes=3 * GIB), study=CYCLE_ONLY)
    after = judge_run(higher, measure(higher))
    assert after.verdict.decision == judge_run(run, values).verdict.decision == "enable"


def test_a_run_of_one_block_decides_nothing_at_all():
    run = build_run(replace(FIVE, repeats=1), study=CYCLE_ONLY)
    results = judge_run(run, measure(run))
    assert results.verdict.decision == "inconclusive"
    assert {c.decision for c in results.claims} == {ClaimDecision.NOT_DECIDABLE}


def test_nearly_all_given_back_just_before_it_is_used_again_is_no_reason_to_enable():
    """Ninety-six percent came back of every block, in the last half second of its pause: it once was enough."""
    study = CYCLE_ONLY.replace("512MiB", "1GiB").replace('idle = "10s"', 'idle = "4s"')
    run = build_run(replace(FIVE, pass_s=3.3, pass_bytes=2 * GIB), study=study)
    values = measure(run)
    verdict = judge_run(run, values).verdict
    assert verdict.decision is Decision.INCONCLUSIVE
    assert "too little of it: idle windows are too short" in verdict.sentence
    rule = replace(run.manifest.verdict_rule, min_saved_of_possible_fraction=None)
    before = judge_run(replace(run, manifest=replace(run.manifest, verdict_rule=rule)), values).verdict
    assert before.decision is Decision.ENABLE
    assert "FPR gave back 96" in before.sentence


@pytest.mark.parametrize(("given_back", "decision"), [(0.96, "enable"), (0.6, "enable"), (0.0, "no-benefit")])
def test_sampling_phases_widen_an_interval_or_leave_an_answer_open_and_never_turn_it_round(
    given_back, decision
):
    """All samples of a whole run taken at other times after the steps, drawn for each block, at two intervals."""
    fine = build_run(Truth(given_back=given_back, repeats=5, interval_s=0.1))
    chance = np.random.default_rng(3)
    seen = []
    for interval_s in (0.5, 1.0):
        for _ in range(4):
            run = sample_at(fine, interval_s, chance.random(5))
            seen.append(judge_run(run, void_shares(run, measure(run))))
    for number, one in enumerate(seen):
        for other in seen[:number]:
            assert_not_turned_round(one, other)
    decisions = [results.verdict.decision for results in seen]
    assert set(decisions) <= {decision, Decision.INCONCLUSIVE}
    assert decisions.count(decision) >= 4
