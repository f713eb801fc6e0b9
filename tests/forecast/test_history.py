"""What KubeVirt has exported of a VM becomes its trace: gaps stay gaps, and what is missing is said."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.forecast.history import build_trace, describe_missing, describe_shared, find_missing
from freepage.units import GIB

NAN = float("nan")
USUAL = {"resident": 7.0, "domain": 8.0, "available": 7.8, "unused": 5.0, "cached": 1.0}


def trace(nodes=("n1",), moved=(), started=(), **rows):
    """A trace of as many times as the longest row, a minute apart; rows in GiB, one number for all times."""
    n = max((len(row) for row in rows.values() if isinstance(row, list)), default=4)
    values = {
        name: np.broadcast_to(np.array(rows.get(name, usual), dtype=float) * GIB, n)
        for name, usual in USUAL.items()
    }
    at = np.arange(n)
    return build_trace(("apps", "db"), nodes, at * 60.0, values, np.isin(at, moved), np.isin(at, started))


def test_a_vm_has_the_size_that_qemu_gave_it_and_only_the_sum_of_its_free_memory():
    one = trace()
    assert (one.name, one.namespace, one.node, one.fpr_on) == ("apps/db", "apps", "n1", None)
    assert set(one.total_bytes) == {8 * GIB}
    assert set(one.free_bytes) == {5 * GIB}
    assert np.isnan(one.reportable_bytes).all()
    assert one.gaps == ()
    assert one.notes == ()


def test_missing_times_moves_and_boots_are_gaps_and_nothing_is_filled():
    one = trace(
        ("n1", "n2"),
        moved=[4],
        started=[6],
        resident=[7, 7, NAN, 7, 3, 3, 2, 2],
        unused=[5, 5, NAN, NAN, 5, 5, 7, 7],
    )
    assert one.t_s.tolist() == [0, 60, 180, 240, 300, 360, 420]
    assert one.gaps == (1, 2, 4)
    assert np.isnan(one.free_bytes).tolist() == [False, False, True, False, False, False, False]
    assert one.notes == (
        "it moved once (last n1 to n2): what it has touched counts anew from there",
        "its guest booted once: what it has touched counts anew from there",
    )


def test_a_boot_while_nothing_was_known_is_one_gap():
    assert trace(resident=[7, NAN, NAN, 1], unused=[5, NAN, NAN, 7], started=[3]).gaps == (0,)


def test_free_memory_that_cannot_be_is_not_known_and_told():
    one = trace(unused=[5, 9, -1, 5])
    assert np.isnan(one.free_bytes).tolist() == [False, True, True, False]
    assert one.notes == (
        "2 times its free memory was negative or more than it has, and is taken as not known",
    )


@pytest.mark.parametrize(
    ("rows", "missing", "words"),
    [
        (
            {"unused": NAN},
            ["unused"],
            "kubevirt_vmi_memory_unused_bytes is not there: how much of the guest is free is not known",
        ),
        ({"resident": NAN}, ["resident"], "what the host holds now is not known"),
        ({"domain": NAN}, ["domain"], "the guest's MemTotal stands for its memory"),
        (
            {"domain": NAN, "available": NAN},
            ["total"],
            "(nor available_bytes) is not there: how large the guest is",
        ),
        ({"cached": NAN}, ["cached"], "dropping the guest's page cache"),
    ],
)
def test_a_number_that_was_never_there_is_named_with_what_follows(rows, missing, words):
    values = {name: np.full(4, rows.get(name, usual)) for name, usual in USUAL.items()}
    assert find_missing(values) == missing
    assert words in trace(**rows).notes[0]


def test_without_the_domains_memory_the_guests_own_total_stands():
    assert set(trace(domain=NAN).total_bytes) == {7.8 * GIB}


def test_a_vm_of_which_nothing_was_ever_known_has_no_trace():
    assert trace(resident=NAN, unused=NAN) is None


def test_what_some_of_many_vms_lack_is_one_line():
    pairs = [("unused", f"apps/vm-{n}") for n in range(5)]
    assert describe_missing([*pairs, ("cached", "apps/vm-1")], 40)[0].startswith(
        "kubevirt_vmi_memory_unused_bytes is not there for 5 of 40 VMs (apps/vm-0, apps/vm-1, apps/vm-2 and 2 more): "
    )
    assert len(describe_missing(pairs, 40)) == 1
    assert describe_missing([], 40) == describe_shared([]) == []
    assert "apps/db" in describe_shared(["apps/db"])[0]
