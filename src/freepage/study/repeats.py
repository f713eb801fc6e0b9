"""The number of repeats: how many decide, and how small a difference so many can show."""

from __future__ import annotations

import math

# The default: with fewer, shares cannot be decided by all trials lying on one side (1 - 2^(1-n) is 94 % for 5).
ENOUGH_REPEATS = 5
# With fewer there is no interval that means anything, and nothing is decided.
LEAST_REPEATS = 3
POWER = 0.8
CONFIDENCE = 0.95
# How much trials may vary, as a share of their mean: what equal trials of VMs did on a quiet host, and on a busy one.
ASSUMED_VARIATIONS = (0.02, 0.05)


def detectable_ratio(repeats: int, variation: float) -> float | None:
    """Return the ratio of two arms that `repeats` pairs of trials show at 95 % with a power of 80 %; None for fewer than 2.

    `variation`: the standard deviation of a trial, as a share of its mean, of both arms alike. Of a paired Student's t on
    logarithms it is exp((t(0.975) + t(0.8)) x s x sqrt(2 / n)), t with n - 1 degrees of freedom, s of the logarithms
    (s^2 = log(1 + variation^2)).
    """
    from scipy.special import stdtrit

    if repeats < 2:
        return None
    quantiles = sum(float(stdtrit(repeats - 1, p)) for p in (0.5 + CONFIDENCE / 2, POWER))
    spread = math.sqrt(math.log1p(variation**2))
    return math.exp(quantiles * spread * math.sqrt(2 / repeats))


def describe_repeats(repeats: int) -> str:
    """Describe what so many repeats can decide, and what difference between arms they can see."""
    if repeats < LEAST_REPEATS:
        few = "1 repeat decides" if repeats == 1 else f"{repeats} repeats decide"
        return f"{few} nothing; {ENOUGH_REPEATS} do"
    seen = ", ".join(
        f"from {_show_difference(repeats, variation)} where trials vary by {variation:.0%}".replace("%", " %")
        for variation in ASSUMED_VARIATIONS
    )
    sentence = f"{repeats} repeats can show differences {seen}"
    return sentence if repeats >= ENOUGH_REPEATS else f"{sentence}; they confirm nothing, {ENOUGH_REPEATS} do"


def _show_difference(repeats: int, variation: float) -> str:
    ratio = detectable_ratio(repeats, variation)
    return "nothing" if ratio is None else f"{(ratio - 1) * 100:.1f}%"
