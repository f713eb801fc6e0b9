"""The registry of every number, and the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.comparisons import DIFFERENCES, RATIOS
from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.results import build_results
from freepage.analysis.stats import Estimate
from freepage.kinds import KINDS
from freepage.report.headlines import HEADLINES, IO_HEADLINES
from freepage.report.numbers import show_value
from freepage.store import load_run
from helpers.modelled_run import write_run

PAGE = Path(__file__).parents[2] / "docs/results-schema.md"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimates") / "run"
    write_run(folder)
    return build_results(load_run(folder)).as_json()


def test_the_schema_page_names_every_key_of_the_results(results):
    named = set(re.findall(r"`([a-z_0-9]+)`", PAGE.read_text(encoding="utf-8")))
    trial = results["trials"][0]
    comparisons = results["experiments"]["cycle"]["comparisons"]
    estimates = set(results["experiments"]["cycle"]["arms"]["vm"]) | set(comparisons)
    assert {
        *results,
        *results["verdict"],
        *trial,
        *trial["evidence"][0],
        *trial["values"],
        *estimates,
    } <= named


def test_what_is_measured_is_what_is_registered(results):
    assert set(results["trials"][0]["values"]) == {*Quantity, *TrialOnly}
    for experiment in results["experiments"].values():
        assert list(experiment["comparisons"]) == list(Comparison)
        assert all(list(arm) == list(Quantity) for arm in experiment["arms"].values())


def test_every_estimate_has_the_unit_it_is_registered_with(results):
    cycle = results["experiments"]["cycle"]
    found = [*cycle["comparisons"].items(), *(e for arm in cycle["arms"].values() for e in arm.items())]
    units = {number: number.unit for number in (*Quantity, *Comparison)}
    assert all(estimate["unit"] == units[number] for number, estimate in found if estimate)


def test_what_a_kind_shows_first_is_registered_and_has_a_heading():
    for column in {column for kind in KINDS.values() for column in kind.columns}:
        assert Quantity.with_id(column).short_heading


def test_a_number_nobody_registered_is_refused():
    with pytest.raises(ValueError, match="there is no number 'given_back'"):
        Quantity.with_id("given_back")


def test_comparisons_have_headings_and_the_numbers_on_top_have_words():
    assert all(comparison.heading for comparison in Comparison)
    assert all(all(path.number.definition.headline) for path in (*HEADLINES, *IO_HEADLINES))


def test_a_difference_has_the_unit_of_what_is_compared_and_a_ratio_has_none():
    assert all(comparison.unit == number.unit for comparison, (number, *_) in DIFFERENCES.items())
    assert all(comparison.unit == "ratio" for comparison in RATIOS)


@pytest.mark.parametrize("unit", sorted({n.unit for n in (*Quantity, *Comparison)}))
def test_every_unit_can_be_shown(unit):
    one = 2.0**30 if unit == "bytes" else 1.0
    assert show_value(Estimate(one, None, None, unit, 1)).startswith("1")
