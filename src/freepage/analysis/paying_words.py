"""The words for what a map shows: from which idle time on FPR pays, and for which VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.stats import LEAST_FOR_RANGE, LEAST_TRIALS
from freepage.analysis.undecided import describe_interval
from freepage.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.analysis.paying import PayingLine, PayingMap


def sum_up_paying(paying: PayingMap | None, *, times_count: bool) -> str:
    """Return the break-even of every line in one sentence; "" where fewer than three pairs of trials tell one.

    Fewer than five, or one that never paid, decide nothing.
    times_count: whether the waits are those of real hardware.
    """
    told = [line for line in paying.lines if line.n >= LEAST_TRIALS] if paying else []
    if not told:
        return ""
    several = len({line.held_s for line in told}) > 1
    clauses = ", ".join(f"{_describe_start(line)} for {_name_block(line, held=several)}" for line in told)
    seen = min(line.n for line in told)
    is_open = any(line.break_even is not None and line.break_even.high is None for line in told)
    few = f"Seen in {seen} pairs of trials, not decided: " if seen < LEAST_FOR_RANGE or is_open else ""
    return f"{few}{'' if times_count else 'Under emulation '}FPR pays {clauses}."


def advise_by_map(paying: PayingMap | None, *, times_count: bool) -> Iterator[tuple[str, str]]:
    """Yield for each line of a map that tells it what it is about, and for which VMs FPR pays, with the interval."""
    emulated = "" if times_count else " These waits are those of emulation; real hardware has its own."
    for line in paying.lines if paying else ():
        if line.n:
            name = _name_block(line, held=True)
            yield f"paying of {name}", f"In VMs that free {name} {_explain(line)}{emulated}"


def _explain(line: PayingLine) -> str:
    if line.break_even is None:
        longest = format_duration(line.points[-1].idle_s)
        return f"FPR saves no more GiB·s than are waited for, at idle times up to {longest} at least ({_count(line)})."
    return (
        f"FPR saves more GiB·s than are waited for where memory stays free for {format_duration(round(line.break_even.value, 1))} or "
        f"longer ({describe_interval(line.break_even)}, {_count(line)}); for VMs that allocate again sooner it does not pay."
    )


def _describe_start(line: PayingLine) -> str:
    """Return from which idle time on a line pays: from the first pass on where every pair of trials does and no price is to be seen."""
    if line.break_even is None:
        return f"at no idle time up to {format_duration(line.points[-1].idle_s)}"
    if line.is_free and line.first_pass_s is not None:
        return f"from the first pass on ({format_duration(line.first_pass_s)} of idle)"
    return f"above {format_duration(round(line.break_even.value, 1))} of idle"


def _name_block(line: PayingLine, *, held: bool) -> str:
    block = format_bytes(line.block_bytes)
    return f"{block} held for {format_duration(line.held_s)}" if held else block


def _count(line: PayingLine) -> str:
    return "one pair of trials" if line.n == 1 else f"{line.n} pairs of trials"
