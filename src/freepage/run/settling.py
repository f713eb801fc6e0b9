"""Waits until memory is steady: the node's before a trial's instances start, and all of it before the trial's zero."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from freepage.fpr.mechanics import PASS_DELAY_S
from freepage.fpr.release import longest_release_s
from freepage.metrics import node_in_use_bytes, sum_known
from freepage.records import NODE
from freepage.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from freepage.records import SampleLine

# Memory is steady when it moved by at most this over a span with at least so many samples.
STEADY_BYTES = 16 * MIB
STEADY_SAMPLES = 3
NODE_SPAN_S = 2.0
NODE_DEADLINE_S = 10.0
# A trial that does not settle waits for no longer than this for so many steady samples of the node.
BRIEF_DEADLINE_S = 8.0
# Before the zero, on every arm: long enough that a guest would have made its next pass and the one after it. A guest
# that reports all its free memory after its boot is through within its most passes.
QUIET_SPAN_S = 2 * PASS_DELAY_S
QUIET_DEADLINE_S = longest_release_s()
# A tick can be a little early against the one before it.
JITTER_S = 0.05


class SteadyWaiter:
    """The samples of a trial before its zero, in order, and waits for their memory to be steady."""

    def __init__(self) -> None:
        self.lines: list[SampleLine] = []
        self._arrived = asyncio.Event()

    def take(self, line: SampleLine) -> None:
        self.lines.append(line)
        self._arrived.set()

    async def wait(self, is_steady: Callable[[Sequence[SampleLine]], bool], deadline_s: float) -> bool:
        """Wait until the samples are steady, for `deadline_s` at most; return whether they were."""
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while not is_steady(self.lines):
                    self._arrived.clear()
                    await self._arrived.wait()
                return True
        return False


def is_node_steady(lines: Sequence[SampleLine], span_s: float) -> bool:
    """Return whether the node's memory in use has been steady for `span_s`; what is not known is not steady."""
    window = _last(lines, span_s)
    return window is not None and _moved_little([node_in_use_bytes(line.values[NODE]) for line in window])


def are_instances_steady(lines: Sequence[SampleLine], names: Collection[str], span_s: float) -> bool:
    """Return whether each instance has been sampled for `span_s` and its resident memory been steady, where it is known."""
    window = _last(lines, span_s)
    if window is None or any(name not in line.values for line in window for name in names):
        return False
    return all(_is_resident_steady(window, name) for name in names)


def are_reports_over(lines: Sequence[SampleLine], names: Collection[str], span_s: float) -> bool:
    """Return whether the number of handled reports of each instance has been the same for `span_s`.

    The number is read less often than memory: it counts from the first reading that has the latest value.
    """
    return all(_have_reports_ended(lines, name, span_s) for name in names)


def _last(lines: Sequence[SampleLine], span_s: float) -> Sequence[SampleLine] | None:
    """Return the latest samples that span at least `span_s`; None where there are too few."""
    for first in range(len(lines) - STEADY_SAMPLES, -1, -1):
        if lines[-1].t_s - lines[first].t_s >= span_s - JITTER_S:
            return lines[first:]
    return None


def _moved_little(values: Sequence[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return len(known) == len(values) and max(known) - min(known) <= STEADY_BYTES


def _is_resident_steady(lines: Sequence[SampleLine], name: str) -> bool:
    readings = (line.values[name] for line in lines)
    resident = [sum_known((r.get("rss_bytes"), r.get("swap_bytes"))) for r in readings]
    known = [value for value in resident if value is not None]
    return not known or _moved_little(known)


def _have_reports_ended(lines: Sequence[SampleLine], name: str, span_s: float) -> bool:
    counts = [
        (line.t_s, count)
        for line in lines
        if (count := line.values.get(name, {}).get("reports_handled")) is not None
    ]
    if not counts:
        return False
    changes = [t_s for (_, before), (t_s, after) in pairwise(counts) if after != before]
    since_s = changes[-1] if changes else counts[0][0]
    return counts[-1][0] - since_s >= span_s - JITTER_S
