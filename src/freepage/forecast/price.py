"""The price of memory that is taken again: how often a forecast expects it x what a run on such hardware measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.forecast.trace import LikelyRange

if TYPE_CHECKING:
    from freepage.analysis.stats import Estimate


@dataclass(frozen=True)
class Price:
    """The cost of FPR for each GiB that is taken again, as a run measured it on its host; None where it did not.

    run: its folder. experiment: that of its headline. wait_s_per_gib: by how much longer later allocations take with FPR.
    cpu_s_per_gib: CPU time that FPR adds for each GiB given back. emulated: its guests ran without hardware's help.
    paying: by a run's map, for which VMs FPR pays, a sentence for each of its lines.
    """

    run: str
    experiment: str
    wait_s_per_gib: Estimate | None
    cpu_s_per_gib: Estimate | None
    emulated: bool
    paying: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """All that the run cannot tell of the price, and why."""
        found = []
        if self.wait_s_per_gib is None:
            found.append(
                f"How long memory takes to be had again: {self.run} has no later allocations on both arms."
            )
        if self.cpu_s_per_gib is None:
            found.append(f"What FPR costs in CPU: {self.run} did not measure it.")
        if self.emulated:
            found.append(
                f"The price on real hardware: {self.run} ran under emulation, whose times are its own."
            )
        return tuple(found)


def price_per_hour(reused_gib_per_hour: float | None, per_gib: Estimate | None) -> LikelyRange:
    """Return seconds an hour, with the interval of what was measured; None where either is not known."""
    if reused_gib_per_hour is None or per_gib is None:
        return LikelyRange(None, None, None)
    ends = (per_gib.low, per_gib.value, per_gib.high)
    return LikelyRange(*(None if end is None else end * reused_gib_per_hour for end in ends))
