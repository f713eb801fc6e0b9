from __future__ import annotations

import pytest

from freepage.errors import StudyError
from freepage.records import Arm
from freepage.units import GIB
from helpers.studies import ARTICLE, SMALL, scaled


def test_scale_one_is_the_articles_own_size():
    cycle = scaled("cycle", 1.0, ARTICLE).experiments[0].groups[0]
    assert (cycle.size.maximum, cycle.hold.maximum, cycle.idle.maximum, cycle.iterations) == (
        60 * GIB,
        60,
        60,
        11,
    )
    random = scaled("random", 1.0, ARTICLE).experiments[0].groups[0]
    assert (random.instances, random.hold.mean, random.idle.mean) == (10, 120, 60)


def test_arms_an_experiment_has_not_are_left_out_and_none_left_is_refused():
    study = scaled("article", 0.05, SMALL, 'arms=["pod","vm"]')
    arms = {e.name: e.arms for e in study.experiments}
    assert arms["cycle"] == (Arm.POD, Arm.VM)
    assert arms["host-io"] == (Arm.BASELINE, Arm.POD, Arm.VM)
    with pytest.raises(StudyError, match="no experiment of the study runs on pod") as caught:
        scaled("churn", 0.05, SMALL, 'churn.arms=["vm", "vm-fpr"]', 'arms=["pod"]')
    assert "vm, vm-fpr" in caught.value.hint
