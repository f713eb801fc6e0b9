"""Old run folders stay readable, and what is told of them changes only on purpose."""

from __future__ import annotations

import pytest

from helpers.recorded_runs import RUNS, TOLD, files_in, recorded_runs, tell


@pytest.mark.long
@pytest.mark.parametrize("name", recorded_runs())
def test_what_is_told_of_an_old_run_stays_the_same(name, tmp_path):
    told, expected = files_in(tell(name, tmp_path)), files_in(TOLD / name)
    assert set(told) == set(expected)
    for path, text in told.items():
        assert text == expected[path], path


def test_there_are_runs_of_every_version():
    assert {path.name.rpartition("-")[0] for path in RUNS.iterdir()} >= {"0.1"}
