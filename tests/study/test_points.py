"""A map in a study file: its lists, its points, and what is refused."""

from __future__ import annotations

import pytest

from freepage.errors import StudyError
from freepage.study.points import find_place, is_point
from freepage.study.read import parse_study
from freepage.study.scaling.study import scale_study
from freepage.units import GIB, MIB
from helpers.studies import CYCLE, MAP, SMALL


def complaint(before, after):
    with pytest.raises(StudyError) as caught:
        parse_study(MAP.replace(before, after, 1), "mine.toml")
    return str(caught.value)


def names_of(study):
    return [e.name for e in study.experiment]


def test_every_combination_is_a_point_and_the_longest_idle_time_comes_first():
    study = parse_study(MAP, "mine.toml")
    assert names_of(study) == [
        "map-256m-2s-12s",
        "map-256m-2s-2500ms",
        "map-256m-2s-1s",
        "map-1024m-2s-12s",
        "map-1024m-2s-2500ms",
        "map-1024m-2s-1s",
    ]
    assert find_place(study.experiment[1]) == (2.0, 256 * MIB, 2.5)
    assert study.experiment[1].title == "256 MiB held for 2 s, free for 2.5 s"


def test_other_experiments_of_a_study_stay_what_they_are():
    study = parse_study(MAP + CYCLE, "mine.toml")
    assert [is_point(e) for e in study.experiment] == [True] * 6 + [False]
    assert study.experiment[-1] == parse_study('name = "one"' + CYCLE, "one.toml").experiment[0]


def test_a_point_is_the_same_on_any_scale_and_has_the_groups_own_keys():
    text = MAP.replace("iterations = 2", 'iterations = 3\ninstances = 2\nslot = "4s"')
    for factor in (0.01, 1.0):
        study = scale_study(parse_study(text, "mine.toml"), factor, SMALL)
        (group,) = study.experiments[0].groups
        assert (group.size.maximum, group.hold.maximum, group.idle.maximum) == (256 * MIB, 2.0, 12.0)
        assert (group.instances, group.iterations, group.slot_s) == (2, 3, 4.0)
        assert study.experiments[0].duration_s == 3 * (4 + 2 + 12)


def test_a_verdict_that_rests_on_a_map_rests_on_its_first_point():
    study = parse_study(MAP + CYCLE + '\n[verdict]\nheadline = "map"\n', "mine.toml")
    assert study.verdict_headline == "map-256m-2s-12s"


def test_lists_can_be_changed_on_the_command_line():
    study = parse_study(MAP, "mine.toml", ('map.idle=["3s", "4s"]', 'map.size=["2GiB"]'))
    assert names_of(study) == ["map-2048m-2s-4s", "map-2048m-2s-3s"]
    assert find_place(study.experiment[0])[1] == 2 * GIB


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ('["1s", "2500ms", "12s"]', "[]", 8, "the list is empty"),
        ('["256MiB", "1GiB"]', "[]", 6, "the list is empty"),
        ('"1GiB"', '"0.25GiB"', 6, "value 2 of the list is the same as an earlier one"),
        ('"2500ms"', '"1000ms"', 8, "value 2 of the list is the same as an earlier one"),
        ('"1s", ', '"0s", ', 8, "greater than 0"),
        ('["2s"]', '"2s"', 7, "write it as a list"),
        ('"1GiB"', '"25%"', 6, "no share of a node"),
        ('"1GiB"', '"1MiB"', 6, "4MiB at least"),
        ('"1GiB"', '"1000001B"', 6, "whole MiB"),
        ("iterations = 2", "iterations = 1", 9, "greater than or equal to 2"),
        ("iterations = 2", "", 4, "kind 'map' needs 'iterations'"),
        ('kind = "map"', 'kind = "map"\nduration = "5s"', 6, "kind 'map' has no 'duration'"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line_and_what_is_wrong(before, after, line, words):
    said = complaint(before, after)
    assert f"mine.toml, line {line}" in said
    assert words in said


def test_a_map_beside_other_groups_is_refused():
    groups = """name = "mine"
[[experiment]]
kind = "map"
[[experiment.group]]
kind = "map"
size = ["64MiB"]
hold = ["1s"]
idle = ["4s"]
iterations = 2
[[experiment.group]]
kind = "fio"
file = "64MiB"
runtime = "2s"
"""
    with pytest.raises(StudyError, match="a map is an experiment of its own"):
        parse_study(groups, "mine.toml")


def test_a_name_too_long_for_the_names_of_points_is_refused():
    assert "too long for a map" in complaint('kind = "map"', 'kind = "map"\nname = "a-map-of-our-fleet"')
