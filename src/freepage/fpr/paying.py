"""GiB x s that a block's idle time saves by the kernel's pace, against those for which the block is waited for again.

Both are GiB x s: memory that others can use meanwhile, and memory that is held while somebody waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.fpr.mechanics import USUAL_PASSES
from freepage.fpr.pace import integrate_staircase
from freepage.fpr.release import predicted_release
from freepage.units import GIB

if TYPE_CHECKING:
    from freepage.fpr.mechanics import Passes


def saved_s(idle_s: float, block_bytes: float, passes: Passes = USUAL_PASSES) -> float:
    """Return the GiB x s that FPR saves for each GiB of a block that is left free for `idle_s`: seconds, 0 up to the first pass.

    The integral of the kernel's staircase, for a block that lies alone in its list, which is slowest.
    """
    return integrate_staircase(predicted_release(round(block_bytes), passes=passes), idle_s)


def share_back(idle_s: float, block_bytes: float, passes: Passes = USUAL_PASSES) -> float:
    """Return the share of a block that is back on the host once it has been free for `idle_s`."""
    steps = predicted_release(round(block_bytes), passes=passes)
    return max((share for t_s, share in steps if t_s <= idle_s), default=0.0)


def break_even_s(block_bytes: float, price_s_per_gib: float, passes: Passes = USUAL_PASSES) -> float:
    """Return the idle time (s) from which on a block always saves more GiB x s than are waited for when it is allocated again.

    price_s_per_gib: how much longer it takes to allocate a GiB that had left the host; below 0 it counts as 0. All of the
    block is held while it is waited for, so a wait costs its seconds times the block. Before the first pass nothing is
    saved and nothing waited for; each pass adds to the price at once, and to what is saved from then on.
    """
    wait_s = max(0.0, price_s_per_gib) * block_bytes / GIB
    steps = predicted_release(round(block_bytes), passes=passes)
    found = passes.delay_s
    for t_s, share in steps:
        saved = integrate_staircase(steps, t_s)
        if saved <= wait_s * share:
            found = t_s + wait_s - saved / share
    return found
