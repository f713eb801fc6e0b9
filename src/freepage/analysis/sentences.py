"""The words of the verdict: its rule, what FPR brought, and numbers as a sentence has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.limits import ExperimentOutcome
    from freepage.analysis.stats import Estimate
    from freepage.records import VerdictRule


def describe_rule(rule: VerdictRule, times_count: bool) -> str:
    """Return the rule in words, thresholds included."""
    least, most = rule.min_given_back_fraction, rule.max_given_back_fraction_without
    beyond = (
        "VMs whose price is beyond a limit are excepted while others gain; if none gain, there is no benefit."
        if times_count
        else "These are times, CPU and throughput; measured under emulation they do not decide."
    )
    return (
        f"Enable if VMs with FPR give back at least {least:.0%} of what they free, VMs without it at most {most:.0%}, and the "
        f"price is within limits: allocating again takes at most {rule.max_reallocation_penalty:g} times as long; FPR adds "
        f"at most {rule.max_extra_cpu_s_per_gib:g} s of CPU per GiB given back or at most "
        f"{rule.max_extra_cpu_cores_per_vm:g} core per VM; I/O in guests is at least {rule.min_io_ratio:g} times as "
        f"fast. {beyond} Whole intervals decide: where that of the headline experiment lies on both sides of a threshold, the "
        "run is inconclusive."
    )


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
    if again is not None and times_count:
        yield f"Allocating again took {again.value:.2g} times as long."


def as_sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def lower_first(text: str) -> str:
    """Return a sentence as the end of another one."""
    return text if text.startswith(("VMs", "FPR", "I/O")) else text[:1].lower() + text[1:]


def format_percent(estimate: Estimate) -> str:
    return f"{max(estimate.value, 0):.0%}".replace("%", "\u00a0%")


def format_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return format_percent(estimate)
    return f"{estimate.low:.0%} to {estimate.high:.0%}".replace("%", "\u00a0%")
