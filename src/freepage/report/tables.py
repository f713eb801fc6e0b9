"""The report's tables, from results.json and the manifest alone; the page, Markdown and CSV all show these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freepage.report.numbers import MISSING, show_interval, show_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from freepage.records import Manifest

Results = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, its interval below it, whether it is a number, and the estimate behind it (JSON)."""

    text: str
    interval: str = ""
    numeric: bool = False
    estimate: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Table:
    """One table; `note` says what its numbers mean."""

    id: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    arms: tuple[str, ...] = field(default=())


def build_tables(results: Results, manifest: Manifest) -> list[Table]:
    """Build every table that has something to show, in the order of the page."""
    from freepage.report.io_tables import guest_io_table, host_io_table, io_memory_table
    from freepage.report.prometheus_tables import prometheus_table

    tables = [
        build(results)
        for build in (
            _claims,
            _allocation,
            _memory,
            _release,
            _cpu,
            _burst,
            guest_io_table,
            host_io_table,
            io_memory_table,
            _commands,
            _comparison,
            _evidence,
            prometheus_table,
            _trials,
        )
    ]
    return [t for t in [*tables, _conditions(manifest)] if t.rows]


DECISION_OF_CLAIM = {
    "confirmed": "confirmed",
    "contradicted": "contradicted",
    "not-decidable": "not decidable",
}


def _claims(results: Results) -> Table:
    tried = [c for c in results["claims"] if c["experiment"] is not None]
    others = len(results["claims"]) - len(tried)
    note = "Below each claim: the experiment and the rule that decide it. A whole interval decides, or nothing does."
    return Table(
        "claims",
        "What the article found, and what was found here",
        f"{note} {others} more need experiments that this run does not have." if others else note,
        ("decision", "what the article found", "article", "here"),
        tuple(_claim_row(claim) for claim in tried),
    )


def _claim_row(claim: Mapping[str, Any]) -> tuple[Cell, ...]:
    return (
        Cell(DECISION_OF_CLAIM[claim["decision"]], claim["reason"]),
        Cell(claim["text"], f"{claim['experiment']}; {claim['rule']}"),
        Cell(claim["article"]),
        claim_number(claim),
    )


def claim_number(claim: Mapping[str, Any]) -> Cell:
    """Show the number that decides, with its interval and what stands beside it below."""
    decides = next((n for n in claim["numbers"] if n["name"] == claim["number"]), None)
    beside = [f"{n['label']} {show_value(n)}" for n in claim["numbers"] if n is not decides]
    lines = "\n".join(filter(None, (show_interval(decides), *beside)))
    return Cell(show_value(decides), lines, numeric=True, estimate=decides)


def rows_by_arm(
    results: Results, keys: tuple[str, ...], wanted: Callable[[Mapping[str, Any]], bool] = lambda _: True
) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = []
    for name, experiment in results["experiments"].items():
        for arm, estimates in experiment["arms"].items():
            if wanted(estimates):
                rows.append((Cell(name), Cell(arm), *(estimate_cell(estimates[key]) for key in keys)))
    return tuple(rows)


def _allocation(results: Results) -> Table:
    keys = tuple(f"alloc{kind}_{which}_s" for kind in ("", "_system", "_user") for which in ("first", "rest"))
    rows = rows_by_arm(
        results, (*keys[:2], "alloc_rest_sd_s", *keys[2:]), lambda e: e["alloc_first_s"] is not None
    )
    return Table(
        "allocation",
        "Allocating again",
        "Seconds to allocate one block and write one byte to each page: the first time after the start, and the mean of "
        "all later times. The standard deviation is that of the later times within a trial.",
        (
            "experiment",
            "arm",
            "first",
            "later",
            "sd of later",
            "system first",
            "system later",
            "user first",
            "user later",
        ),
        rows,
    )


def _memory(results: Results) -> Table:
    keys = (
        "given_back_fraction",
        "held_needlessly_gib_s",
        "node_in_use_mean_bytes",
        "node_in_use_max_bytes",
        "idle_overhead_bytes",
    )
    return Table(
        "memory",
        "Memory",
        "Given back: share of what was freed that had left the host when the instance next allocated. Held needlessly: "
        "resident memory beyond what the workload held, integrated. Node memory in use is above the trial's own baseline; "
        "idle overhead is what one instance costs before its workload starts.",
        ("experiment", "arm", "given back", "held needlessly", "node mean", "node peak", "idle overhead"),
        rows_by_arm(results, keys),
    )


def _release(results: Results) -> Table:
    keys = ("release_t50_s", "release_t90_s", "release_t99_s", "release_rate_gib_s")
    return Table(
        "release",
        "Time until freed memory is back",
        "Seconds from the free until 50, 90 and 99 % of the freed bytes had left the host, interpolated between samples; "
        "a dash where a release did not get there within its window. The rate is that of the first 90 %.",
        ("experiment", "arm", "50 %", "90 %", "99 %", "rate"),
        rows_by_arm(results, keys, lambda e: e["given_back_fraction"] is not None),
    )


def _cpu(results: Results) -> Table:
    keys = (
        "instance_cpu_cores",
        "guest_cpu_cores",
        "vcpu_cpu_s",
        "main_loop_cpu_s",
        "other_cpu_s",
        "main_loop_cpu_s_per_gib",
        "node_cpu_cores",
        "node_cpu_peak_cores",
    )
    return Table(
        "cpu",
        "CPU",
        "Cores the instances used on average, and cores that guests say they were busy with; CPU time of QEMU's threads: those that execute the guest, the main loop, where "
        "reports are handled (also for each GiB given back), and others; cores the whole host was busy with, mean and peak.",
        (
            "experiment",
            "arm",
            "instances",
            "in guests",
            "vCPU",
            "main loop",
            "other",
            "main loop per GiB",
            "host",
            "host peak",
        ),
        rows_by_arm(results, keys),
    )


_COMPARISONS = {
    "reallocation_penalty": "Allocating again, FPR against no FPR",
    "reallocation_against_first": "Later allocations against the first, with FPR",
    "io_ratio": "Throughput of fio, FPR against no FPR, all cells",
    "cached_lost": "Cells cached without FPR and not with it",
    "node_mean_ratio": "Node memory, FPR against no FPR, mean",
    "node_max_ratio": "Node memory, FPR against no FPR, peak",
    "working_set_mean_ratio": "Working set of fio's instance, FPR against no FPR, mean",
    "working_set_max_ratio": "Working set of fio's instance, FPR against no FPR, peak",
    "command_ratio": "Program's time, FPR against no FPR",
    "first_allocation_penalty": "First allocation, FPR against no FPR",
    "allocation_penalty": "All allocations per GiB, FPR against no FPR",
    "allocation_against_pod": "All allocations per GiB, FPR against pod",
    "saved_mean_bytes": "Node memory FPR saves, mean",
    "saved_max_bytes": "Node memory FPR saves, peak",
    "above_pod_mean_bytes": "Node memory with FPR above pod, mean",
    "overhead_per_vm_bytes": "Overhead of one VM with FPR above a pod, mean",
    "extra_cpu_cores": "CPU that FPR adds to the instances",
    "extra_release_peak_cores": "CPU that FPR adds to the host's peak after freeing",
    "extra_cpu_s_per_gib": "CPU time that FPR adds, per GiB given back",
}


def _burst(results: Results) -> Table:
    keys = ("start_skew_max_s", "start_skew_p99_s", "cpu_alloc_peak_cores", "cpu_release_peak_cores")
    return Table(
        "burst",
        "Together",
        "How far apart instances that start together really started; and the host's highest CPU while they allocate, and in "
        "the 10 s after they free, when reports arrive.",
        ("experiment", "arm", "skew, most", "skew, 99 %", "CPU peak allocating", "CPU peak after freeing"),
        rows_by_arm(results, keys, lambda e: e["start_skew_max_s"] is not None),
    )


def _commands(results: Results) -> Table:
    return Table(
        "commands",
        "Programs",
        "Seconds the study's own program ran, mean over the times it ended with status 0, and how often it did not. What it "
        "wrote is in the run folder, trials/ID/output.",
        ("experiment", "arm", "ran for", "failed"),
        rows_by_arm(results, ("command_s", "command_failures"), lambda e: e["command_failures"] is not None),
    )


def _comparison(results: Results) -> Table:
    rows = tuple(
        (Cell(name), Cell(_COMPARISONS[key]), estimate_cell(estimate), Cell(str(estimate["n"]), numeric=True))
        for name, experiment in results["experiments"].items()
        for key, estimate in experiment["comparisons"].items()
        if estimate is not None
    )
    return Table(
        "comparison",
        "FPR compared",
        "Pairs of trials of the same repeat; ratios with their interval on the logarithm.",
        ("experiment", "what", "estimate", "pairs"),
        rows,
    )


def _evidence(results: Results) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for arm in dict.fromkeys(t["arm"] for t in results["trials"]):
        seen = [
            e
            for t in results["trials"]
            if t["arm"] == arm
            for e in t["evidence"]
            if e["configured"] is not None or e["negotiated"] is not None
        ]
        if seen:
            levels = ("configured", "negotiated", "active", "effective")
            others = ("reporting_order", "guest_thp", "host_thp", "guest_kernel")
            rows.append((Cell(arm), *(_all(seen, k) for k in levels), *(_each(seen, k) for k in others)))
    return Table(
        "evidence",
        "Was FPR really on?",
        "Configured: QEMU says so. Negotiated: the guest's virtio feature bit 5. Active: reports arrived at QEMU. Effective: "
        "at least half of what was freed left the host.",
        (
            "arm",
            "configured",
            "negotiated",
            "active",
            "effective",
            "reporting order",
            "guest THP",
            "host THP",
            "guest kernel",
        ),
        tuple(rows),
    )


def _trials(results: Results) -> Table:
    rows = tuple(
        (
            Cell(str(t["order"] + 1), numeric=True),
            Cell(t["experiment"]),
            Cell(t["arm"]),
            Cell(str(t["repeat"] + 1), numeric=True),
            Cell(t["status"]),
            Cell(MISSING if t["ready_s"] is None else f"{t['ready_s']:.2f} s", numeric=True),
            Cell("\n".join(filter(None, (t["error"], t["hint"])))),
        )
        for t in results["trials"]
    )
    return Table(
        "trials",
        "Trials, in the order they ran",
        "",
        ("#", "experiment", "arm", "repeat", "status", "ready after", "error"),
        rows,
    )


def _conditions(manifest: Manifest) -> Table:
    node, of = (manifest.location, "") if manifest.on_cluster else (manifest.node, "host ")
    facts: dict[str, object] = {
        "command": " ".join(manifest.command),
        "freepage": manifest.freepage_version,
        "study": f"{manifest.study}, scale {manifest.scale:g}, seed {manifest.seed}",
        "accelerator": f"{manifest.accelerator}: {manifest.accelerator_reason}",
        "node": f"{node}, {manifest.node_memory_bytes / 2**30:.1f} GiB",
        "sampling interval": f"{manifest.interval_s:g} s",
        "started": manifest.started_at,
        "finished": manifest.finished_at or "cut short",
        **{name.replace("_", " "): value for name, value in manifest.tools.items()},
        **{f"{of}{name.replace('_', ' ')}": value for name, value in manifest.host.items()},
    }
    rows = tuple((Cell(name), Cell(_show_fact(name, value))) for name, value in facts.items())
    return Table("conditions", "Conditions", "", ("what", "value"), rows)


def estimate_cell(estimate: Mapping[str, Any] | None) -> Cell:
    return Cell(show_value(estimate), show_interval(estimate), numeric=True, estimate=estimate)


def _all(seen: list[Mapping[str, Any]], key: str) -> Cell:
    values = [e.get(key) for e in seen]
    if all(value is None for value in values):
        return Cell("not known")
    if len(set(values)) == 1:
        return Cell("yes" if values[0] else "no")
    return Cell(f"{sum(value is True for value in values)} of {len(values)}")


def _each(seen: list[Mapping[str, Any]], key: str) -> Cell:
    values = dict.fromkeys(MISSING if e.get(key) is None else str(e[key]) for e in seen)
    return Cell(", ".join(values))


def _show_fact(name: str, value: object) -> str:
    if value is None:
        return "not known"
    if name.endswith("bytes") and isinstance(value, int) and value > 2**20:
        return f"{value / 2**30:.2f} GiB"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
