"""The doubt about forecasts: whether VMs without FPR told what those with it would have on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.compared import Comparison
from freepage.analysis.definition import Area
from freepage.analysis.doubts.base import Doubt
from freepage.analysis.doubts.run import LEAST_TRIALS

if TYPE_CHECKING:
    from freepage.analysis.doubts.base import DoubtInput

# A forecast is off where it differs from what was measured by more than this share of it.
MOST_OFF = 0.05
_WORDS = {
    Comparison.FORECAST_SETTLED_RATIO: "the settled footprint",
    Comparison.FORECAST_GIB_S_RATIO: "resident memory over the trial",
}
_TOO_LOW = (
    "Likely causes of more memory than forecast: QEMU throws reports away or the host gives whole large pages only, passes come later "
    "than the guests' delay, or guests with FPR use memory that those without it do not, as their page cache shows."
)
_TOO_HIGH = (
    "Likely causes of less memory than forecast: swap, same-page merging or a balloon takes some, guests report a lower order than they "
    "show, or VMs without FPR keep what they touched at boot and never use it again, which makes the forecast too high."
)


def find_forecast_off(found: DoubtInput, experiment: str) -> Doubt | None:
    """Return a doubt where forecast and measurement are more than 5 % apart, over three blocks; passes have a doubt of their own."""
    seen = {number: found.experiments[experiment].compared(number) for number in _WORDS}
    off = {
        number: ratio.value - 1
        for number, ratio in seen.items()
        if ratio is not None and ratio.n >= LEAST_TRIALS and abs(ratio.value - 1) > MOST_OFF
    }
    if not off or found.run.manifest.smoke:
        return None
    words = " and ".join(f"{_WORDS[number]} by {share:+.0%}" for number, share in off.items())
    return Doubt(
        "forecast-off",
        f"In {experiment} the forecast from VMs without FPR missed what those with it did: {words}.",
        " ".join(
            remedy
            for remedy, applies in (
                (_TOO_LOW, min(off.values()) < 0),
                (_TOO_HIGH, max(off.values()) > 0),
            )
            if applies
        ),
        Area.MEMORY,
        experiment,
    )
