"""What FPR costs in an experiment, picked by what the experiment is about."""

from __future__ import annotations

import pytest

from freepage.analysis.bounds import IntervalPosition
from freepage.analysis.compared import Comparison
from freepage.analysis.experiments import ExperimentResults
from freepage.analysis.limits import Cost, ExperimentOutcome, build_outcome, check_limits
from freepage.analysis.stats import Estimate, estimate_positive
from freepage.records import VerdictRule


def between(low, high, n=3):
    return Estimate((low + high) / 2, low, high, "ratio", n)


def outcome(kind, instances):
    measured = {
        Comparison.REALLOCATION: between(1.1, 1.3),
        Comparison.EXTRA_CPU_PER_GIB: between(0.1, 0.2),
        Comparison.EXTRA_CPU: between(0.4, 0.8),
        Comparison.IO_RATIO: between(0.8, 1.0),
    }
    return build_outcome(
        kind, ExperimentResults(kind, {}, dict.fromkeys(Comparison) | measured, ()), instances
    )


def test_an_experiment_costs_what_its_kind_is_about():
    churn = outcome("churn", ("churn-0", "churn-1"))
    assert (churn.vms, churn.guest_io) == ("churn-*", None)
    assert (churn.cpu_cores_per_vm.low, churn.cpu_cores_per_vm.high) == (0.2, 0.4)
    guest = outcome("guest-io", ("guest-io-0",))
    assert guest.guest_io is not None
    assert (guest.reallocation, guest.cpu_s_per_gib, guest.host_io) == (None, None, None)


@pytest.mark.parametrize(
    ("penalty", "position"),
    [
        (between(1.1, 1.3), IntervalPosition.WITHIN),
        (between(1.5, 2.5), IntervalPosition.STRADDLING),
        (between(2.5, 3.5), IntervalPosition.BEYOND),
    ],
)
def test_the_worst_cost_tells_where_an_experiment_stands(penalty, position):
    io = between(0.95, 1.0)
    (report,) = check_limits([ExperimentOutcome("x", reallocation=penalty, guest_io=io)], VerdictRule())
    assert report.position is position
    assert [check.cost for check in report.checks] == [Cost.ALLOCATION, Cost.IO]


def test_an_experiment_that_measured_no_cost_stands_nowhere():
    assert check_limits([ExperimentOutcome("x")], VerdictRule())[0].position is None


def test_one_pair_of_trials_is_never_beyond_a_limit():
    once = Estimate(0.5, None, None, "ratio", 1, "student-log")
    (report,) = check_limits([ExperimentOutcome("x", guest_io=once)], VerdictRule())
    assert report.position is IntervalPosition.STRADDLING
    assert "nothing is decided from fewer than 3" in report.checks[0].words


def test_a_cost_that_chance_would_bring_among_many_excepts_nobody():
    """Of ten costs at their limits one lies beyond it alone; among ten it stands only where it lies far beyond."""
    barely, far = (
        estimate_positive(v, "ratio") for v in ([2.1, 2.2, 2.16, 2.3, 2.12], [4.0, 4.1, 4.2, 4.0, 4.1])
    )
    fine = estimate_positive([1.0, 1.9, 2.2, 1.1, 1.4], "ratio")

    def positions(first, others):
        outcomes = [ExperimentOutcome(f"x{n}", reallocation=fine) for n in range(others)]
        return check_limits([ExperimentOutcome("x", reallocation=first), *outcomes], VerdictRule())[
            0
        ].position

    assert positions(barely, 0) is IntervalPosition.BEYOND
    assert positions(barely, 9) is IntervalPosition.STRADDLING
    assert positions(far, 9) is IntervalPosition.BEYOND
