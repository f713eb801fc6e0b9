"""A forecast that was missed is told, with its likely causes."""

from __future__ import annotations

import pytest

from freepage.records import Arm
from freepage.units import GIB, MIB
from helpers.changed_run import change_manifest, change_samples, doubts_of
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

OFF = "forecast-off"
SHOWN = Truth(guest_free_bytes=1.5 * GIB)


def find_off(folder, more_bytes, truth=SHOWN):
    """Return the doubt about a run whose VMs with FPR take so much more than they should."""
    write_run(folder, truth, study=CYCLE_ONLY)
    change_samples(folder, Arm.VM_FPR, "rss_bytes", lambda _, value: value + more_bytes)
    return doubts_of(folder).get(OFF)


@pytest.mark.parametrize("more_mib", [0, 4, -4])
def test_a_forecast_that_is_met_within_5_percent_raises_no_doubt(tmp_path, more_mib):
    assert find_off(tmp_path / "run", more_mib * MIB) is None


def test_more_memory_than_forecast_names_what_may_keep_it(tmp_path):
    doubt = find_off(tmp_path / "run", 50 * MIB)
    assert "the settled footprint by -20%" in doubt.text
    assert "throws reports away" in doubt.remedy
    assert "swap" not in doubt.remedy
    assert doubt.experiment == "cycle"


def test_less_memory_than_forecast_names_what_may_take_it(tmp_path):
    doubt = find_off(tmp_path / "run", -50 * MIB)
    assert "the settled footprint by +33%" in doubt.text
    assert "swap" in doubt.remedy
    assert "throws reports away" not in doubt.remedy


def test_fewer_than_three_blocks_say_nothing_of_a_forecast(tmp_path):
    assert find_off(tmp_path / "run", 50 * MIB, Truth(guest_free_bytes=1.5 * GIB, repeats=2)) is None


def test_a_smoke_run_says_nothing_of_a_forecast(tmp_path):
    assert find_off(tmp_path / "run", 50 * MIB) is not None
    change_manifest(tmp_path / "run", smoke=True)
    assert doubts_of(tmp_path / "run").get(OFF) is None
