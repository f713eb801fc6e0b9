"""Words and styles of decisions: the verdict's, and those on the article's claims."""

from __future__ import annotations

from freepage.analysis.claims import ClaimDecision
from freepage.analysis.conclusion import Decision

DECISION_WORDS = {
    Decision.ENABLE: "Enable",
    Decision.ENABLE_EXCEPT: "Enable, with exceptions",
    Decision.MEMORY_ONLY: "Memory comes back, price open",
    Decision.NO_BENEFIT: "No benefit",
    Decision.INCONCLUSIVE: "Inconclusive",
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
}
