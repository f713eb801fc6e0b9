"""The table of trials."""

from __future__ import annotations

import json

from freepage.analysis.results import build_results
from freepage.records import Arm
from freepage.report.parts.trials import trial_table
from freepage.store import load_run
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run


def test_a_warm_up_is_shown_and_is_in_no_number(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=2), study=CYCLE_ONLY)
    first = find_trial_ids(tmp_path / "run", "cycle", Arm.VM)[0]
    path = tmp_path / "run/trials" / first / "trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warmup": True}))
    results = build_results(load_run(tmp_path / "run"))
    rows = [[cell.text for cell in row] for row in trial_table(results).rows]
    assert [row[3] for row in rows].count("warm-up, not counted") == 1
    assert len(rows) == 6
    assert {e.n for e in results.experiments["cycle"].arms[Arm.VM].values() if e is not None} == {1}
    assert [t.id for t in results.warmups] == [first]
    assert first not in {t.id for t in results.trials}
