"""What the article found, decided from a run's own numbers."""

from __future__ import annotations

import json

import pytest

from freepage.analysis.bounds import Bounds, Side
from freepage.analysis.claims import Conditions, decide_claims, load_claims
from freepage.analysis.results import build_results
from freepage.analysis.stats import Estimate
from freepage.cli.main import main
from freepage.report.page import render_page, table_csv
from freepage.report.tables import build_tables
from freepage.store import load_run
from freepage.study.file import ExperimentFile
from helpers.modelled_run import Truth, write_run

KVM = Conditions("kvm", 1.0)
TCG = Conditions("tcg", 1.0)
CLAIMS = load_claims()


def estimate(value, half=0.0, unit="ratio", n=3):
    low, high = (None, None) if n == 1 else (value - half, value + half)
    return Estimate(value, low, high, unit, n)


def experiment(kind, numbers):
    """Build one experiment of results.json from estimates by path."""
    tree = {"kind": kind, "arms": {}, "comparisons": {}}
    for path, found in numbers.items():
        *parents, key = path.split(".")
        branch = tree
        for name in parents:
            branch = branch.setdefault(name, {})
        branch[key] = None if found is None else found.as_json()
    return tree


def decided(experiments, conditions=KVM):
    return {claim["id"]: claim for claim in decide_claims(experiments, conditions)}


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
    kinds = set(ExperimentFile.model_fields["kind"].annotation.__args__)
    for claim in CLAIMS:
        assert set(claim.kinds) <= kinds
        assert claim.needs in {"memory", "node", "time"}
        assert claim.bounds != Bounds()
        assert claim.text.endswith(".")
        assert claim.article
    assert {k for c in CLAIMS for k in c.kinds} == kinds - {"command"}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_each_claim_is_confirmed_contradicted_or_left_open_by_its_whole_interval(claim):
    def decide(found):
        numbers = {claim.number: found}
        if claim.provided:
            numbers[claim.provided] = estimate(1.0, unit="fraction")
        return decided({"one": experiment(claim.kinds[0], numbers)})[claim.id]["decision"]

    apart = abs(within(claim) - beyond(claim))
    assert decide(estimate(within(claim), unit=claim.unit)) == "confirmed"
    assert decide(estimate(beyond(claim), unit=claim.unit)) == "contradicted"
    assert decide(estimate(within(claim), 2 * apart, unit=claim.unit)) == "not-decidable"
    assert decide(None) == "not-decidable"


def test_a_single_trial_counts_by_its_value_and_the_reason_says_so():
    claim = decide_one("reallocation-penalty", estimate(1.3, n=1))
    assert (claim["decision"], claim["reason"]) == ("confirmed", "One trial meets the rule; no interval.")
    assert decide_one("reallocation-penalty", estimate(3.0, n=1))["decision"] == "contradicted"


def test_what_this_run_did_not_do_or_measure_is_said():
    claims = decided({"mine": experiment("cycle", {})})
    assert claims["extra-cpu"]["reason"] == "This run has no experiment of kind 'churn'."
    assert claims["extra-cpu"]["experiment"] is None
    assert claims["reallocation-penalty"]["reason"] == "This run did not measure it."
    assert {c["decision"] for c in claims.values()} == {"not-decidable"}


def test_times_do_not_decide_under_emulation_and_memory_does():
    time, memory = (
        decide_one(claim_id, estimate(value), TCG)
        for claim_id, value in (("reallocation-penalty", 1.3), ("tracks-the-pod", 0.95))
    )
    assert (time["decision"], memory["decision"]) == ("not-decidable", "confirmed")
    assert "emulation" in time["reason"]
    assert time["numbers"][0]["value"] == 1.3


def test_other_work_on_the_host_leaves_open_what_the_nodes_memory_would_decide():
    moved = Conditions("kvm", 1.0, moved=frozenset({"one"}))
    node, guests = (
        decide_one(claim_id, estimate(value, unit="bytes"), moved)
        for claim_id, value in (("saves-memory", -5e9), ("tracks-the-pod", 0.95))
    )
    assert (node["decision"], guests["decision"]) == ("not-decidable", "confirmed")
    assert "Other work" in node["reason"]


def test_samples_too_far_apart_do_not_decide_how_long_a_release_takes():
    coarse = Conditions("kvm", 5.0)
    claim = decide_one("pod-releases-at-once", estimate(4.5, unit="s"), coarse)
    assert claim["decision"] == "not-decidable"
    assert "Samples 5 s apart are too coarse" in claim["reason"]


def test_a_run_that_only_tried_an_experiment_decides_nothing():
    tried = Conditions("kvm", 1.0, smoke=True)
    claim = decide_one("tracks-the-pod", estimate(0.2, unit="fraction", n=1), tried)
    assert claim["decision"] == "not-decidable"
    assert "only tried" in claim["reason"]
    assert claim["numbers"][0]["value"] == 0.2


def test_no_cached_case_is_lost_only_where_one_could_be():
    lost = {"comparisons.cached_lost": estimate(0.0, unit="cells")}
    none = {"arms.vm.cached_read_fraction": estimate(0.0, unit="fraction")}
    claim = decided({"io": experiment("guest-io", lost | none)})["no-cached-case-lost"]
    assert claim["decision"] == "not-decidable"
    assert "none could be lost" in claim["reason"]


def test_the_first_experiment_of_the_kind_that_measured_the_number_decides():
    numbers = {"arms.vm-fpr.given_back_fraction": estimate(0.95, unit="fraction")}
    claims = decided(
        {
            "first": experiment("cycle", {}),
            "second": experiment("cycle", numbers),
            "third": experiment("cycle", {}),
        }
    )
    assert claims["tracks-the-pod"]["experiment"] == "second"


def test_a_claim_of_every_experiment_falls_with_one_of_them():
    def io(lost):
        return experiment(
            "guest-io",
            {
                "comparisons.cached_lost": estimate(lost, unit="cells"),
                "arms.vm.cached_read_fraction": estimate(1.0, unit="fraction"),
            },
        )

    claims = decided({"ext4": io(0.0), "xfs": io(2.0)})
    assert claims["no-cached-case-lost"]["decision"] == "contradicted"
    assert claims["no-cached-case-lost"]["experiment"] == "xfs"
    assert decided({"ext4": io(0.0), "xfs": io(0.0)})["no-cached-case-lost"]["decision"] == "confirmed"


@pytest.mark.parametrize(
    ("bounds", "unit", "words"),
    [
        (Bounds(at_least=0.8), "fraction", "at least 80\u00a0%"),
        (Bounds(at_most=2**30), "bytes", "at most 1.00 GiB"),
        (Bounds(at_least=1.1, at_most=1.6), "ratio", "between 1.1 and 1.6 times"),
        (Bounds(above=1.0, at_most=1.6), "ratio", "more than 1 and at most 1.6 times"),
        (Bounds(above=0.0), "bytes", "more than 0"),
    ],
)
def test_bounds_are_said_in_words(bounds, unit, words):
    assert bounds.describe(unit) == words


def test_a_bound_holds_its_own_value_unless_it_says_above():
    assert Bounds(at_least=1.0).judge(estimate(1.0)) is Side.WITHIN
    assert Bounds(at_most=1.0).judge(estimate(1.0)) is Side.WITHIN
    assert Bounds(above=1.0).judge(estimate(1.0)) is Side.BEYOND
    assert Bounds(at_most=1.0).judge(estimate(1.0, 0.1)) is Side.BOTH


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims") / "run"
    write_modelled(folder)
    run = load_run(folder)
    return run, build_results(run)


def write_modelled(folder, truth=None):
    """Write a modelled run whose records say the kind of their experiment, which is its name."""
    write_run(folder, truth)
    for path in (folder / "trials").glob("*/trial.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"kind": record["experiment"]}))


def test_a_run_made_like_the_article_confirms_it(measured):
    _, results = measured
    decisions = {c["id"]: c["decision"] for c in results["claims"] if c["experiment"]}
    assert len(decisions) == 10
    assert decisions.pop("saves-peak-memory") == "not-decidable", "two VMs peak at the same time"
    assert decisions == dict.fromkeys(decisions, "confirmed")
    penalty = results["experiments"]["cycle"]["comparisons"]["reallocation_against_first"]
    assert penalty["value"] == pytest.approx(1.2 / 1.25)


def test_a_host_that_gives_nothing_back_contradicts_the_article(tmp_path, capsys, monkeypatch):
    write_modelled(tmp_path / "run", Truth(given_back=0.0))
    results = build_results(load_run(tmp_path / "run"))
    contradicted = {c["id"] for c in results["claims"] if c["decision"] == "contradicted"}
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
    assert row[3].text == "1.33×"
    assert "vm-fpr" in row[3].interval
    assert "here low" in table_csv(table).splitlines()[0]
    assert "What the article found, and what was found here" in render_page(run, results)


def test_the_numbers_of_a_claim_name_their_estimates(measured):
    _, results = measured
    for claim in results["claims"]:
        for number in claim["numbers"]:
            found = results["experiments"][claim["experiment"]]
            for key in number["name"].split("."):
                found = found[key]
            assert found == {key: number[key] for key in ("value", "low", "high", "unit", "n")}


def test_units_in_the_list_are_those_of_the_estimates(measured):
    _, results = measured
    by_id = {c.id: c for c in CLAIMS}
    for claim in results["claims"]:
        decides = [n for n in claim["numbers"] if n["name"] == claim["number"]]
        assert all(n["unit"] == by_id[claim["id"]].unit for n in decides)
