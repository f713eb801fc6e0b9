"""Claims that a plan cannot decide."""

from __future__ import annotations

from freepage.analysis.foresight import foresee_undecidable
from freepage.fpr.pace import Pace
from freepage.kinds import KINDS

AMPLE = Pace(10.0, 10.0, peak_room=0.5, saved_in_time=0.8, delay_s=0.5)


def reasons(kind, pace):
    return " ".join(reason for _, reason in foresee_undecidable(KINDS[kind], pace, 0.1))


def test_a_plan_whose_schedules_move_enough_can_decide_every_claim():
    assert all(reasons(kind, AMPLE) == "" for kind in KINDS)


def test_each_claim_is_undecidable_for_its_own_reason_and_in_its_own_kinds():
    slow = Pace(0.01, 0.01, peak_room=0.01, saved_in_time=0.5)
    assert "the kernel's passes leave 50\u00a0% to save" in reasons("cycle", slow)
    assert "the kernel's own timer of 2 s decides it" in reasons("cycle", slow)
    assert "peak together" in reasons("random", slow)
    assert "20 s of CPU per GiB" in reasons("churn", slow)
    assert "50 s of CPU per GiB" in reasons("burst", slow)
    assert reasons("aa", slow) == ""
