"""Words and styles of decisions: the verdict's, and those on the article's claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.claims import ClaimDecision
from freepage.analysis.conclusion import Decision

if TYPE_CHECKING:
    from freepage.analysis.verdict import Verdict

DECISION_WORDS = {
    Decision.ENABLE: "Enable",
    Decision.ENABLE_EXCEPT: "Enable, with exceptions",
    Decision.MEMORY_ONLY: "Memory comes back, price open",
    Decision.NO_BENEFIT: "No benefit",
    Decision.INCONCLUSIVE: "Inconclusive",
    Decision.EQUAL_ARMS: "A/A test",
}
CLAIM_DECISION_WORDS = {
    ClaimDecision.CONFIRMED: "confirmed",
    ClaimDecision.CONTRADICTED: "contradicted",
    ClaimDecision.NOT_DECIDABLE: "not decidable",
}
# In a terminal.
DECISION_STYLES = {
    Decision.ENABLE: "bold black on green",
    Decision.ENABLE_EXCEPT: "bold black on green",
    Decision.MEMORY_ONLY: "bold black on cyan",
    Decision.NO_BENEFIT: "bold black on yellow",
    Decision.INCONCLUSIVE: "bold reverse",
    Decision.EQUAL_ARMS: "bold reverse",
}


def name_decision(verdict: Verdict) -> str:
    """Return the decision in the two or three words of a badge."""
    if verdict.decision is Decision.INCONCLUSIVE and verdict.seen_in_trials:
        return "Seen, not decided"
    return DECISION_WORDS[verdict.decision]
