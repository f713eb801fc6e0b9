"""Which points of a map run: those that tell most of the break-even first, as many as a budget allows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from freepage.cli.plan import describe_notes
from freepage.errors import CapacityError
from freepage.study.choosing import LEAST_POINTS, order_points
from freepage.study.points import find_place
from freepage.study.read import parse_study
from freepage.study.request import RunRequest, plan_run
from freepage.units import GIB, MIB
from helpers.studies import CYCLE, HOST, MAP, SMALL, read

MINUTE_S = 60.0


def plan(minutes=None, name="map", **options):
    return plan_run(
        RunRequest(name, time_s=None if minutes is None else minutes * MINUTE_S, **options), "tcg", HOST
    )


def names_of(run_plan):
    return [e.name for e in run_plan.study.experiments]


def idles(points, hold, size):
    return [find_place(p)[2] for p in points if find_place(p)[:2] == (hold, size)]


def test_a_line_begins_with_what_is_possible_and_goes_outwards_from_the_predicted_break_even():
    """1 GiB comes back in four passes, and is planned to be waited for 1.3 s longer: 4.4 s."""
    points = order_points(list(read("map").experiment), SMALL)
    assert idles(points, 2.0, GIB) == [12, 5, 4, 6, 3, 8, 1]
    assert idles(points, 2.0, 256 * MIB) == [12, 3, 4, 5, 6, 8, 1]


def test_lines_take_turns_and_a_further_hold_comes_after_six_points_of_the_first():
    points = order_points(list(read("map").experiment), SMALL)
    holds = [find_place(p)[0] for p in points]
    assert [find_place(p)[1] for p in points[:4]] == [256 * MIB, GIB, 256 * MIB, GIB]
    assert holds[:12] == [2.0] * 12
    assert holds[12:18] == [15.0] * 6


def test_as_many_points_run_as_the_time_allows_with_all_repeats_and_the_others_are_named():
    run_plan = plan()
    assert run_plan.planned_duration_s <= 45 * MINUTE_S
    assert {e.repeats for e in run_plan.study.experiments} == {5}
    assert 6 <= len(names_of(run_plan)) < 28
    assert set(names_of(run_plan)) | set(run_plan.left_out) == {e.name for e in read("map").experiment}
    assert not set(names_of(run_plan)) & set(run_plan.left_out)
    notes = describe_notes(SimpleNamespace(plan=run_plan, notes=[]))
    assert notes == [f"for want of time or memory; left out: {', '.join(run_plan.left_out)}"]


def test_with_more_time_the_same_points_and_more_run_up_to_all():
    few, more = names_of(plan(40)), names_of(plan(90))
    assert more[: len(few)] == few
    assert len(more) > len(few)
    whole = plan(90).whole_s
    everything = plan_run(RunRequest("map", time_s=whole + 1), "tcg", HOST)
    assert everything.left_out == ()
    assert everything.planned_duration_s == pytest.approx(whole)


def test_three_points_stay_however_short_the_time_is_and_then_repeats_give_way():
    run_plan = plan(12)
    assert len(run_plan.study.experiments) == LEAST_POINTS
    assert {e.repeats for e in run_plan.study.experiments} <= {1, 2, 3}
    assert run_plan.planned_duration_s <= 12 * MINUTE_S


def test_a_time_too_short_for_three_points_is_refused_with_the_least_that_works():
    with pytest.raises(CapacityError, match=r"takes .* at least, and may take 1 min") as caught:
        plan(1)
    minutes = float(str(caught.value.hint).split()[1].removesuffix("min"))
    assert len(plan(minutes).study.experiments) == LEAST_POINTS


def test_blocks_that_do_not_fit_the_memory_are_left_out_and_none_that_fits_is_refused():
    run_plan = plan(90, memory_bytes=GIB)
    assert all("-256m-" in name for name in names_of(run_plan))
    assert any("-1024m-" in name for name in run_plan.left_out)
    with pytest.raises(CapacityError, match=r"needs .* at its smallest"):
        plan(90, memory_bytes=256 * MIB)


def test_a_given_scale_leaves_points_as_they_are_and_none_out():
    run_plan = plan(scale=0.05)
    assert run_plan.left_out == ()
    assert {e.groups[0].size.maximum for e in run_plan.study.experiments} == {256 * MIB, GIB}


def test_a_smoke_run_tries_one_point():
    run_plan = plan(smoke=True)
    assert names_of(run_plan) == ["map-256m-2s-12s"]
    assert run_plan.planned_duration_s <= MINUTE_S


def test_the_rest_of_a_study_has_its_time_before_the_points(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MAP + CYCLE)
    run_plan = plan(25, str(path))
    assert names_of(run_plan)[0] == "cycle"
    assert run_plan.left_out
    assert run_plan.planned_duration_s <= 25 * MINUTE_S
    assert parse_study(path.read_text(), "mine.toml").experiment[-1].name == "cycle"
