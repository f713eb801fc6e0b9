"""The claims that a planned trial cannot decide, whatever it measures: from its schedules alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.claim import explain_pace, load_claims

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.fpr.pace import Pace
    from freepage.kinds import Kind


def foresee_undecidable(kind: Kind, pace: Pace, scale: float) -> Iterator[tuple[str, str]]:
    """Yield the claims that experiments of a kind could decide, and at this pace cannot, each with the reason."""
    for claim in load_claims():
        reason = explain_pace(claim, pace, scale) if claim.id in kind.claims else ""
        if reason:
            yield claim.text, reason
