"""Memory that comes back at another pace than the guest's kernel has is told, with its likely causes."""

from __future__ import annotations

import json

import polars as pl
import pytest

from freepage.records import Arm
from freepage.units import MIB
from helpers.changed_run import doubts_of
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run

UNLIKE = "release-unlike-predicted"
LONG = CYCLE_ONLY.replace('idle = "10s"', 'idle = "20s"')
SLOW = Truth(pass_bytes=80 * MIB)


def find_unlike(folder, truth=None, free_bytes=None, **evidence):
    """Return the doubt about a run whose guests all show this evidence, and have so much free (None: not known)."""
    if not folder.exists():
        write_run(folder, truth, study=LONG)
    for name in find_trial_ids(folder, "cycle", Arm.VM_FPR):
        path = folder / "trials" / name / "trial.json"
        record = json.loads(path.read_text())
        record["evidence"][0].update(evidence)
        path.write_text(json.dumps(record))
        if free_bytes is not None:
            samples = pl.read_parquet(path.with_name("samples.parquet"))
            free = samples.filter(metric="rss_bytes").with_columns(
                metric=pl.lit("guest_free_bytes"), value=pl.lit(float(free_bytes))
            )
            pl.concat([samples, free]).write_parquet(path.with_name("samples.parquet"))
    return doubts_of(folder).get(UNLIKE)


@pytest.mark.parametrize("evidence", [{}, {"reporting_delay_s": 2.0}, {"free_lists": 11, "page_bytes": 4096}])
def test_a_release_at_the_kernels_own_pace_raises_no_doubt(tmp_path, evidence):
    assert find_unlike(tmp_path / "run", **evidence) is None


def test_a_release_that_takes_more_passes_than_predicted_names_what_may_slow_it(tmp_path):
    doubt = find_unlike(tmp_path / "run", SLOW)
    assert "memory came back 4 passes, or 7 s, later" in doubt.text
    assert "page_reporting_delay_ms" in doubt.remedy
    assert doubt.experiment == "cycle"


def test_guests_that_say_they_report_more_often_are_held_to_their_word(tmp_path):
    assert "later" in find_unlike(tmp_path / "run", reporting_delay_s=0.25).text


def test_guests_that_say_they_report_less_often_may_take_as_long(tmp_path):
    assert find_unlike(tmp_path / "run", SLOW, reporting_delay_s=5.0) is None


def test_a_release_faster_than_any_list_allows_is_as_unlike(tmp_path):
    """As of a kernel with five free lists, whose largest blocks have 64 KiB: a pass would report 480 of 7,864."""
    of_tiny_blocks = {"page_bytes": 4096, "free_lists": 5}
    assert find_unlike(tmp_path / "run", **of_tiny_blocks) is None
    assert "earlier" in find_unlike(tmp_path / "run", free_bytes=600 * MIB, **of_tiny_blocks).text


@pytest.mark.parametrize("repeats", [1, 2])
def test_fewer_than_three_trials_say_nothing_of_the_pace(tmp_path, repeats):
    assert find_unlike(tmp_path / "run", Truth(pass_bytes=80 * MIB, repeats=repeats)) is None


def test_where_the_kernels_blocks_are_not_known_nothing_is_predicted(tmp_path):
    assert find_unlike(tmp_path / "run", Truth(pass_bytes=80 * MIB, host={"architecture": "aarch64"})) is None
