"""The price that a run with a map measured, and for which VMs it says that FPR pays."""

from __future__ import annotations

from freepage.forecast.run_price import price_of_run
from freepage.store import load_run
from helpers.modelled_map import write_map
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run


def test_a_run_with_a_map_says_for_which_vms_fpr_pays(tmp_path):
    write_map(tmp_path / "map")
    price = price_of_run(load_run(tmp_path / "map"))
    (sentence,) = price.paying
    assert "where memory stays free for" in sentence


def test_a_run_without_one_says_nothing_of_it(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1), study=CYCLE_ONLY)
    assert price_of_run(load_run(tmp_path / "run")).paying == ()
