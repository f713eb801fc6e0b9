"""Every comparison of arms: its id, unit, meaning, nature, margin, and how it is shown.

A new one is an entry here and the function that measures it, in comparisons.py or the module of its subject.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.analysis.definition import (
    Area,
    Better,
    Definition,
    Nature,
    Number,
    difference,
    ratio,
    saved_share,
)

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate


_MEMORY, _NODE, _TIME = Area.MEMORY, Area.NODE, Area.TIME
_HIGHER, _NEITHER = Better.HIGHER, Better.NEITHER


class Comparison(Number):
    """The comparisons of two arms, or of two numbers of one, by repeat; in the order of results.json."""

    REALLOCATION = replace(
        ratio("reallocation_penalty", _TIME, "alloc_rest_s", "Allocating again, FPR against no FPR"),
        headline=("Allocating again", "times as long as without FPR"),
    )
    REALLOCATION_AGAINST_FIRST = Definition(
        "reallocation_against_first",
        "ratio",
        _TIME,
        "`alloc_rest_s` / `alloc_first_s` of vm-fpr",
        "Later allocations against the first, with FPR",
        better=_NEITHER,
    )
    IO_RATIO = Definition(
        "io_ratio",
        "ratio",
        _TIME,
        "throughput of fio, vm-fpr / vm, geometric mean over all cells",
        "Throughput of fio, FPR against no FPR, all cells",
        better=_HIGHER,
        headline=("fio with FPR", "times the throughput without FPR, all cells"),
    )
    CACHED_LOST = Definition(
        "cached_lost",
        "cells",
        _MEMORY,
        "that ran from the cache without FPR and not with it",
        "Cells cached without FPR and not with it",
        headline=("Cached cells lost", "ran from the cache without FPR and not with it"),
        nature=Nature.COUNT,
    )
    CACHED_LOST_SHARE = Definition(
        "cached_lost_fraction",
        "fraction",
        _MEMORY,
        "`cached_lost` of the cells that ran from the cache without FPR, all blocks together",
        "Share of the cells cached without FPR and not with it",
        nature=Nature.COUNT,
    )
    NODE_MEAN_RATIO = replace(
        ratio("node_mean_ratio", _NODE, "node_in_use_mean_bytes", "Node memory, FPR against no FPR, mean"),
        headline=("Node memory", "times that without FPR, on average"),
    )
    NODE_MAX_RATIO = ratio(
        "node_max_ratio", _NODE, "node_in_use_max_bytes", "Node memory, FPR against no FPR, peak"
    )
    WORKING_SET_MEAN_RATIO = replace(
        ratio(
            "working_set_mean_ratio",
            _MEMORY,
            "working_set_mean_bytes",
            "Working set of fio's instance, FPR against no FPR, mean",
        ),
        margin=0.02,
    )
    WORKING_SET_MAX_RATIO = ratio(
        "working_set_max_ratio",
        _MEMORY,
        "working_set_max_bytes",
        "Working set of fio's instance, FPR against no FPR, peak",
    )
    COMMAND_RATIO = ratio("command_ratio", _TIME, "command_s", "Program's time, FPR against no FPR")
    FIRST_ALLOCATION = ratio(
        "first_allocation_penalty", _TIME, "alloc_first_s", "First allocation, FPR against no FPR"
    )
    ALLOCATION = ratio(
        "allocation_penalty", _TIME, "alloc_s_per_gib", "All allocations per GiB, FPR against no FPR"
    )
    ALLOCATION_AGAINST_POD = Definition(
        "allocation_against_pod",
        "ratio",
        _TIME,
        "`alloc_s_per_gib`, vm-fpr / pod",
        "All allocations per GiB, FPR against pod",
    )
    EXTRA_CPU_PER_GIB = difference(
        "extra_cpu_s_per_gib",
        "s/GiB",
        _TIME,
        "`instance_cpu_s`, vm-fpr − vm, / `given_back_gib` of vm-fpr",
        "CPU time that FPR adds, per GiB given back",
    )
    EXTRA_CPU = replace(
        difference(
            "extra_cpu_cores",
            "cores",
            _TIME,
            "`instance_cpu_cores`, vm-fpr − vm",
            "CPU that FPR adds to the instances",
        ),
        headline=("CPU cost", "added to the VMs by FPR, on average"),
    )
    EXTRA_RELEASE_PEAK = difference(
        "extra_release_peak_cores",
        "cores",
        _TIME,
        "`cpu_release_peak_cores`, vm-fpr − vm",
        "CPU that FPR adds to the host's peak after freeing",
    )
    SAVED_MEAN = difference(
        "saved_mean_bytes",
        "bytes",
        _NODE,
        "`node_in_use_mean_bytes`, vm − vm-fpr",
        "Node memory FPR saves, mean",
        _HIGHER,
    )
    SAVED_MAX = difference(
        "saved_max_bytes",
        "bytes",
        _NODE,
        "`node_in_use_max_bytes`, vm − vm-fpr",
        "Node memory FPR saves, peak",
        _HIGHER,
    )
    SAVED_MEAN_SHARE = saved_share(
        "saved_mean_fraction",
        _NODE,
        "`saved_mean_bytes` / `node_in_use_mean_bytes` of vm",
        "Node memory FPR saves, mean, of what VMs without it take",
    )
    SAVED_MAX_SHARE = saved_share(
        "saved_max_fraction",
        _NODE,
        "`saved_max_bytes` / `node_in_use_max_bytes` of vm",
        "Node memory FPR saves, peak, of what VMs without it take",
    )
    SAVED_OF_POSSIBLE = saved_share(
        "saved_of_possible_fraction",
        _MEMORY,
        "`held_needlessly_gib_s`, (vm − vm-fpr) / (vm − pod)",
        "Needless GiB·s FPR saves, of what a pod shows to be possible",
    )
    SAVED_MAX_OF_POSSIBLE = saved_share(
        "saved_max_of_possible_fraction",
        _NODE,
        "`node_in_use_max_bytes`, (vm − vm-fpr) / (vm − pod)",
        "Node memory FPR saves, peak, of what lies between VMs and pods",
    )
    ABOVE_POD = difference(
        "above_pod_mean_bytes",
        "bytes",
        _NODE,
        "`node_in_use_mean_bytes`, vm-fpr − pod",
        "Node memory with FPR above pod, mean",
    )
    OVERHEAD_PER_VM = difference(
        "overhead_per_vm_bytes",
        "bytes",
        _NODE,
        "`node_in_use_mean_per_instance_bytes`, vm-fpr − pod",
        "Overhead of one VM with FPR above a pod, mean",
    )
    OVERHEAD_PER_VM_WITHOUT = difference(
        "overhead_per_vm_without_fpr_bytes",
        "bytes",
        _NODE,
        "`node_in_use_mean_per_instance_bytes`, vm − pod",
        "Overhead of one VM without FPR above a pod, mean",
    )
    FORECAST_SETTLED = Definition(
        "forecast_settled_bytes",
        "bytes",
        _MEMORY,
        "forecast from the VMs without FPR: resident memory of one with it that is idle and has reported all, mean",
        "Settled footprint of a VM with FPR, forecast",
        better=_NEITHER,
    )
    SETTLED = Definition(
        "settled_bytes",
        "bytes",
        _MEMORY,
        "the same as it was measured, at the same samples",
        "Settled footprint of a VM with FPR, measured",
    )
    FORECAST_SETTLED_RATIO = Definition(
        "forecast_settled_ratio",
        "ratio",
        _MEMORY,
        "`forecast_settled_bytes` / `settled_bytes`",
        "Settled footprint with FPR, forecast against measured",
        better=_NEITHER,
    )
    FORECAST_GIB_S = Definition(
        "forecast_gib_s",
        "GiB x s",
        _MEMORY,
        "forecast from the VMs without FPR: resident memory of those with it, integrated over the trial",
        "Resident memory with FPR over the trial, forecast",
        better=_NEITHER,
    )
    RESIDENT_GIB_S = Definition(
        "resident_gib_s",
        "GiB x s",
        _MEMORY,
        "the same as it was measured",
        "Resident memory with FPR over the trial, measured",
    )
    FORECAST_GIB_S_RATIO = Definition(
        "forecast_gib_s_ratio",
        "ratio",
        _MEMORY,
        "`forecast_gib_s` / `resident_gib_s`",
        "Resident memory with FPR over the trial, forecast against measured",
        better=_NEITHER,
    )
    FORECAST_PASSES_OFF = Definition(
        "forecast_passes_off",
        "passes",
        _MEMORY,
        "by which 90 % of what a release gave back came later (below 0: earlier) than predicted, median over releases",
        "Passes by which memory came back later than predicted",
        better=_NEITHER,
        nature=Nature.SIGNED,
        margin=None,
    )


# The comparisons of one experiment; None is not measured.
Comparisons = dict[Comparison, "Estimate | None"]
