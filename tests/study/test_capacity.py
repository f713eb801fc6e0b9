from __future__ import annotations

import pytest

from freepage.errors import CapacityError
from freepage.study.capacity import check_capacity, check_disk, fit_scale
from freepage.study.plan import plan_trials, planned_duration_s
from freepage.study.read import builtin_studies
from freepage.study.request import RunRequest, plan_run
from freepage.study.scaling.scale import SMOKE_SCALE
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB
from helpers.studies import ARTICLE, HOST, LAPTOP, SMALL, read


def test_the_default_scale_fits_a_small_machine_and_the_articles_machine_gets_all():
    for name in ("cycle", "random"):
        file = read(name, "fit.duration=45min")
        scale = fit_scale(file, SMALL, 22 * GIB)
        study = scale_study(file, scale, SMALL)
        assert max(t.demand_bytes for t in plan_trials(study)) <= 0.6 * 22 * GIB
        assert fit_scale(read(name, "fit.duration=9h"), ARTICLE, 190 * GIB) == 1.0


@pytest.mark.parametrize("name", builtin_studies())
def test_no_built_in_study_takes_more_than_its_share_of_little_memory_by_default(name):
    file = read(name)
    available_bytes = 4 * GIB
    tight = Conditions(node_memory_bytes=5 * GIB, cores=2, accelerator="tcg")
    study = scale_study(file, fit_scale(file, tight, available_bytes), tight)
    assert max(t.demand_bytes for t in plan_trials(study)) <= 0.6 * available_bytes
    with pytest.raises(CapacityError, match="at its smallest scale") as caught:
        fit_scale(file, tight, GIB)
    assert "60 %" in caught.value.message or "50 %" in caught.value.message
    assert "--scale" in str(caught.value.hint)


@pytest.mark.parametrize(("conditions", "minutes"), [(SMALL, 37), (LAPTOP, 37)])
def test_the_whole_article_fits_its_time_and_memory(conditions, minutes):
    file = read("article")
    scale = fit_scale(file, conditions, 20 * GIB)
    trials = plan_trials(scale_study(file, scale, conditions))
    assert scale >= SMOKE_SCALE
    assert planned_duration_s(trials, conditions.accelerator) <= minutes * 60
    assert max(t.demand_bytes for t in trials) <= 0.7 * 20 * GIB


def test_quick_runs_at_its_own_size_where_there_is_memory_for_it():
    assert fit_scale(read("quick", "repeats=40"), SMALL, 22 * GIB) == 1.0


def test_a_study_too_large_is_refused_with_sizes_and_a_scale_that_fits():
    file = read("cycle")
    with pytest.raises(CapacityError) as caught:
        check_capacity(file, scale_study(file, 1.0, SMALL), SMALL, 22 * GIB)
    assert "64.0 GiB" in caught.value.message or "GiB" in caught.value.message
    fitting = float(str(caught.value.hint).split()[1])
    check_capacity(file, scale_study(file, fitting, SMALL), SMALL, 22 * GIB)
    with pytest.raises(CapacityError):
        check_capacity(file, scale_study(file, 1.5 * fitting, SMALL), SMALL, 22 * GIB)


def test_test_files_that_do_not_fit_the_disk_are_refused_before_anything_starts(tmp_path, monkeypatch):
    run_plan = plan_run(RunRequest("guest-io", scale=0.05), "tcg", HOST)
    check_disk(run_plan.trials, tmp_path / "run")
    usage = type("Usage", (), {"free": GIB})
    monkeypatch.setattr("freepage.study.capacity.shutil.disk_usage", lambda _: usage)
    with pytest.raises(CapacityError, match=r"the test files need 1\.[0-9]+ GiB, and .* has 1\.00 GiB free"):
        check_disk(run_plan.trials, tmp_path / "run")
