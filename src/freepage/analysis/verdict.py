"""The answer, with the rule it follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, Side
from freepage.analysis.prices import CostReport, ExperimentOutcome, judge_prices
from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.stats import Estimate
    from freepage.records import VerdictRule

ENABLE = "enable"
ENABLE_EXCEPT = "enable-except"
NO_BENEFIT = "no-benefit"
INCONCLUSIVE = "inconclusive"

# How many times as fast I/O on the host must be beside VMs with FPR to be named in the answer.
WORTH_NAMING = Bounds(at_least=1.1)
_SHORT_OF = {
    Side.BEYOND: "which does not meet the rule",
    Side.BOTH: "on both sides of the threshold",
}
ONLY_TRIED = "At this scale experiments are only tried: leave out --scale to measure."
SWITCH_OFF = (
    'For the exceptions, set the annotation kubevirt.io/free-page-reporting-disabled: "true" (in QEMU: free-page-reporting=off) '
    "and restart them."
)
WHERE_TO_SWITCH = (
    "On KubeVirt the annotation belongs in the VM's spec.template.metadata.annotations; in QEMU the property is the "
    "balloon device's. Either way a running VM stays as it is until it is stopped and started."
)


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
class VerdictInput:
    """What the verdict weighs: the headline experiment, then the others.

    times_count: whether times, CPU and throughput are those of real hardware. smoke: whether the experiments were cut
    short, which shows that they run and no more.
    """

    headline: ExperimentOutcome
    others: tuple[ExperimentOutcome, ...]
    times_count: bool
    smoke: bool = False


@dataclass(frozen=True)
class Answer:
    """A decision and why; the experiments whose VMs are excepted, and the one that shows what FPR gives."""

    decision: str
    why: str = ""
    excepted: tuple[CostReport, ...] = ()
    shown: ExperimentOutcome | None = None


def decide(weights: VerdictInput, rule: VerdictRule) -> Verdict:
    """Decide by the rule: memory must come back with FPR and not without; prices count only on real hardware."""
    bills = tuple(judge_prices(weighed, rule) for weighed in (weights.headline, *weights.others))
    answer = _weigh_memory(weights.headline, rule)
    if weights.smoke and (answer is None or answer.decision != INCONCLUSIVE):
        answer = Answer(INCONCLUSIVE, ONLY_TRIED)
    if answer is None:
        counted = bills if weights.times_count else ()
        answer = _weigh_prices(counted, rule) or Answer(ENABLE, shown=weights.headline)
    reasons = list(_reasons(weights, bills, answer, rule))
    if answer.decision == INCONCLUSIVE and not any(r.endswith(answer.why[1:]) for r in reasons):
        reasons.append(answer.why)
    words = describe_rule(rule, weights.times_count)
    return Verdict(answer.decision, _sentence(answer, weights), words, asdict(rule), tuple(reasons))


def describe_rule(rule: VerdictRule, times_count: bool) -> str:
    """Say the rule in words, thresholds included."""
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


def _weigh_memory(headline: ExperimentOutcome, rule: VerdictRule) -> Answer | None:
    """Give the answer where memory alone settles it; None where prices have a say."""
    given, without = headline.given_back, headline.given_back_without
    if given is None:
        return Answer(INCONCLUSIVE, "No trial with FPR measured a release.")
    side = _judge_memory(given, rule)
    if side is Side.BEYOND:
        return Answer(NO_BENEFIT, f"VMs with FPR gave back only {_percent(given)} of what they freed.")
    if side is Side.BOTH:
        interval = _interval(given)
        return Answer(
            INCONCLUSIVE,
            f"The interval for memory given back, {interval}, lies on both sides of the threshold.",
        )
    if without is None:
        return Answer(INCONCLUSIVE, "No trial without FPR shows what would have happened otherwise.")
    if without.value > rule.max_given_back_fraction_without:
        return Answer(
            INCONCLUSIVE, f"VMs without FPR gave back {_percent(without)}, which FPR cannot explain."
        )
    return None


def _weigh_prices(bills: tuple[CostReport, ...], rule: VerdictRule) -> Answer | None:
    """Give the answer where a price settles it: the headline's straddles a limit, or some VMs pay too much."""
    if bills and bills[0].side is Side.BOTH:
        return Answer(INCONCLUSIVE, _sentence_of(bills[0].on(Side.BOTH)[0].words))
    paying = tuple(b for b in bills if b.side is Side.BEYOND)
    gaining = [b.weighed for b in bills if b not in paying and _gains(b, rule)]
    if paying and gaining:
        return Answer(ENABLE_EXCEPT, excepted=paying, shown=gaining[0])
    if paying:
        return Answer(NO_BENEFIT, _sentence_of("; ".join(b.too_high for b in paying)))
    return None


def _gains(bill: CostReport, rule: VerdictRule) -> bool:
    """Say whether an experiment measured a price, and its VMs gave back what the rule asks for."""
    given = bill.weighed.given_back
    return bill.side is not None and given is not None and _judge_memory(given, rule) is Side.WITHIN


def _judge_memory(given: Estimate, rule: VerdictRule) -> Side:
    return Bounds(at_least=rule.min_given_back_fraction).judge(given)


def _reasons(
    weights: VerdictInput, bills: tuple[CostReport, ...], answer: Answer, rule: VerdictRule
) -> Iterator[str]:
    """Say how the run meets the rule: memory, prices, gains, and what settled it."""
    yield from _memory_reasons(weights, rule)
    for each in bills:
        where = f"In {each.weighed.experiment}, " if weights.others else ""
        for price in each.prices:
            yield _sentence_of(where + (price.words if weights.times_count else price.text))
    if not any(each.prices for each in bills):
        yield "The price of FPR was not measured."
    elif not weights.times_count:
        yield "Times, CPU and throughput under emulation do not decide."
    for ratio in (w.host_io for w in (weights.headline, *weights.others) if w.host_io is not None):
        yield f"I/O on the host ran {ratio.value:.2g} times as fast beside VMs with FPR as beside VMs without."
    if answer.excepted:
        yield WHERE_TO_SWITCH


def _memory_reasons(weights: VerdictInput, rule: VerdictRule) -> Iterator[str]:
    given, without = weights.headline.given_back, weights.headline.given_back_without
    if given is not None:
        only = "only " if _judge_memory(given, rule) is Side.BEYOND else ""
        yield f"VMs with FPR gave back {only}{_percent(given)} of what they freed."
    if without is not None:
        yield f"VMs without FPR gave back {_percent(without)}."
    for other in weights.others:
        side = None if other.given_back is None else _judge_memory(other.given_back, rule)
        if other.given_back is not None and side in _SHORT_OF:
            yield f"In {other.experiment} they gave back {_interval(other.given_back)}, {_SHORT_OF[side]}."


def _sentence(answer: Answer, weights: VerdictInput) -> str:
    if answer.decision == INCONCLUSIVE:
        return f"This run does not decide. {answer.why}"
    if answer.decision == NO_BENEFIT or answer.shown is None:
        return f"Leave it off: {_lower(answer.why)}"
    parts = (
        _opening(answer),
        *_findings(answer.shown, weights),
        _host_io(weights),
        "That is one trial: repeat it before you rely on it." if _rests_on_one_trial(answer) else "",
        SWITCH_OFF if answer.excepted else "",
    )
    return " ".join(filter(None, parts))


def _opening(answer: Answer) -> str:
    if not answer.excepted:
        return "Turn it on:"
    vms = " and ".join(f"{b.weighed.experiment} ({b.weighed.vms}: {b.too_high})" for b in answer.excepted)
    return f"Turn it on, except for the VMs of {vms}. Elsewhere"


def _findings(shown: ExperimentOutcome, weights: VerdictInput) -> Iterator[str]:
    """Give what FPR brought in one experiment; times only where they are those of hardware."""
    given, t90, without, again = (
        shown.given_back,
        shown.release_t90,
        shown.given_back_without,
        shown.reallocation,
    )
    duration = format_duration(round(t90.value, 1)).replace(" ", "\u00a0") if t90 else ""
    within = f", 90\u00a0% within {duration}" if t90 else ""
    if given is not None:
        yield f"FPR gave back {_percent(given)} of the memory that VMs freed{within}."
    if without is not None:
        yield f"Without it, {_percent(without) if without.value >= 0.005 else 'nothing'} came back."
    if again is not None and weights.times_count:
        yield f"Allocating again took {again.value:.2g} times as long."


def _host_io(weights: VerdictInput) -> str:
    """Name the gain of I/O on the host, where the whole interval shows one."""
    ratios = [w.host_io for w in (weights.headline, *weights.others) if w.host_io is not None]
    gains = [r for r in ratios if WORTH_NAMING.judge(r) is Side.WITHIN]
    return f"I/O on the host ran {gains[0].value:.2g} times as fast beside them." if gains else ""


def _rests_on_one_trial(answer: Answer) -> bool:
    given = answer.shown.given_back if answer.shown else None
    counts = [p.n for b in answer.excepted for p in b.on(Side.BEYOND)]
    return 1 in counts or (given is not None and given.n == 1)


def _sentence_of(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _lower(text: str) -> str:
    return text if text.startswith(("VMs", "FPR", "I/O")) else text[:1].lower() + text[1:]


def _percent(estimate: Estimate) -> str:
    return f"{max(estimate.value, 0):.0%}".replace("%", "\u00a0%")


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _percent(estimate)
    return f"{estimate.low:.0%} to {estimate.high:.0%}".replace("%", "\u00a0%")
