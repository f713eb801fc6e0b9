"""The words of the verdict: its rule, what FPR brought, and numbers as a sentence has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.undecided import describe_interval, format_rounded, lower_first
from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.limits import ExperimentOutcome
    from freepage.analysis.stats import Estimate
    from freepage.records import VerdictRule


@dataclass(frozen=True)
class Saving:
    """One way to look at the memory that FPR saves: what a sentence is about, by which two are known to be the same, and the sentence."""

    about: str
    sentence: str


PEAK = Saving("saved peak", "At its peak the node's memory in use was {} lower with FPR")
POSSIBLE = Saving("saved of possible", "FPR saved {} of what a pod shows to be possible")
PEAK_OF_POSSIBLE = Saving("saved peak of possible", "Of the peak by which VMs exceed pods FPR saved {}")
# Savings are named where the whole interval shows some.
SOMETHING = Bounds(above=0.0)


def describe_rule(rule: VerdictRule, times_count: bool) -> str:
    """Return the rule in words, thresholds included."""
    least, most = rule.min_given_back_fraction, rule.max_given_back_fraction_without
    beyond = (
        "VMs whose price is beyond a limit are excepted while others gain; if none gain, there is no benefit."
        if times_count
        else "These are times, CPU and throughput; measured under emulation they do not decide."
    )
    return (
        f"Enable if VMs with FPR give back at least {least:.0%} of what they free, in every experiment about it, VMs without it "
        f"at most {most:.0%}, VMs with FPR take at least {rule.min_saved_mean_fraction:.0%} less of the node's memory, "
        f"{_describe_savings_rule(rule)}and the price is within limits: allocating again takes at most "
        f"{rule.max_reallocation_penalty:g} times as long; FPR adds at most {rule.max_extra_cpu_s_per_gib:g} s of CPU per GiB given back or at most "
        f"{rule.max_extra_cpu_cores_per_vm:g} core per VM; I/O in guests is at least {rule.min_io_ratio:g} times as "
        f"fast. {beyond} Whole intervals decide, shares by all of at least five trials, the rest from three trials on; "
        "where memory comes back and the price is open, that is the answer."
    )


def _describe_savings_rule(rule: VerdictRule) -> str:
    """Return the limits on savings that not every rule has, as parts of a sentence."""
    least, most = rule.min_saved_of_possible_fraction, rule.max_added_peak_fraction
    possible = "" if least is None else f"FPR saves at least {least:.0%} of what a pod shows to be possible, "
    return possible + ("" if most is None else f"the node's memory peaks at most {most:.0%} higher, ")


def describe_gains(shown: ExperimentOutcome, *, times_count: bool) -> Iterator[str]:
    """Yield sentences on what FPR brought in one experiment; times only where they are those of hardware."""
    given, t90 = shown.given_back, shown.release_t90
    without, again = shown.given_back_without, shown.reallocation
    duration = format_duration(round(t90.value, 1)).replace(" ", "\u00a0") if t90 else ""
    within = f", 90\u00a0% within {duration}" if t90 else ""
    if given is not None:
        yield f"FPR gave back {format_percent(given)} of the memory that VMs freed{within}."
    if without is not None:
        yield f"Without it, {format_percent(without) if without.value >= 0.005 else 'nothing'} came back."
    yield from _describe_savings(shown)
    if again is not None and times_count:
        yield f"Allocating again took {again.value:.2g} times as long."


def _describe_savings(shown: ExperimentOutcome) -> Iterator[str]:
    """Yield how much less of the node VMs with FPR take, where the interval shows it, and what share that is of the possible."""
    saved, possible = shown.saved_mean, shown.saved_of_possible
    if saved is None or shown.node_obstacle or SOMETHING.locate(saved) is not IntervalPosition.WITHIN:
        return
    of = f", {format_percent(possible)} of what FPR could save" if possible is not None else ""
    yield f"VMs took {format_percent(saved)} less of the node's memory on average{of}."


def describe_savings_in_full(outcome: ExperimentOutcome) -> Iterator[tuple[str, str]]:
    """Yield what is known of the memory saved, mean and peak, with intervals: what it is about, and a sentence."""
    numbers = (
        (PEAK, outcome.saved_max),
        (POSSIBLE, outcome.saved_of_possible),
        (PEAK_OF_POSSIBLE, outcome.saved_max_of_possible),
    )
    for saving, estimate in numbers:
        if estimate is not None:
            yield saving.about, f"{saving.sentence.format(format_with_interval(estimate))}."


def as_sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].removesuffix('.')}."


def place(experiment: str, words: str) -> str:
    """Return words as a sentence about an experiment; about no one in particular for ""."""
    return as_sentence(f"In {experiment}, {lower_first(words)}" if experiment else words)


def format_percent(estimate: Estimate) -> str:
    return f"{max(estimate.value, 0):.0%}".replace("%", "\u00a0%")


def format_share(value: float) -> str:
    """Return a share as a sentence has it, also one below zero."""
    return format_rounded(value, "fraction").replace("-", "−")


def format_with_interval(estimate: Estimate) -> str:
    """Return a share with its interval, or how many trials it comes from where there is none."""
    value = format_share(estimate.value)
    if estimate.low is None:
        return f"{value} ({'one trial' if estimate.n == 1 else f'{estimate.n} trials'})"
    return f"{value} ({describe_interval(estimate)})".replace("-", "−")
