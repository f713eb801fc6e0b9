"""An A/A test read: the control stands where FPR would, and nothing is decided of it."""

from __future__ import annotations

import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.results import build_results
from freepage.records import Arm
from freepage.report.page import render_report
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
    assert results.verdict.decision == "inconclusive"
    assert "less of the node's memory" not in " ".join(results.verdict.reasons)
    assert not [c for c in results.claims if c.decision in {"confirmed", "contradicted"}]


def test_a_report_shows_the_control_beside_its_arm(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=3), study=AA, arms=(Arm.VM,))
    page = render_report(tmp_path / "run").read_text()
    assert "control (the same arm once more)" in page
