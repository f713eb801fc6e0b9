"""What the article found, decided from a run's own numbers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from freepage.analysis.bounds import Bounds
from freepage.analysis.claim import load_claims
from freepage.analysis.claims import ClaimConditions, ClaimDecision, decide_claims
from freepage.analysis.compared import Comparison
from freepage.analysis.experiments import ExperimentResults
from freepage.analysis.paths import parse_path
from freepage.analysis.reach import Pace, find_pace
from freepage.analysis.results import build_results
from freepage.analysis.significance import find_interval
from freepage.analysis.stats import Estimate, estimate_count, estimate_mean, estimate_positive, estimate_share
from freepage.cli.main import main
from freepage.fpr.mechanics import Passes
from freepage.kinds import KINDS
from freepage.records import Action, ProcessSchedule, Step
from freepage.report.page import render_page
from freepage.report.table import table_csv
from freepage.report.tables import build_tables
from freepage.store import load_run
from freepage.units import GIB, MIB
from helpers.modelled_run import Truth, write_run

KVM = ClaimConditions("kvm", 1.0)
TCG = ClaimConditions("tcg", 1.0)
CLAIMS = load_claims()


def estimate(value, half=0.0, unit="ratio", n=5):
    low, high = (None, None) if n < 3 else (value - half, value + half)
    return Estimate(value, low, high, unit, n)


def experiment(kind, numbers):
    """Build the results of one experiment from estimates by path."""
    arms, comparisons = {}, dict.fromkeys(Comparison)
    for path, found in ((parse_path(str(path)), found) for path, found in numbers.items()):
        branch = comparisons if path.arm is None else arms.setdefault(path.arm, {})
        branch[path.number] = found
    return ExperimentResults(kind, arms, comparisons, ())


def decided(experiments, conditions=KVM):
    return {claim.id: claim for claim in decide_claims(experiments, conditions)}


def decide_one(claim_id, found, conditions=KVM):
    """Decide one claim from its own number alone."""
    claim = next(c for c in CLAIMS if c.id == claim_id)
    return decided({"one": experiment(claim.kinds[0], {claim.number: found})}, conditions)[claim_id]


def within(claim):
    """A number that meets the claim's rule."""
    bounds = claim.bounds
    lows = [b for b in (bounds.at_least, bounds.above) if b is not None]
    low = lows[0] if lows else bounds.at_most - 1
    high = bounds.at_most if bounds.at_most is not None else low + 2
    return (low + high) / 2


def beyond(claim):
    """A number that misses the claim's rule."""
    bounds = claim.bounds
    return bounds.at_most + 1 if bounds.at_most is not None else (bounds.at_least or 0) - 0.5


def test_the_list_is_whole_and_each_claim_has_a_rule():
    assert 14 <= len(CLAIMS) <= 18
    assert len({c.id for c in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.kinds
        assert claim.bounds != Bounds()
        assert claim.text.endswith(".")
        assert claim.article
    assert {claim for kind in KINDS.values() for claim in kind.claims} == {c.id for c in CLAIMS}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_each_claim_is_confirmed_contradicted_or_left_open_by_its_whole_interval(claim):
    def decide(found):
        numbers = {claim.number: found}
        if claim.provided:
            numbers[claim.provided] = estimate(1.0, unit="fraction")
        if claim.control:
            numbers[claim.control] = estimate(beyond(claim), unit="bytes")
        return decided({"one": experiment(claim.kinds[0], numbers)})[claim.id].decision

    apart = abs(within(claim) - beyond(claim))
    assert decide(estimate(within(claim), unit=claim.number.number.unit)) == "confirmed"
    assert decide(estimate(beyond(claim), unit=claim.number.number.unit)) == "contradicted"
    assert decide(estimate(within(claim), 2 * apart, unit=claim.number.number.unit)) == "not-decidable"
    assert decide(None) == "not-decidable"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_trials_decide_nothing(claim, n):
    for value in (within(claim), beyond(claim)):
        found = {claim.number: estimate(value, unit=claim.number.number.unit, n=n)}
        found |= {claim.provided: estimate(1.0)} if claim.provided else {}
        found |= {claim.control: estimate(beyond(claim))} if claim.control else {}
        decision = decided({"one": experiment(claim.kinds[0], found)})[claim.id]
        assert decision.decision == "not-decidable"
        assert "nothing is decided from fewer than 5 (--repeats 5)" in decision.reason


def test_three_trials_say_what_was_seen_and_confirm_nothing():
    claim = decide_one("reallocation-penalty", estimate(1.3, 0.05, n=3))
    assert claim.decision == "not-decidable"
    assert (
        claim.reason
        == "Seen in 3 trials, whose interval meets the rule; a claim is decided from 5 on (--repeats 5)."
    )


def test_a_share_is_decided_by_all_of_five_trials():
    """Reads beside VMs with FPR all ran from the cache: three trials show it, five decide it."""
    three, five = (decide_one("host-reads-cached", estimate_share([1.0] * n, "fraction")) for n in (3, 5))
    assert three.decision == "not-decidable"
    assert three.reason == "3 trials meet the rule; nothing is decided from fewer than 5 (--repeats 5)."
    assert (five.decision, five.reason) == ("confirmed", "Each of 5 trials meets the rule.")


def test_6_mb_of_1041_are_no_substantial_saving():
    """One trial with 0.6 % less at the peak once confirmed "substantially less"; so would five of them."""
    assert decide_one("saves-peak-memory", estimate(0.006, unit="fraction", n=1)).decision == "not-decidable"
    assert decide_one("saves-peak-memory", estimate(0.006, 0.002, "fraction")).decision == "contradicted"


def test_the_same_is_shown_by_two_one_sided_tests():
    """The 95 % interval of these reaches 1.11, the 90 % interval stays within 1.1."""
    close = estimate_positive([1.0, 1.08, 1.13, 1.02, 1.05], "ratio")
    assert close.high > 1.115
    closer = estimate_positive([1.02, 1.09, 1.08, 1.0, 1.07], "ratio")
    assert find_interval(closer, 0.90)[1] < 1.1
    assert decide_one("later-as-first", closer).decision == "confirmed"
    assert decide_one("later-as-first", close).decision == "not-decidable"
    slower = decide_one("later-as-first", estimate_positive([1.3] * 5, "ratio"))
    assert (slower.decision, slower.reason) == ("contradicted", "The interval misses the rule.")


def test_a_limit_on_cpu_that_no_price_could_reach_is_not_decided_at_this_scale():
    """At 0.02 GiB/s 0.2 cores are 10 s of CPU for each GiB: FPR at 5 s a GiB was once called hardly any."""
    small = ClaimConditions("kvm", 1.0, scale=0.017, paces={"one": Pace(0.02, 0.1)})
    claim = decide_one("extra-cpu", estimate(0.1, 0.01, "cores"), small)
    assert claim.decision == "not-decidable"
    assert claim.reason == (
        "Not decidable at this scale: FPR would have to cost 10 s of CPU per GiB to reach the limit; a scale of 0.18 would do "
        "(here 0.017)."
    )
    own = replace(small, scales={"one": 0.1, "other": 0.5})
    assert "(here 0.1)" in decide_one("extra-cpu", estimate(0.1, 0.01, "cores"), own).reason
    full = ClaimConditions("kvm", 1.0, paces={"one": Pace(12.1, 5.0)})
    assert decide_one("extra-cpu", estimate(0.1, 0.01, "cores"), full).decision == "confirmed"
    assert decide_one("no-cpu-at-release", estimate(0.1, 0.01, "cores"), small).decision == "not-decidable"


def test_memory_used_again_before_the_kernel_could_give_it_back_tells_nothing_about_tracking():
    soon = ClaimConditions("tcg", 1.0, paces={"one": Pace(1.0, 1.0, saved_in_time=0.6)})
    late = ClaimConditions("tcg", 1.0, paces={"one": Pace(1.0, 1.0, saved_in_time=0.8)})
    saved = estimate(0.5, 0.01, "fraction")
    assert decide_one("tracks-the-pod", saved, late).decision == "contradicted"
    claim = decide_one("tracks-the-pod", saved, soon)
    assert claim.decision == "not-decidable"
    assert "the kernel's passes leave 60\u00a0% to save" in claim.reason
    unknown = ClaimConditions("tcg", 1.0, paces={"one": Pace(1.0, 1.0, saved_in_time=None)})
    assert "is not known" in decide_one("tracks-the-pod", saved, unknown).reason


@pytest.mark.parametrize(("idle_s", "saved"), [(1.0, 0.0), (6.0, 3 / 6), (10.0, 7 / 10)])
def test_the_kernels_pace_leaves_less_to_save_the_sooner_memory_is_used_again(idle_s, saved):
    """512 MiB are back in two passes, 2 and 4 s after the free."""
    steps = (Step(0, Action.ALLOCATE, 512 * MIB, 0), Step(5, Action.FREE, 512 * MIB, 0))
    trial = SimpleNamespace(
        schedules={"one": [ProcessSchedule(0, steps)]},
        record=SimpleNamespace(planned_duration_s=5 + idle_s, evidence=()),
    )
    assert find_pace(trial).saved_in_time == pytest.approx(saved)
    assert find_pace(trial, Passes(0.0)).saved_in_time == 1
    assert find_pace(trial, Passes(10.0)).saved_in_time == 0
    assert find_pace(trial, None).saved_in_time is None


def test_how_long_a_release_takes_is_decided_only_where_the_guests_timer_is_shorter_than_the_bound():
    """Nothing comes back before a timer of 2 s: "at least 1 s" once was confirmed of every guest."""
    slow, fast = (ClaimConditions("tcg", 1.0, paces={"one": Pace(1.0, 1.0, delay_s=s)}) for s in (1.0, 0.25))
    claim = decide_one("release-takes-time", estimate(4.2, 0.1, "s"), slow)
    assert claim.decision == "not-decidable"
    assert "the kernel's own timer of 1 s decides it" in claim.reason
    assert "page_reporting_delay_ms is below 1000" in claim.reason
    assert decide_one("release-takes-time", estimate(4.2, 0.1, "s"), fast).decision == "confirmed"
    assert decide_one("release-takes-time", estimate(0.5, 0.1, "s"), fast).decision == "contradicted"


def test_vms_smaller_than_the_limit_cannot_exceed_it():
    def overhead(without):
        numbers = {
            "comparisons.overhead_per_vm_bytes": estimate(0.3 * GIB, unit="bytes"),
            "comparisons.overhead_per_vm_without_fpr_bytes": estimate(without * GIB, unit="bytes"),
        }
        return decided({"one": experiment("random", numbers)})["overhead-per-vm"]

    assert overhead(4.0).decision == "confirmed"
    small = overhead(0.5)
    assert small.decision == "not-decidable"
    assert "VMs without FPR, with 512 MiB, keep the bound too; a scale of 2.1 would do" in small.reason


def test_peaks_that_coincide_leave_nothing_to_save():
    """The schedules of few processes peak together: what FPR saves at the peak says nothing of many."""
    found = estimate(0.006, 0.002, "fraction")
    together = ClaimConditions("kvm", 1.0, paces={"one": Pace(1.0, 1.0, peak_room=0.03)})
    claim = decide_one("saves-peak-memory", found, together)
    assert claim.decision == "not-decidable"
    assert "leave 3\u00a0% of the peak to save" in claim.reason
    many = ClaimConditions("kvm", 1.0, paces={"one": Pace(1.0, 1.0, peak_room=0.4)})
    assert decide_one("saves-peak-memory", found, many).decision == "contradicted"


def test_what_chance_brings_among_many_claims_is_left_open():
    barely = estimate_positive([1.17, 1.20, 1.12, 1.21, 1.14], "ratio")
    assert decide_one("reallocation-penalty", barely).decision == "confirmed"
    unsure = estimate_mean([0.0, 0.4, 0.1, 0.3, 0.25], "fraction")
    others = {"comparisons.saved_mean_fraction": unsure, "comparisons.saved_max_fraction": unsure}
    first = {
        "comparisons.reallocation_penalty": barely,
        "comparisons.allocation_against_pod": estimate_positive([1.0, 1.2, 1.1, 1.0, 1.1], "ratio"),
    }
    table = decided({"one": experiment("cycle", first), "two": experiment("random", others)})
    assert "Holm" in table["reallocation-penalty"].reason


def test_shares_are_void_where_the_control_failed():
    void = ClaimConditions("kvm", 1.0, voided={"one": "Of pods only 42 % was seen to come back."})
    claim = decide_one("only-grows", estimate(0.0, unit="fraction"), void)
    assert (claim.decision, claim.reason) == ("not-decidable", "Of pods only 42 % was seen to come back.")


def test_what_this_run_did_not_do_or_measure_is_said():
    claims = decided({"mine": experiment("cycle", {})})
    assert claims["extra-cpu"].reason == "This run has no experiment of kind 'churn'."
    assert claims["extra-cpu"].experiment is None
    assert claims["reallocation-penalty"].reason == "This run did not measure it."
    assert {c.decision for c in claims.values()} == {ClaimDecision.NOT_DECIDABLE}


def test_times_do_not_decide_under_emulation_and_memory_does():
    time, memory = (
        decide_one(claim_id, estimate(value), TCG)
        for claim_id, value in (("reallocation-penalty", 1.3), ("tracks-the-pod", 0.95))
    )
    assert (time.decision, memory.decision) == ("not-decidable", "confirmed")
    assert "emulation" in time.reason
    assert time.numbers[0].estimate.value == 1.3


def test_other_work_on_the_host_leaves_open_what_the_nodes_memory_would_decide():
    moved = ClaimConditions("kvm", 1.0, moved=frozenset({"one"}))
    node, guests = (
        decide_one(claim_id, estimate(value, unit="bytes"), moved)
        for claim_id, value in (("saves-memory", -0.5), ("tracks-the-pod", 0.95))
    )
    assert (node.decision, guests.decision) == ("not-decidable", "confirmed")
    assert "Other work" in node.reason


def test_samples_too_far_apart_do_not_decide_how_long_a_release_takes():
    coarse = ClaimConditions("kvm", 5.0)
    claim = decide_one("pod-releases-at-once", estimate(4.5, unit="s"), coarse)
    assert claim.decision == "not-decidable"
    assert "Samples 5 s apart are too coarse" in claim.reason


def test_a_smoke_run_decides_nothing():
    smoke = ClaimConditions("kvm", 1.0, smoke=True)
    claim = decide_one("tracks-the-pod", estimate(0.2, unit="fraction"), smoke)
    assert claim.decision == "not-decidable"
    assert "smoke run" in claim.reason
    assert claim.numbers[0].estimate.value == 0.2


def test_no_cached_case_is_lost_only_where_one_could_be():
    lost = {"comparisons.cached_lost_fraction": estimate(0.0, unit="fraction")}
    none = {"arms.vm.cached_read_fraction": estimate(0.0, unit="fraction")}
    claim = decided({"io": experiment("guest-io", lost | none)})["no-cached-case-lost"]
    assert claim.decision == "not-decidable"
    assert "none could be lost" in claim.reason


def test_the_first_experiment_of_the_kind_that_measured_the_number_decides():
    numbers = {"comparisons.saved_of_possible_fraction": estimate(0.95, unit="fraction")}
    claims = decided(
        {
            "first": experiment("cycle", {}),
            "second": experiment("cycle", numbers),
            "third": experiment("cycle", {}),
        }
    )
    assert claims["tracks-the-pod"].experiment == "second"


def test_a_claim_of_every_experiment_falls_with_one_of_them():
    def io(lost):
        return experiment(
            "guest-io",
            {
                "comparisons.cached_lost_fraction": estimate_count([lost] * 5, [12.0] * 5, "fraction"),
                "arms.vm.cached_read_fraction": estimate(1.0, unit="fraction"),
            },
        )

    claims = decided({"ext4": io(0.0), "xfs": io(6.0)})
    assert claims["no-cached-case-lost"].decision == "contradicted"
    assert claims["no-cached-case-lost"].experiment == "xfs"
    assert claims["no-cached-case-lost"].reason == "The exact interval misses the rule."
    assert decided({"ext4": io(0.0), "xfs": io(0.0)})["no-cached-case-lost"].decision == "confirmed"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims") / "run"
    write_run(folder, Truth(repeats=5))
    run = load_run(folder)
    return run, build_results(run)


def test_a_run_made_like_the_article_confirms_it(measured):
    _, results = measured
    decisions = {c.id: c.decision for c in results.claims if c.experiment}
    assert len(decisions) == 10
    assert decisions.pop("overhead-per-vm") == "not-decidable", "its VMs are smaller than the bound"
    assert decisions.pop("saves-peak-memory") == "not-decidable", "two VMs peak at the same time"
    assert decisions.pop("release-takes-time") == "not-decidable", "its guests wait 2 s"
    assert decisions == dict.fromkeys(decisions, "confirmed")
    penalty = results.experiments["cycle"].compared(Comparison.REALLOCATION_AGAINST_FIRST)
    assert penalty.value == pytest.approx(1.2 / 1.25)


@pytest.mark.long
def test_a_host_that_gives_nothing_back_contradicts_the_article(tmp_path, capsys, monkeypatch):
    write_run(tmp_path / "run", Truth(given_back=0.0, repeats=5))
    results = build_results(load_run(tmp_path / "run"))
    contradicted = {c.id for c in results.claims if c.decision == "contradicted"}
    assert "tracks-the-pod" in contradicted
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["show", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert f"Of {len(CLAIMS)} claims of the article: " in out
    assert out.count("contradicted: ") == len(contradicted)
    assert all(len(line) <= 80 for line in out.splitlines())


def test_the_table_puts_the_articles_number_beside_this_hosts(measured):
    run, results = measured
    table = next(t for t in build_tables(results, run.manifest) if t.id == "claims")
    assert len(table.rows) == 10
    assert table.note.endswith("8 more need experiments that this run does not have.")
    row = next(r for r in table.rows if "about a third" in r[1].text)
    assert row[0].text == "confirmed"
    assert "11.4\u00a0s" in row[2].text
    assert row[3].text == "1.32×"
    assert "vm-fpr" in row[3].interval
    assert "here low" in table_csv(table).splitlines()[0]
    assert "What the article found, and what was found here" in render_page(run, results)


def test_the_numbers_of_a_claim_name_their_estimates(measured):
    results = measured[1].as_json()
    for claim in results["claims"]:
        for number in claim["numbers"]:
            found = results["experiments"][claim["experiment"]]
            for key in number["name"].split("."):
                found = found[key]
            assert found == {key: number[key] for key in ("value", "low", "high", "unit", "n", "method")}


@pytest.mark.parametrize(
    "path", ["arms.vm-fpr.given_back", "arms.given_back_fraction", "comparisons.vm.io_ratio"]
)
def test_a_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(ValueError, match="no"):
        parse_path(path)
