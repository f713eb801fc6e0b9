"""The advice beside a verdict: who gains by the room that FPR makes, and whose VMs would wait for memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds, IntervalPosition
from freepage.analysis.conclusion import Conclusion, Decision, Reason
from freepage.analysis.paying_words import advise_by_map
from freepage.analysis.strain import Strain
from freepage.records import Arm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.conclusion import VerdictInput
    from freepage.analysis.limits import ExperimentOutcome
    from freepage.analysis.past_strain import PastStrain

# VMs wait longer for memory where the whole interval is above this.
SLOWER = Bounds(above=1.0)
_FOR = frozenset({Decision.ENABLE, Decision.ENABLE_EXCEPT, Decision.MEMORY_ONLY})


def advise(found: VerdictInput, conclusion: Conclusion) -> Iterator[Reason]:
    """Yield whether the node was short of memory, now and before, and where FPR pays by a map; where it gives some back, also who uses it and who pays in time."""
    if found.smoke:
        return
    without, with_fpr = (found.strains.get(arm, Strain()) for arm in (Arm.VM, Arm.VM_FPR))
    was_short = found.past is not None and found.past.is_short
    text = _describe_node(without, with_fpr, was_short=bool(was_short))
    if text:
        yield Reason("node", text)
    yield Reason("node-before", _describe_past(found.past))
    yield from (Reason(*told) for told in advise_by_map(found.paying, times_count=found.times_count))
    if conclusion.decision not in _FOR:
        return
    if all(o.host_io is None for o in found.outcomes):
        yield Reason(
            "host-io",
            "Whether I/O on the host would use the memory that FPR gives back was not measured: experiments of kind host-io do.",
        )
    excepted = {e.outcome.experiment for e in conclusion.excepted}
    for outcome in found.outcomes if found.times_count else ():
        if outcome.experiment not in excepted and _is_slower(outcome):
            yield Reason(f"fast-allocation of {outcome.experiment}", _describe_wait(outcome))


def _describe_node(without: Strain, with_fpr: Strain, *, was_short: bool) -> str:
    """Return whether the node was short of memory, as far as it was seen on each arm; was_short: whether it was before."""
    match without.is_short, with_fpr.is_short:
        case None, None:
            return ""
        case True, False:
            return (
                f"The node was short of memory beside VMs without FPR ({without.describe()}), and not beside VMs with it "
                f"({with_fpr.describe()}): there FPR is relief."
            )
        case _, True:
            return f"The node was short of memory beside VMs with FPR ({with_fpr.describe()}): FPR alone is not enough there."
        case True, None:
            return f"The node was short of memory beside VMs without FPR ({without.describe()})."
    seen = with_fpr if without.is_short is None else without
    words = f"The node was not short of memory in this run ({seen.describe()})"
    if was_short:
        return f"{words}."
    return f"{words}: what FPR gives back is room for more VMs or page cache, not relief."


def _describe_past(past: PastStrain | None) -> str:
    """Return whether the node was short of memory before the run, as far as that is known."""
    if past is None:
        return "Whether the node was short of memory before this run was not asked: a Prometheus knows (--prometheus)."
    if past.is_short is None:
        return "Whether the node was short of memory before this run is not known to the Prometheus that was asked."
    seen = f"In the {past.span} before this run the node was {'' if past.is_short else 'not '}short of memory ({past.describe()})"
    return f"{seen}: memory that VMs give back is relief there." if past.is_short else f"{seen}."


def _is_slower(outcome: ExperimentOutcome) -> bool:
    again = outcome.reallocation or outcome.allocation
    return again is not None and SLOWER.locate(again) is IntervalPosition.WITHIN


def _describe_wait(outcome: ExperimentOutcome) -> str:
    again = outcome.reallocation or outcome.allocation
    assert again is not None  # noqa: S101 - it is slower
    return (
        f"VMs that use memory as those of {outcome.experiment} ({outcome.vms}) wait {again.value:.2g} times as long for it: leave "
        "FPR off for those of them that must answer fast."
    )
