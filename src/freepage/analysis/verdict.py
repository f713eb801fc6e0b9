"""The answer, with the rule it follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freepage.records import Arm
from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.analysis.stats import Estimate

ENABLE = "enable"
NO_BENEFIT = "no-benefit"
INCONCLUSIVE = "inconclusive"

# The thresholds a study does not give itself.
DEFAULT_RULE = {
    "min_given_back_fraction": 0.5,
    "max_given_back_fraction_without": 0.1,
    "max_reallocation_penalty": 2.0,
}


@dataclass(frozen=True)
class Verdict:
    """A decision, the sentence a manager reads, the rule with its thresholds, and why."""

    decision: str
    sentence: str
    rule: str
    thresholds: dict[str, float]
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"reasons": list(self.reasons)}


@dataclass(frozen=True)
class Weights:
    """What the verdict weighs; None is not known. times_count: whether times are those of real hardware."""

    given_back: Estimate | None
    given_back_without: Estimate | None
    release_t90: Estimate | None
    penalty: Estimate | None
    times_count: bool


def decide(weights: Weights, rule: Mapping[str, float]) -> Verdict:
    """Decide by the rule: memory must come back with FPR and not without; times count only on real hardware."""
    thresholds = DEFAULT_RULE | dict(rule)
    words = describe_rule(thresholds, weights.times_count)
    decision, reasons = _weigh(weights, thresholds)
    return Verdict(decision, _sentence(decision, weights, reasons), words, thresholds, tuple(reasons))


def describe_rule(thresholds: Mapping[str, float], times_count: bool) -> str:
    """Say the rule in words, thresholds included."""
    least, most = thresholds["min_given_back_fraction"], thresholds["max_given_back_fraction_without"]
    penalty = thresholds["max_reallocation_penalty"]
    text = (
        f"Enable if VMs with FPR give back at least {least:.0%} of what they free (the whole interval), VMs without it at "
        f"most {most:.0%}"
    )
    if times_count:
        return f"{text}, and allocating again takes at most {penalty:g} times as long. Otherwise no benefit, or inconclusive where an interval lies on both sides of a threshold."
    return (
        f"{text}. Allocating again should take at most {penalty:g} times as long, but times measured under emulation do not "
        "decide. Inconclusive where an interval lies on both sides of a threshold."
    )


def _weigh(weights: Weights, thresholds: Mapping[str, float]) -> tuple[str, list[str]]:
    given, without = weights.given_back, weights.given_back_without
    if given is None:
        return INCONCLUSIVE, ["No trial with FPR measured a release."]
    side = _compare(given, thresholds["min_given_back_fraction"])
    if side == "below":
        return NO_BENEFIT, [f"VMs with FPR gave back only {_percent(given)} of what they freed."]
    if side == "both":
        return INCONCLUSIVE, [
            f"The interval for memory given back, {_interval(given)}, lies on both sides of the threshold."
        ]
    reasons = [f"VMs with FPR gave back {_percent(given)} of what they freed."]
    if without is None:
        return INCONCLUSIVE, [*reasons, "No trial without FPR shows what would have happened otherwise."]
    if without.value > thresholds["max_given_back_fraction_without"]:
        return INCONCLUSIVE, [
            *reasons,
            f"VMs without FPR gave back {_percent(without)}, which FPR cannot explain.",
        ]
    reasons.append(f"VMs without FPR gave back {_percent(without)}.")
    return _weigh_times(weights, thresholds, reasons)


def _weigh_times(
    weights: Weights, thresholds: Mapping[str, float], reasons: list[str]
) -> tuple[str, list[str]]:
    penalty = weights.penalty
    if penalty is None:
        return ENABLE, [*reasons, "The price of allocating again was not measured."]
    reasons.append(f"Allocating again took {penalty.value:.2g} times as long as without FPR.")
    if not weights.times_count:
        return ENABLE, [*reasons, "Times under emulation do not decide."]
    side = _compare(penalty, thresholds["max_reallocation_penalty"])
    if side == "above":
        return NO_BENEFIT, [*reasons, "That is more than the rule allows."]
    if side == "both":
        return INCONCLUSIVE, [
            *reasons,
            f"Its interval, {penalty.low:.2g} to {penalty.high:.2g}, lies on both sides.",
        ]
    return ENABLE, reasons


def _compare(estimate: Estimate, threshold: float) -> str:
    """Say on which side of a threshold the whole interval lies: below, above or both; the value where there is none."""
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    return "below" if high < threshold else "above" if low >= threshold else "both"


def _sentence(decision: str, weights: Weights, reasons: list[str]) -> str:
    if decision == INCONCLUSIVE or weights.given_back is None:
        return "This run does not decide. " + " ".join(reasons[-1:])
    if decision == NO_BENEFIT:
        return "Leave it off: " + _lower(reasons[-2] if len(reasons) > 1 else reasons[-1])
    return " ".join(filter(None, _findings(weights, weights.given_back)))


def _findings(weights: Weights, given: Estimate) -> tuple[str, ...]:
    """Give what an enabled verdict says, one sentence each; times only where they are those of hardware."""
    t90, without, penalty = weights.release_t90, weights.given_back_without, weights.penalty
    within = f", 90\u00a0% within {format_duration(round(t90.value, 1))}" if t90 else ""
    other = _percent(without) if without and without.value >= 0.005 else "nothing"
    again = (
        f"Allocating again took {penalty.value:.2g} times as long." if penalty and weights.times_count else ""
    )
    return (
        f"Turn it on: FPR gave back {_percent(given)} of the memory that VMs freed{within}.",
        f"Without it, {other} came back.",
        again,
        "That is one trial: repeat it before you rely on it." if given.n == 1 else "",
    )


def _lower(text: str) -> str:
    return text if text.startswith("VMs") else text[:1].lower() + text[1:]


def _percent(estimate: Estimate) -> str:
    return f"{max(estimate.value, 0):.0%}".replace("%", "\u00a0%")


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _percent(estimate)
    return f"{estimate.low:.0%} to {estimate.high:.0%}".replace("%", "\u00a0%")


__all__ = ["ENABLE", "INCONCLUSIVE", "NO_BENEFIT", "Arm", "Verdict", "Weights", "decide"]
