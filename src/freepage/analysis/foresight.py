"""The claims that a planned trial cannot decide, whatever it measures: from its schedules alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.claims import PACES, load_claims
from freepage.analysis.reach import explain_no_room, explain_no_time, explain_too_slow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.claims import Claim
    from freepage.fpr.pace import Pace
    from freepage.kinds import Kind


def foresee_undecidable(kind: Kind, pace: Pace, scale: float) -> Iterator[tuple[str, str]]:
    """Yield the claims that experiments of a kind could decide, and at this pace cannot, each with the reason."""
    for claim in load_claims():
        reason = _explain(claim, pace, scale) if claim.id in kind.claims else ""
        if reason:
            yield claim.text, reason


def _explain(claim: Claim, pace: Pace, scale: float) -> str:
    """Return why a claim cannot fail, or cannot hold, at a pace; "" where it can do both."""
    if claim.at_peak:
        return explain_no_room(pace.peak_room)
    if claim.in_time and claim.bounds.at_least is not None:
        return explain_no_time(pace.saved_in_time, claim.bounds.at_least)
    if claim.per and claim.bounds.at_most is not None:
        return explain_too_slow(getattr(pace, PACES[claim.per]), claim.bounds.at_most, scale)
    return ""
