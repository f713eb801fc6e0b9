"""The price of FPR on a host, as a stored run measured it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from freepage.analysis.arithmetic import divide
from freepage.analysis.compared import Comparison
from freepage.analysis.experiments import find_headline
from freepage.analysis.paying_words import advise_by_map
from freepage.analysis.results import build_results
from freepage.analysis.stats import estimate_difference
from freepage.forecast.price import Price
from freepage.records import Action, Arm
from freepage.units import GIB

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate
    from freepage.store import Run, TrialData


def price_of_run(run: Run) -> Price:
    """Return what a run measured of the price of FPR, by the experiment its answer stands on."""
    results = build_results(run)
    experiments, emulated = results.experiments, run.manifest.accelerator != "kvm"
    name = find_headline(experiments, run.manifest.verdict_rule.headline) or ""
    cpu = experiments[name].compared(Comparison.EXTRA_CPU_PER_GIB) if name in experiments else None
    paying = tuple(text for _, text in advise_by_map(results.paying, times_count=not emulated))
    return Price(run.folder.name, name, _estimate_wait(run, name), cpu, emulated, paying)


def _estimate_wait(run: Run, experiment: str) -> Estimate | None:
    """Return the seconds per GiB that later allocations take longer with FPR than without, by block."""
    with_fpr, without = (
        {t.record.repeat: later_s_per_gib(t) for t in run.ok_trials(experiment, arm)}
        for arm in (Arm.VM_FPR, Arm.VM)
    )
    return estimate_difference(with_fpr, without, "s/GiB")


def later_s_per_gib(trial: TrialData) -> float | None:
    """Return the seconds that a trial's allocations took for each GiB, each process' first one apart; None without any."""
    rows = trial.events.filter(
        (pl.col("action") == Action.ALLOCATE) & pl.col("ok") & (pl.col("iteration") > 0)
    )
    return divide(float(sum(rows["wall_s"].to_list())), float(sum(rows["bytes"].to_list())) / GIB)
