from __future__ import annotations

import pytest

from freepage.errors import StudyError
from freepage.study.read import parse_study

STUDY = """name = "mine"
[[experiment]]
kind = "cycle"
size = "256MiB"
hold = "2s"
idle = "6s"
iterations = 3
[[experiment]]
kind = "random"
size = "64MiB"
hold = "4s"
idle = "4s"
duration = "20s"
"""


def test_set_changes_a_key_of_one_experiment_and_of_the_study():
    study = parse_study(
        STUDY, "mine.toml", ("cycle.hold=30s", "seed=7", "verdict.min_given_back_fraction=0.3")
    )
    assert (study.experiment[0].groups[0].hold.min, study.seed) == (30, 7)
    assert study.verdict == {"min_given_back_fraction": 0.3}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("cycle.hold", "no '='"),
        ("cycl.hold=3s", "there are: cycle, random"),
        ("cycle.hodl=3s", "did you mean 'hold'"),
    ],
)
def test_a_set_that_fits_nothing_is_refused_with_what_there_is(override, words):
    with pytest.raises(StudyError) as caught:
        parse_study(STUDY, "mine.toml", (override,))
    assert words in str(caught.value)
