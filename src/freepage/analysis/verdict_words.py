"""The sentences of the verdict: the one a manager reads, and the reasons below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.advice import advise
from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.conclusion import Conclusion, Decision, Reason
from freepage.analysis.sentences import describe_gains, describe_savings_in_full, place
from freepage.analysis.undecided import describe_interval, lower_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.conclusion import Checks, VerdictInput

# How many times as fast I/O on the host must be beside VMs with FPR to be named in the answer.
WORTH_NAMING = Bounds(at_least=1.1)
SWITCH_OFF = (
    'For the exceptions, set the annotation kubevirt.io/free-page-reporting-disabled: "true" (in QEMU: free-page-reporting=off) '
    "and restart them."
)
WHERE_TO_SWITCH = (
    "On KubeVirt the annotation belongs in the VM's spec.template.metadata.annotations; in QEMU the property is the "
    "balloon device's. Either way a running VM stays as it is until it is stopped and started."
)


def find_reasons(found: VerdictInput, checks: Checks, conclusion: Conclusion) -> Iterator[Reason]:
    """Yield how the run meets the rule: memory, costs, gains, and how to act on it."""
    told = {check.about: check.text for check in checks.headline}
    savings = dict(describe_savings_in_full(found.headline))
    yield from (Reason(*pair) for pair in (told | savings | told).items())
    for name, check in checks.others.items():
        if check.position is not IntervalPosition.WITHIN:
            yield Reason(check.about, place(name, check.text))
    for report in checks.costs:
        where = report.outcome.experiment if found.others else ""
        for cost in report.checks:
            words = cost.words if found.times_count else cost.text
            yield Reason(f"{cost.cost} of {report.outcome.experiment}", place(where, words))
    if not any(report.checks for report in checks.costs):
        yield Reason("costs", "The price of FPR was not measured.")
    elif not found.times_count:
        yield Reason("emulation", "Times, CPU and throughput under emulation do not decide.")
    yield from _host_io_reasons(found)
    yield from advise(found, conclusion)
    if conclusion.excepted:
        yield Reason("switching", WHERE_TO_SWITCH)


def _host_io_reasons(found: VerdictInput) -> Iterator[Reason]:
    for ratio in (o.host_io for o in found.outcomes if o.host_io is not None):
        trials = "one trial" if ratio.n == 1 else f"{ratio.n} trials"
        interval = f"{describe_interval(ratio)}, {trials}" if ratio.low is not None else trials
        text = f"I/O on the host ran {ratio.value:.2g} times as fast beside VMs with FPR as beside VMs without ({interval})."
        yield Reason("host-io", text)


def write_sentence(conclusion: Conclusion, found: VerdictInput) -> str:
    """Return the answer in the words a manager reads."""
    if conclusion.decision is Decision.INCONCLUSIVE:
        return _write_inconclusive(conclusion, found)
    if conclusion.decision is Decision.NO_BENEFIT or conclusion.shown is None:
        return f"Leave it off: {lower_first(conclusion.reason.text)}"
    parts = (
        _open_sentence(conclusion, found),
        *describe_gains(conclusion.shown, times_count=found.times_count),
        _describe_host_io(found),
        conclusion.reason.text if _names_open_price(conclusion, found) else "",
        SWITCH_OFF if conclusion.excepted else "",
    )
    return " ".join(filter(None, parts))


def _write_inconclusive(conclusion: Conclusion, found: VerdictInput) -> str:
    if conclusion.few is None or conclusion.shown is None:
        return f"This run does not decide. {conclusion.reason.text}"
    few = conclusion.few
    trials = "one trial" if few.seen == 1 else f"{few.seen} trials"
    gains = " ".join(describe_gains(conclusion.shown, times_count=found.times_count))
    if not few.where:
        return f"Seen in {trials}, not decided: {gains} {few.least} trials can decide it (--repeats {few.least})."
    return (
        f"Seen in {conclusion.shown.experiment}, not decided: {gains} In {few.where} {trials} "
        f"{'shows' if few.seen == 1 else 'show'} that memory comes back, and {few.least} can decide it (--repeats {few.least})."
    )


def _open_sentence(conclusion: Conclusion, found: VerdictInput) -> str:
    outcomes = ((e.outcome, e.words) for e in conclusion.excepted)
    vms = " and ".join(f"{outcome.experiment} ({outcome.vms}: {words})" for outcome, words in outcomes)
    if conclusion.decision is not Decision.MEMORY_ONLY:
        return f"Turn it on, except for the VMs of {vms}. Elsewhere" if vms else "Turn it on:"
    what = "its price is open" if found.times_count else "measure the price on real hardware"
    return (
        f"Memory comes back, except in VMs of {vms}; {what}. Elsewhere"
        if vms
        else f"Memory comes back; {what}:"
    )


def _names_open_price(conclusion: Conclusion, found: VerdictInput) -> bool:
    return conclusion.decision is Decision.MEMORY_ONLY and found.times_count


def _describe_host_io(found: VerdictInput) -> str:
    """Return the gain of I/O on the host, where the whole interval shows one."""
    ratios = [o.host_io for o in found.outcomes if o.host_io is not None and found.times_count]
    gains = [r for r in ratios if WORTH_NAMING.locate(r) is IntervalPosition.WITHIN]
    return f"I/O on the host ran {gains[0].value:.2g} times as fast beside them." if gains else ""
