"""One claim of the article: the rule that decides it, and why a run's schedules could leave it undecided. claims.toml is the list."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from freepage.analysis.bounds import Bounds
from freepage.analysis.paths import EstimatePath, parse_path
from freepage.analysis.reach import explain_no_room, explain_no_time, explain_timer, explain_too_slow
from freepage.analysis.significance import EQUIVALENCE_CONFIDENCE
from freepage.analysis.stats import CONFIDENCE
from freepage.kinds import KINDS

if TYPE_CHECKING:
    from freepage.fpr.pace import Pace

# What of the workload makes a limit on CPU reachable.
PACES = {"allocated": "allocated_gib_s", "freed": "freed_gib_s"}


@dataclass(frozen=True)
class Claim:
    """One finding of the article and the rule that decides it; claims.toml explains the fields."""

    id: str
    text: str
    article: str
    number: EstimatePath
    measure: str
    bounds: Bounds
    beside: dict[str, EstimatePath]
    every: bool = False
    same: bool = False
    per: str = ""
    at_peak: bool = False
    in_time: bool = False
    by_timer: bool = False
    crowded: bool = False
    control: EstimatePath | None = None
    finest_s: float | None = None
    provided: EstimatePath | None = None
    otherwise: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of experiment it can be decided from."""
        return tuple(kind.name for kind in KINDS.values() if self.id in kind.claims)

    @property
    def rule(self) -> str:
        """The rule in words."""
        return f"{self.measure}: {self.bounds.describe(self.number.number.unit)}"

    @property
    def confidence(self) -> float:
        """The confidence of the interval that confirms it: two one-sided tests at 5 % for what is to be the same."""
        return EQUIVALENCE_CONFIDENCE if self.same else CONFIDENCE


def load_claims() -> tuple[Claim, ...]:
    """Read the article's claims, in the article's order."""
    text = (resources.files("freepage.analysis") / "claims.toml").read_text(encoding="utf-8")
    return tuple(_parse(table) for table in tomllib.loads(text)["claim"])


def _parse(table: dict[str, Any]) -> Claim:
    bounds = Bounds(**{key: table.pop(key, None) for key in ("at_least", "at_most", "above")})
    beside = {label: parse_path(path) for label, path in table.pop("beside", {}).items()}
    number = parse_path(table.pop("number"))
    provided, control = (
        parse_path(table.pop(key)) if key in table else None for key in ("provided", "control")
    )
    return Claim(number=number, beside=beside, bounds=bounds, provided=provided, control=control, **table)


def explain_pace(claim: Claim, pace: Pace, scale: float) -> str:
    """Return why a claim cannot fail, or cannot hold, at the pace of an experiment; "" where it can do both."""
    at_least, at_most = claim.bounds.at_least, claim.bounds.at_most
    if claim.at_peak:
        return explain_no_room(pace.peak_room)
    if claim.in_time and at_least is not None:
        return explain_no_time(pace.saved_in_time, at_least)
    if claim.by_timer and at_least is not None:
        return explain_timer(pace.delay_s, at_least)
    if claim.per and at_most is not None:
        return explain_too_slow(getattr(pace, PACES[claim.per]), at_most, scale)
    return ""
