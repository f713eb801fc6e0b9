"""The gains of a longer run that a plan names."""

from __future__ import annotations

import pytest

from freepage.study.fitting import find_way, find_way_at, fit_study
from freepage.study.more import list_more
from freepage.units import GIB
from helpers.studies import ARTICLE, SMALL, read


def find_more(name, seconds, conditions=SMALL, memory_bytes=16 * GIB, overrides=()):
    return list_more(find_way(read(name, *overrides), conditions, memory_bytes, fixed=False), seconds)


def test_more_time_adds_repeats_that_show_then_allocations_then_repeats_that_decide_then_sizes():
    seconds, words = zip(*find_more("article", 1500.0), strict=True)
    assert list(seconds) == sorted(seconds)
    assert words == (
        "3 repeats of every experiment, which show differences",
        "all allocations of the study in each trial",
        "5 repeats of every experiment, which confirm and contradict",
        "the largest sizes for this memory",
    )


def test_what_a_run_has_already_is_not_offered():
    words = [w for _, w in find_more("article", 9000.0)]
    assert words == ["the largest sizes for this memory"]
    assert find_more("article", 1e9) == []


def test_with_enough_memory_the_last_that_is_added_is_the_studys_own_size():
    assert find_more("cycle", 9000.0, ARTICLE, 150 * GIB)[-1][1] == "the study's own sizes"


@pytest.mark.parametrize("name", ["article", "random"])
def test_the_time_that_is_named_does_it(name):
    way = find_way(read(name), SMALL, 16 * GIB, fixed=False)
    needed_s = next(s for s, words in list_more(way, 1200.0) if words.startswith("5 repeats"))
    assert {s.repeats for s in fit_study(way, needed_s).values()} == {5}
    assert {s.repeats for s in fit_study(way, needed_s - 1).values()} != {5}


def test_a_study_that_wants_few_repeats_is_offered_no_more_than_those():
    words = [w for _, w in find_more("random", 200.0, overrides=("random.repeats=2",))]
    assert "all repeats of the study" in words
    assert not any("every experiment" in w for w in words)


def test_at_a_given_scale_no_larger_sizes_are_offered():
    way = find_way_at(read("cycle"), SMALL, 0.01, fixed=False)
    assert not any("sizes" in w for _, w in list_more(way, 600.0))
