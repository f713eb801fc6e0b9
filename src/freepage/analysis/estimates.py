"""Every number of a trial: its id, unit, meaning, nature, margin, and how it is shown.

compared.py has those between arms; docs/results-schema.md lists all (reference.py). A new one is an entry here and the function that measures it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.definition import (
    Area,
    Better,
    Definition,
    Nature,
    Number,
    cores,
    node_bytes,
    release_time,
    seconds,
)

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate


_MEMORY, _NODE, _TIME = Area.MEMORY, Area.NODE, Area.TIME
_HIGHER, _NEITHER = Better.HIGHER, Better.NEITHER


class Quantity(Number):
    """The numbers of a trial that are averaged over the trials of an arm, in the order of results.json."""

    GIVEN_BACK = Definition(
        "given_back_fraction",
        "fraction",
        _MEMORY,
        "what had left the host when instances allocated again, of what they had freed",
        "given back",
        better=_HIGHER,
        headline=("Memory given back", "of what VMs freed, with FPR"),
        nature=Nature.SHARE,
        margin=0.02,
    )
    NODE_MEAN = node_bytes(
        "node_in_use_mean_bytes", "node memory in use above the baseline, mean", "node mean"
    )
    NODE_MAX = node_bytes("node_in_use_max_bytes", "node memory in use above the baseline, peak", "node peak")
    NODE_ABSOLUTE_MEAN = node_bytes(
        "node_in_use_absolute_mean_bytes", "node memory in use, baseline included, mean"
    )
    NODE_ABSOLUTE_MAX = node_bytes(
        "node_in_use_absolute_max_bytes", "node memory in use, baseline included, peak"
    )
    HELD_NEEDLESSLY = Definition(
        "held_needlessly_gib_s",
        "GiB x s",
        _MEMORY,
        "resident memory beyond what the workload held, integrated",
        "held needlessly",
    )
    IDLE_OVERHEAD = node_bytes(
        "idle_overhead_bytes", "what an instance costs before its workload starts", "idle overhead"
    )
    ALLOC_FIRST = seconds("alloc_first_s", "first allocation of each process", "first", "1st alloc")
    ALLOC_REST = seconds("alloc_rest_s", "later allocations, mean", "later")
    ALLOC_REST_SD = seconds("alloc_rest_sd_s", "later allocations, deviation within a trial", "sd of later")
    ALLOC_SYSTEM_FIRST = seconds(
        "alloc_system_first_s", "CPU time of first ones in the kernel", "system first"
    )
    ALLOC_SYSTEM_REST = seconds("alloc_system_rest_s", "CPU time of later ones in the kernel", "system later")
    ALLOC_USER_FIRST = seconds("alloc_user_first_s", "user CPU time of first ones", "user first")
    ALLOC_USER_REST = seconds("alloc_user_rest_s", "user CPU time of later ones", "user later")
    FREE_FIRST = seconds("free_first_s", "first free of each process, as the process sees it", "free, first")
    FREE_REST = seconds("free_rest_s", "later frees, mean", "free, later")
    FREE_REST_SD = seconds("free_rest_sd_s", "later frees, deviation within a trial", "sd of later frees")
    HOST_ALLOC_FIRST = seconds(
        "host_alloc_first_s",
        "from an instance's first allocation until the host's memory has grown by 90 % of what it grows by",
        "host fills, first",
    )
    HOST_ALLOC_REST = seconds(
        "host_alloc_rest_s",
        "the same of later ones, mean over those that took memory of the host",
        "host fills, later",
    )
    HOST_ALLOC_REST_SD = seconds(
        "host_alloc_rest_sd_s", "the same, deviation within a trial", "sd of later fills"
    )
    HOST_ALLOC_RESOLUTION = Definition(
        "host_alloc_resolution_s",
        "s",
        _TIME,
        "width of the span between two samples whose middle `host_alloc_first_s` and `host_alloc_rest_s` are",
        "known to",
        better=_NEITHER,
    )
    ALLOC_PER_GIB = Definition("alloc_s_per_gib", "s/GiB", _TIME, "all allocations, per GiB allocated")
    RELEASE_T50 = release_time("release_t50_s", "from a free until 50 % is back", "50 %")
    RELEASE_T90 = release_time(
        "release_t90_s",
        "from a free until 90 % is back",
        "90 %",
        "90 % back",
        ("Until 90 % is back", "after the free, with FPR"),
    )
    RELEASE_T99 = release_time("release_t99_s", "from a free until 99 % is back", "99 %")
    RELEASE_FALL = release_time(
        "release_fall_s", "the host's memory falls: from 10 % to 90 % back", "host empties"
    )
    RELEASE_RATE = Definition(
        "release_rate_gib_s",
        "GiB/s",
        _MEMORY,
        "pace of the first 90 % of a release",
        "rate",
        better=_HIGHER,
        nature=Nature.CENSORED,
        margin=0.1,
    )
    NODE_CPU = cores("node_cpu_cores", "the whole host was busy with, mean", "host")
    INSTANCE_CPU = cores("instance_cpu_cores", "all instances used together, mean", "instances")
    GUEST_CPU = cores("guest_cpu_cores", "guests say they were busy with, mean", "in guests")
    NODE_CPU_PEAK = cores("node_cpu_peak_cores", "the whole host was busy with, peak", "host peak")
    CPU_ALLOC_PEAK = cores(
        "cpu_alloc_peak_cores",
        "the host was busy with while instances allocate together, peak",
        "CPU peak allocating",
        "alloc peak",
    )
    CPU_RELEASE_PEAK = cores(
        "cpu_release_peak_cores",
        "the host was busy with after instances free together, peak",
        "CPU peak after freeing",
        "free peak",
    )
    SKEW_MAX = seconds("start_skew_max_s", "between common starts, largest", "skew, most", "skew max")
    SKEW_P99 = seconds(
        "start_skew_p99_s", "between common starts, 99th percentile", "skew, 99 %", "skew 99 %"
    )
    BARRIER_MEAN = seconds("barrier_wait_mean_s", "a process waits in a barrier, mean", "in barriers, mean")
    BARRIER_MAX = seconds("barrier_wait_max_s", "a process waits in a barrier, longest", "in barriers, most")
    VCPU_CPU = seconds("vcpu_cpu_s", "CPU time of QEMU's threads that execute guests", "vCPU")
    MAIN_LOOP_CPU = seconds(
        "main_loop_cpu_s", "CPU time of QEMU's main loops, which handle reports", "main loop"
    )
    OTHER_CPU = seconds("other_cpu_s", "CPU time of QEMU's other threads", "other")
    MAIN_LOOP_CPU_PER_GIB = Definition(
        "main_loop_cpu_s_per_gib",
        "s/GiB",
        _TIME,
        "CPU time of QEMU's main loops, per GiB by which resident memory fell",
        "main loop per GiB",
    )
    COMMAND_TIME = seconds("command_s", "a study's own program ran, where it ended with status 0", "ran for")
    COMMAND_FAILURES = Definition(
        "command_failures", "runs", _TIME, "of a study's program that failed", "failed", nature=Nature.COUNT
    )
    CACHED_READS = Definition(
        "cached_read_fraction",
        "fraction",
        _MEMORY,
        "fio's read cells that ran from the page cache",
        "reads cached",
        better=_HIGHER,
        headline=("Reads from the cache", "of fio's read cells, with FPR"),
        nature=Nature.SHARE,
    )
    WORKING_SET_MEAN = Definition(
        "working_set_mean_bytes",
        "bytes",
        _MEMORY,
        "working set of the instances fio runs in, mean",
        "working set mean",
        "working set",
        margin=0.02,
    )
    WORKING_SET_MAX = Definition(
        "working_set_max_bytes", "bytes", _MEMORY, "the same, peak", "working set peak"
    )
    RELEASE_RESOLUTION = Definition(
        "release_resolution_s",
        "s",
        _MEMORY,
        "width of the span between two samples whose middle is `release_t90_s`",
        "known to",
        better=_NEITHER,
    )


class TrialOnly(Number):
    """Further numbers of a trial, which are not averaged: others are computed from them."""

    BASELINE = node_bytes("baseline_bytes", "node memory in use before instances started", better=_NEITHER)
    NODE_MEAN_PER_INSTANCE = node_bytes(
        "node_in_use_mean_per_instance_bytes", "`node_in_use_mean_bytes` / instances"
    )
    RELEASES = Definition("releases", "releases", _MEMORY, "that were measured", better=_NEITHER)
    RELEASE_T50_COUNT = Definition(
        "release_t50_count", "releases", _MEMORY, "that got to 50 %", better=_HIGHER
    )
    RELEASE_T90_COUNT = Definition(
        "release_t90_count", "releases", _MEMORY, "that got to 90 %", better=_HIGHER
    )
    RELEASE_T99_COUNT = Definition(
        "release_t99_count", "releases", _MEMORY, "that got to 99 %", better=_HIGHER
    )
    INSTANCE_CPU_TIME = Definition("instance_cpu_s", "s", _TIME, "CPU time of all instances together")
    GIVEN_BACK_GIB = Definition(
        "given_back_gib",
        "GiB",
        _MEMORY,
        "all that came back: of VMs what QEMU faulted in less what resident memory grew by, of containers what they freed",
        better=_HIGHER,
    )
    RELEASES_UNSEEN = Definition(
        "releases_unseen", "releases", _MEMORY, "that no sample could tell the share of"
    )
    RELEASE_WINDOW = Definition(
        "release_window_s",
        "s",
        _MEMORY,
        "the shortest time a release had; a `release_t90_s` that is missing is longer",
        better=_HIGHER,
    )
    CLOSURE_MEMORY = node_bytes(
        "closure_bytes",
        "node memory in use less baseline and instances, as it is, without sign, most of the time",
    )
    CLOSURE_CPU = cores(
        "closure_cores", "cores the host was busy with less those of instances and sampler, median", ""
    )
    CELLS_MEASURED = Definition(
        "io_cells_fraction", "fraction", _TIME, "of fio's cells that have a throughput", better=_HIGHER
    )


# The numbers of one trial, and of one arm; None is not measured, or not known.
TrialValues = dict[Quantity | TrialOnly, float | None]
ArmEstimates = dict[Quantity, "Estimate | None"]
