"""The advice beside a verdict: never more than the data carry."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.analysis.advice import advise
from freepage.analysis.conclusion import Conclusion, Decision, Exempt, VerdictInput
from freepage.analysis.limits import ExperimentOutcome
from freepage.analysis.past_strain import PastStrain
from freepage.analysis.stats import Estimate
from freepage.analysis.strain import Strain, find_strains
from freepage.records import Arm
from freepage.store import load_run
from helpers.changed_run import add_node_metric
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

CALM = Strain(0.001, 0.0, 0.0)
SHORT = Strain(0.2, 512.0, 2.0)


def between(low, high):
    return Estimate((low + high) / 2, low, high, "ratio", 5)


CYCLE = ExperimentOutcome("cycle", "cycle-*", reallocation=between(1.2, 1.4), about_releases=True)
CHURN = ExperimentOutcome("churn", "churn-*", allocation=between(0.98, 1.1))


def advice(
    *outcomes, decision=Decision.ENABLE, excepted=(), times_count=True, smoke=False, past=None, **strains
):
    first, *others = outcomes or (CYCLE,)
    found = VerdictInput(
        first,
        tuple(others),
        times_count,
        smoke,
        {Arm(arm.replace("_", "-")): s for arm, s in strains.items()},
        past,
    )
    return {r.about: r.text for r in advise(found, Conclusion(decision, excepted=excepted))}


@pytest.mark.parametrize(
    ("vm", "vm_fpr", "words"),
    [
        (CALM, CALM, "room for more VMs or page cache, not relief"),
        (SHORT, CALM, "there FPR is relief"),
        (SHORT, SHORT, "FPR alone is not enough there"),
        (CALM, SHORT, "FPR alone is not enough there"),
        (SHORT, Strain(), "short of memory beside VMs without FPR (tasks stalled"),
        (Strain(), CALM, "room for more VMs or page cache, not relief"),
        (CALM, Strain(), "room for more VMs or page cache, not relief"),
    ],
)
def test_the_node_is_called_short_of_memory_only_where_signs_of_it_were_seen(vm, vm_fpr, words):
    assert words in advice(vm=vm, vm_fpr=vm_fpr)["node"]


def test_where_no_sign_was_read_nothing_is_said_of_the_node():
    assert "node" not in advice(vm=Strain(), vm_fpr=Strain())
    assert "node" not in advice()


BUSY = PastStrain(168, SHORT, 0.03)
IDLE = PastStrain(30, CALM, 0.6)


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (None, "was not asked: a Prometheus knows (--prometheus)."),
        (
            BUSY,
            "In the 7 days before this run the node was short of memory (tasks stalled on memory for at most 20\u00a0% of an hour",
        ),
        (IDLE, "In the 30 h before this run the node was not short of memory (tasks stalled"),
        (PastStrain(0, Strain(), None), "is not known to the Prometheus that was asked."),
    ],
)
def test_whether_the_node_was_short_of_memory_before_is_told_or_that_nobody_was_asked(past, words):
    assert words in advice(vm=CALM, vm_fpr=CALM, past=past)["node-before"]


def test_what_comes_back_is_relief_where_the_node_was_short_of_memory_before_though_not_in_the_run():
    said = advice(vm=CALM, vm_fpr=CALM, past=BUSY)
    assert "memory that VMs give back is relief there" in said["node-before"]
    assert "not relief" not in said["node"]
    assert "not relief" in advice(vm=CALM, vm_fpr=CALM, past=IDLE)["node"]


def test_only_what_was_read_is_named():
    assert Strain(0.0).describe() == "no task stalled on memory"
    assert Strain(kills=0.0).describe() == "no process killed for want of memory"
    assert (
        Strain(0.0123, 3.0).describe()
        == "tasks stalled on memory for at most 1.2\u00a0% of a trial, 3 pages swapped out"
    )
    assert (Strain(0.009, 0.0).is_short, Strain(0.01).is_short, Strain().is_short) == (False, True, None)
    assert (Strain(kills=1.0).is_short, Strain(swapped_pages=1.0).is_short) == (True, True)


def test_vms_that_wait_longer_for_memory_are_named_where_the_whole_interval_shows_it():
    said = advice(CYCLE, CHURN)
    assert "cycle (cycle-*) wait 1.3 times as long" in said["fast-allocation of cycle"]
    assert "fast-allocation of churn" not in said
    assert "fast-allocation of cycle" not in advice(CYCLE, times_count=False)
    assert "fast-allocation of cycle" not in advice(CYCLE, excepted=(Exempt(CYCLE, "it pays too much"),))


def test_host_io_that_was_not_measured_is_said_to_be_so():
    assert "was not measured" in advice()["host-io"]
    assert "host-io" not in advice(replace(CYCLE, host_io=between(1.2, 1.5)))


@pytest.mark.parametrize("decision", [Decision.NO_BENEFIT, Decision.INCONCLUSIVE])
def test_nobody_is_told_who_gains_where_nothing_is_gained(decision):
    assert set(advice(decision=decision, vm=CALM, vm_fpr=CALM)) == {"node", "node-before"}
    assert advice(decision=decision, smoke=True, vm=SHORT, vm_fpr=SHORT) == {}


def test_strain_is_read_of_each_arm_from_the_nodes_samples(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=2), study=CYCLE_ONLY)
    strains = find_strains(load_run(tmp_path / "run"))
    assert strains[Arm.VM].stalled_fraction is None
    add_node_metric(tmp_path / "run", Arm.VM, "psi_memory_some_s", lambda t: 0.25 * t)
    add_node_metric(tmp_path / "run", Arm.VM, "oom_kill", lambda t: 3.0 + (t > 5))
    strains = find_strains(load_run(tmp_path / "run"))
    assert strains[Arm.VM].stalled_fraction == pytest.approx(0.25, abs=0.02)
    assert (strains[Arm.VM].kills, strains[Arm.VM].is_short) == (2.0, True)
    assert strains[Arm.VM_FPR].stalled_fraction is None


def test_of_several_nodes_the_one_that_stalled_most_counts_and_not_their_sum(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1), study=CYCLE_ONLY)
    for entity, pace in (("node", 0.5), ("node/a", 0.2), ("node/b", 0.3)):
        add_node_metric(tmp_path / "run", Arm.VM_FPR, "psi_memory_some_s", lambda t, p=pace: p * t, entity)
    strain = find_strains(load_run(tmp_path / "run"))[Arm.VM_FPR]
    assert strain.stalled_fraction == pytest.approx(0.3, abs=0.02)
