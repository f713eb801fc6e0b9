from __future__ import annotations

import pytest

from freepage.errors import CapacityError
from freepage.study.capacity import check_capacity, check_disk, find_budget
from freepage.study.request import RunRequest, plan_run
from freepage.study.scaling.study import scale_study
from freepage.units import GIB
from helpers.studies import HOST, SMALL, read


def test_a_run_may_take_what_its_study_allows_of_what_is_available_or_what_is_said():
    file = read("article")
    assert find_budget(file, "tcg", 20 * GIB).duration_s == 90 * 60
    assert find_budget(file, "kvm", 20 * GIB).duration_s == 40 * 60
    assert find_budget(file, "tcg", 20 * GIB).memory_bytes == 15 * GIB
    given = find_budget(file, "tcg", 20 * GIB, memory_bytes=8 * GIB, duration_s=60.0)
    assert (given.memory_bytes, given.duration_s) == (8 * GIB, 60.0)


def test_more_memory_than_is_available_is_refused():
    with pytest.raises(CapacityError, match=r"--memory 21.0 GiB is more than the 20.0 GiB available"):
        find_budget(read("quick"), "tcg", 20 * GIB, memory_bytes=21 * GIB)
    assert find_budget(read("quick", "fit.memory=30GiB"), "tcg", 20 * GIB).memory_bytes == 20 * GIB


def test_a_study_too_large_is_refused_with_sizes_and_a_scale_that_fits():
    file = read("cycle")
    with pytest.raises(CapacityError, match=r"cycle needs 64\.1 GiB \(1 instances\)") as caught:
        check_capacity(file, scale_study(file, 1.0, SMALL), SMALL, 22 * GIB)
    fitting = float(str(caught.value.hint).split()[1])
    check_capacity(file, scale_study(file, fitting, SMALL), SMALL, 22 * GIB)
    with pytest.raises(CapacityError):
        check_capacity(file, scale_study(file, 1.5 * fitting, SMALL), SMALL, 22 * GIB)


def test_where_no_scale_fits_the_remedy_is_to_let_counts_give_way():
    file = read("burst")
    with pytest.raises(CapacityError) as caught:
        check_capacity(file, scale_study(file, 0.05, SMALL), SMALL, 4 * GIB)
    assert "leave out --scale" in str(caught.value.hint)


def test_test_files_that_do_not_fit_the_disk_are_refused_before_anything_starts(tmp_path, monkeypatch):
    run_plan = plan_run(RunRequest("guest-io", scale=0.05), "tcg", HOST)
    check_disk(run_plan.trials, tmp_path / "run")
    usage = type("Usage", (), {"free": GIB})
    monkeypatch.setattr("freepage.study.capacity.shutil.disk_usage", lambda _: usage)
    with pytest.raises(CapacityError, match=r"the test files need 1\.[0-9]+ GiB, and .* has 1\.00 GiB free"):
        check_disk(run_plan.trials, tmp_path / "run")
