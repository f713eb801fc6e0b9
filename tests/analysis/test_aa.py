"""An A/A test read: the control stands where FPR would, and nothing is decided of it."""

from __future__ import annotations

import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.results import build_results
from freepage.records import Arm
from freepage.report.page import render_report
from freepage.report.parts.comparison import comparison_table
from freepage.store import load_run
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

AA = CYCLE_ONLY.replace('kind = "cycle"', 'kind = "aa"')


@pytest.mark.parametrize("arm", [Arm.VM, Arm.VM_FPR])
def test_the_control_is_compared_with_the_arm_it_repeats(tmp_path, arm):
    write_run(tmp_path / "run", Truth(repeats=5), study=AA, arms=(arm,))
    results = build_results(load_run(tmp_path / "run"))
    found = results.experiments["aa"]
    assert set(found.arms) == {arm, Arm.CONTROL}
    for comparison in (Comparison.REALLOCATION, Comparison.NODE_MEAN_RATIO, Comparison.FIRST_ALLOCATION):
        ratio = found.compared(comparison)
        assert ratio.n == 5
        assert ratio.value == pytest.approx(1.0, abs=0.03)
        assert ratio.low < 1 < ratio.high
    assert results.verdict.decision == "equal-arms"
    assert "numbers of equal arms none would be called different" in results.verdict.sentence
    assert "This host tells arms apart from" in results.verdict.sentence
    assert results.verdict.reasons[0].endswith("from 5 pairs of trials.")
    assert not [c for c in results.claims if c.decision in {"confirmed", "contradicted"}]


@pytest.mark.parametrize("arm", [Arm.VM, Arm.VM_FPR])
def test_a_report_shows_the_control_beside_its_arm_and_what_is_shown_of_differences(tmp_path, arm):
    write_run(tmp_path / "run", Truth(repeats=3), study=AA, arms=(arm,))
    page = render_report(tmp_path / "run").read_text()
    assert "control (the same arm once more)" in page
    table = comparison_table(build_results(load_run(tmp_path / "run")))
    (shown,) = [row[3].text for row in table.rows if row[1].text == Comparison.SAVED_MEAN.heading]
    assert shown


def test_arms_that_are_not_equal_after_all_are_false_alarms_by_name(tmp_path):
    """A host that gives its second arm less: what an A/A test is there to find."""
    write_run(tmp_path / "run", Truth(repeats=5, control_slowdown=1.4), study=AA, arms=(Arm.VM,))
    verdict = build_results(load_run(tmp_path / "run")).verdict
    assert "would be called different (reallocation_penalty" in verdict.sentence
    assert "leave out no difference: reallocation_penalty" in verdict.reasons[0]


def test_one_block_of_equal_arms_says_nothing(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1), study=AA, arms=(Arm.VM,))
    verdict = build_results(load_run(tmp_path / "run")).verdict
    assert verdict.sentence == "This run does not decide. It has fewer than three blocks."
