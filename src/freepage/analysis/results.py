"""results.json: every estimate, doubt and the verdict of a stored run. docs/results-schema.md describes it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from freepage.analysis.claims import Conditions, decide_claims
from freepage.analysis.doubts import Doubt, Findings, find_doubts
from freepage.analysis.io import compare_io, describe_cells, measure_io, memory_ratios
from freepage.analysis.prices import ExperimentOutcome, weigh_experiment
from freepage.analysis.prometheus import describe_prometheus
from freepage.analysis.stats import Estimate, estimate_difference, estimate_mean, estimate_ratio
from freepage.analysis.trial_values import measure_trial
from freepage.analysis.verdict import VerdictInput, decide
from freepage.kinds import find_kind
from freepage.records import Arm

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.store import Run, TrialData

RESULTS_SCHEMA = 1

# Every number of a trial that becomes an estimate, with its unit.
ESTIMATED = {
    "given_back_fraction": "fraction",
    "node_in_use_mean_bytes": "bytes",
    "node_in_use_max_bytes": "bytes",
    "node_in_use_absolute_mean_bytes": "bytes",
    "node_in_use_absolute_max_bytes": "bytes",
    "held_needlessly_gib_s": "GiB x s",
    "idle_overhead_bytes": "bytes",
    "alloc_first_s": "s",
    "alloc_rest_s": "s",
    "alloc_rest_sd_s": "s",
    "alloc_system_first_s": "s",
    "alloc_system_rest_s": "s",
    "alloc_user_first_s": "s",
    "alloc_user_rest_s": "s",
    "alloc_s_per_gib": "s/GiB",
    "release_t50_s": "s",
    "release_t90_s": "s",
    "release_t99_s": "s",
    "release_rate_gib_s": "GiB/s",
    "node_cpu_cores": "cores",
    "instance_cpu_cores": "cores",
    "guest_cpu_cores": "cores",
    "node_cpu_peak_cores": "cores",
    "cpu_alloc_peak_cores": "cores",
    "cpu_release_peak_cores": "cores",
    "start_skew_max_s": "s",
    "start_skew_p99_s": "s",
    "vcpu_cpu_s": "s",
    "main_loop_cpu_s": "s",
    "other_cpu_s": "s",
    "main_loop_cpu_s_per_gib": "s/GiB",
    "command_s": "s",
    "command_failures": "runs",
    "cached_read_fraction": "fraction",
    "working_set_mean_bytes": "bytes",
    "working_set_max_bytes": "bytes",
}

# CPU time per GiB given back says nothing where next to nothing came back.
LEAST_GIVEN_BACK_GIB = 0.05

Values = dict[str, dict[str, float | None]]


def build_results(run: Run) -> dict[str, Any]:
    """Give the content of results.json from a stored run alone; no NaN, null where nothing is known."""
    ok = run.ok_trials()
    values = {t.record.id: measure_trial(t) | measure_io(t) for t in ok}
    estimates = _estimate_all(run, ok, values)
    comparisons = {name: _compare(name, ok, values) for name in estimates}
    experiments = {
        name: {
            "kind": _kind_of(run, name),
            "arms": {arm: {key: _json(e) for key, e in by_name.items()} for arm, by_name in arms.items()},
            "comparisons": {key: _json(e) for key, e in comparisons[name].items()},
            "cells": _cells(run, name),
        }
        for name, arms in estimates.items()
    }
    doubts = find_doubts(Findings(run, values, estimates, comparisons))
    verdict = decide(_weights(run, estimates, comparisons), run.manifest.verdict_rule)
    return {
        "schema": RESULTS_SCHEMA,
        "study": run.manifest.study,
        "title": run.manifest.title,
        "accelerator": run.manifest.accelerator,
        "started_at": run.manifest.started_at,
        "finished_at": run.manifest.finished_at,
        "verdict": verdict.as_json(),
        "doubts": [d.as_json() for d in doubts],
        "claims": decide_claims(experiments, _conditions(run, doubts)),
        "trials": [_trial_json(t, values.get(t.record.id)) for t in run.trials],
        "experiments": experiments,
        "prometheus": describe_prometheus(run),
    }


def _conditions(run: Run, doubts: list[Doubt]) -> Conditions:
    manifest = run.manifest
    return Conditions(
        manifest.accelerator,
        manifest.interval_s,
        smoke=run.manifest.smoke,
        moved=frozenset(d.experiment for d in doubts if d.touches == "node" and d.experiment),
    )


def _cells(run: Run, experiment: str) -> list[dict[str, Any]]:
    mine = [t for t in run.trials if t.record.experiment == experiment]
    return (
        describe_cells(mine, run.arms_of(experiment))
        if find_kind(_kind_of(run, experiment)).measures_io
        else []
    )


def _kind_of(run: Run, experiment: str) -> str:
    return next((t.record.kind for t in run.trials if t.record.experiment == experiment), "")


def _estimate_all(
    run: Run, ok: list[TrialData], values: Values
) -> dict[str, dict[str, dict[str, Estimate | None]]]:
    names = list(dict.fromkeys(t.record.experiment for t in run.trials))
    return {name: {arm: _estimate_arm(name, arm, ok, values) for arm in run.arms_of(name)} for name in names}


def _estimate_arm(name: str, arm: Arm, ok: list[TrialData], values: Values) -> dict[str, Estimate | None]:
    mine = [values[t.record.id] for t in ok if t.record.experiment == name and t.record.arm is arm]
    return {key: estimate_mean([v.get(key) for v in mine], unit) for key, unit in ESTIMATED.items()}


def _compare(name: str, ok: list[TrialData], values: Values) -> dict[str, Estimate | None]:
    """Compare the arms of an experiment, paired by repeat."""

    def by_repeat(arm: Arm, key: str) -> dict[int, float | None]:
        mine = [t for t in ok if t.record.experiment == name and t.record.arm is arm]
        return {t.record.repeat: values[t.record.id].get(key) for t in mine}

    def ratio(key: str, above: Arm, below: Arm) -> Estimate | None:
        return estimate_ratio(by_repeat(above, key), by_repeat(below, key))

    def difference(key: str, first: Arm, second: Arm, unit: str) -> Estimate | None:
        return estimate_difference(by_repeat(first, key), by_repeat(second, key), unit)

    return {
        "reallocation_penalty": ratio("alloc_rest_s", Arm.VM_FPR, Arm.VM),
        "reallocation_against_first": estimate_ratio(
            by_repeat(Arm.VM_FPR, "alloc_rest_s"), by_repeat(Arm.VM_FPR, "alloc_first_s")
        ),
        **compare_io([t for t in ok if t.record.experiment == name and find_kind(t.record.kind).measures_io]),
        **memory_ratios(by_repeat),
        "command_ratio": ratio("command_s", Arm.VM_FPR, Arm.VM),
        "first_allocation_penalty": ratio("alloc_first_s", Arm.VM_FPR, Arm.VM),
        "allocation_penalty": ratio("alloc_s_per_gib", Arm.VM_FPR, Arm.VM),
        "allocation_against_pod": ratio("alloc_s_per_gib", Arm.VM_FPR, Arm.POD),
        "extra_cpu_s_per_gib": _extra_cpu_s_per_gib(by_repeat),
        "extra_cpu_cores": difference("instance_cpu_cores", Arm.VM_FPR, Arm.VM, "cores"),
        "extra_release_peak_cores": difference("cpu_release_peak_cores", Arm.VM_FPR, Arm.VM, "cores"),
        "saved_mean_bytes": difference("node_in_use_mean_bytes", Arm.VM, Arm.VM_FPR, "bytes"),
        "saved_max_bytes": difference("node_in_use_max_bytes", Arm.VM, Arm.VM_FPR, "bytes"),
        "above_pod_mean_bytes": difference("node_in_use_mean_bytes", Arm.VM_FPR, Arm.POD, "bytes"),
        "overhead_per_vm_bytes": difference(
            "node_in_use_mean_per_instance_bytes", Arm.VM_FPR, Arm.POD, "bytes"
        ),
    }


def _extra_cpu_s_per_gib(by_repeat: Callable[[Arm, str], dict[int, float | None]]) -> Estimate | None:
    """Give the CPU seconds that instances with FPR used more than those without, for each GiB that came back."""
    back = by_repeat(Arm.VM_FPR, "given_back_gib")
    with_fpr, without = by_repeat(Arm.VM_FPR, "instance_cpu_s"), by_repeat(Arm.VM, "instance_cpu_s")
    values = [
        (more - less) / gib
        for repeat, gib in back.items()
        if gib
        and gib > LEAST_GIVEN_BACK_GIB
        and (more := with_fpr.get(repeat)) is not None
        and (less := without.get(repeat)) is not None
    ]
    return estimate_mean(values, "s/GiB")


def _weights(
    run: Run,
    estimates: dict[str, dict[str, dict[str, Estimate | None]]],
    comparisons: dict[str, dict[str, Estimate | None]],
) -> VerdictInput:
    """Weigh every experiment; the one that measured releases best is the headline."""
    weighed = {
        name: weigh_experiment(name, _kind_of(run, name), _instances_of(run, name), arms, comparisons[name])
        for name, arms in estimates.items()
    }
    first = headline_experiment(estimates) or ""
    headline = weighed.pop(first, ExperimentOutcome())
    return VerdictInput(
        headline,
        tuple(weighed.values()),
        times_count=run.manifest.accelerator == "kvm",
        smoke=run.manifest.smoke,
    )


def _instances_of(run: Run, experiment: str) -> list[str]:
    """Name the instances of an experiment's trials with FPR."""
    mine = (t for t in run.trials if t.record.experiment == experiment and t.record.arm is Arm.VM_FPR)
    return next((list(t.schedules) for t in mine if t.schedules), [])


def headline_experiment(estimates: dict[str, dict[str, dict[str, Any]]]) -> str | None:
    """Name the experiment whose numbers stand first: most trials that measured what FPR gave back."""

    def count(name: str) -> int:
        given = estimates[name].get(Arm.VM_FPR, {}).get("given_back_fraction")
        return 0 if given is None else int(given["n"] if isinstance(given, dict) else given.n)

    return max(estimates, key=count, default=None)


def _trial_json(trial: TrialData, values: dict[str, float | None] | None) -> dict[str, Any]:
    record = trial.record
    return {
        "id": record.id,
        "experiment": record.experiment,
        "arm": record.arm,
        "repeat": record.repeat,
        "order": record.order,
        "status": record.status,
        "error": record.error,
        "hint": record.hint,
        "ready_s": record.ready_s,
        "sampler_cpu_fraction": _share(record.sampler_cpu_s, record.sampler_wall_s),
        "evidence": [asdict(e) | {"effective": _is_effective(values)} for e in record.evidence],
        "values": values,
    }


def _is_effective(values: dict[str, float | None] | None) -> bool | None:
    """Say whether the host's memory fell after releases: at least half of what was freed came back."""
    given = (values or {}).get("given_back_fraction")
    return None if given is None else given >= 0.5


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _json(estimate: Estimate | None) -> dict[str, object] | None:
    return None if estimate is None else estimate.as_json()
