"""The answer, with the rule it follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freepage.analysis.conclusion import Decision, check_all, conclude
from freepage.analysis.paying_words import sum_up_paying
from freepage.analysis.sentences import describe_rule
from freepage.analysis.verdict_words import find_reasons, write_sentence

if TYPE_CHECKING:
    from freepage.analysis.conclusion import Conclusion, VerdictInput
    from freepage.records import VerdictRule


@dataclass(frozen=True)
class Verdict:
    """A decision, the sentence a manager reads, the rule with its thresholds, and why.

    headline: the experiment it rests on. seen_in_trials: how many trials were seen to meet the rule where only more of them
    are missing to decide, of the headline or else of the first other experiment; None otherwise.
    """

    decision: Decision
    sentence: str
    rule: str
    thresholds: dict[str, float]
    reasons: tuple[str, ...]
    headline: str = ""
    seen_in_trials: int | None = None


def decide(found: VerdictInput, rule: VerdictRule) -> Verdict:
    """Decide by the rule: memory must come back with FPR and not without; costs count only on real hardware."""
    checks = check_all(found, rule)
    conclusion = conclude(found, checks)
    reasons = list(find_reasons(found, checks, conclusion))
    told = {reason.about for reason in reasons}
    if conclusion.reason.text and conclusion.reason.about not in told:
        reasons.append(conclusion.reason)
    limits = {name: value for name, value in asdict(rule).items() if name != "headline" and value is not None}
    return Verdict(
        conclusion.decision,
        _write_sentence(conclusion, found),
        describe_rule(rule, found.times_count),
        limits,
        tuple(reason.text for reason in reasons),
        found.headline.experiment,
        conclusion.few.seen if conclusion.few else None,
    )


def _write_sentence(conclusion: Conclusion, found: VerdictInput) -> str:
    """Return the answer, and from which idle time on FPR pays where a map shows it and memory comes back at all."""
    says_nothing = found.smoke or conclusion.decision is Decision.NO_BENEFIT
    paying = "" if says_nothing else sum_up_paying(found.paying, times_count=found.times_count)
    return " ".join(filter(None, (write_sentence(conclusion, found), paying)))
