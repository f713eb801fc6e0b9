"""The words of a density: the answer in a sentence, what it rests on, what could not be told; and its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.forecast.density import Together
from freepage.forecast.fleet import Case, Replay
from freepage.fpr.mechanics import MOST_PASSES, REPORT_BLOCKS
from freepage.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.forecast.counting import Fit
    from freepage.forecast.density import Density, KindDensity
    from freepage.forecast.fleet import Fleet, Node, VmKind

DENSITY_SCHEMA = 1
CASE_WORDS = {Case.WITHOUT: "without FPR", Case.WITH: "with FPR", Case.IDEAL: "ideally"}


def sum_up(density: Density) -> str:
    """Return the answer: how many more VMs fit with FPR, and without."""
    return " ".join(_sum_up_kind(density, each) for each in density.kinds)


def _sum_up_kind(density: Density, found: KindDensity) -> str:
    more = " more" if any(kind.count for kind in density.fleet.kinds) else ""
    name = f" '{found.kind.name}'" if len(density.fleet.kinds) > 1 or more else ""
    node = f"A node of {format_bytes(found.node.memory_bytes)}"
    if len(density.fleet.nodes) > 1:
        node = f"{found.node.name} ({format_bytes(found.node.memory_bytes)})"
    fits = {case: found.fits.get((case, Together.INDEPENDENT)) for case in Case}
    known = [(case, fit) for case, fit in fits.items() if fit is not None]
    if known and all(fit.is_over for _, fit in known):
        return f"{node} has no memory for more VMs{name}: those that are there are over it already."
    order = (Case.WITH, Case.WITHOUT, Case.IDEAL)
    parts = [f"{show_fit(fits[case])}{more if fits[case] else ''} {CASE_WORDS[case]}" for case in order]
    return f"{node} has memory for VMs{name}: {parts[0]}, {parts[1]}; {parts[2]}."


def show_fit(fit: Fit | None) -> str:
    """Return how many fit: "14 (13 to 15)", "at least 10000"; "not known"."""
    if fit is None:
        return "not known"
    number = f"at least {fit.vms}" if fit.at_least else str(fit.vms)
    return number if fit.low is None else f"{number} ({fit.low} to {fit.high})"


def show_percent(share: float) -> str:
    """Return a share with two digits that carry something, or all before the point: "0.052 %", "12 %", "100 %"."""
    return f"{100 * share:.2g} %" if share < 0.095 else f"{100 * share:.0f} %"


def list_assumptions(density: Density) -> tuple[str, ...]:
    """Return all that a density rests on, as docs/density.md states it."""
    return tuple(dict.fromkeys(_say_assumptions(density)))


def _say_assumptions(density: Density) -> Iterator[str]:
    fleet, window = density.fleet, density.fleet.window
    counted = format_duration(window.end_s - window.start_s)
    yield f"A number fits where at most {show_percent(density.risk)} of the seconds are over the node's memory (and swap)."
    yield (
        f"All VMs start together; {counted} are counted from {format_duration(window.start_s)} after that. "
        "None stops, restarts or moves."
    )
    yield "Without FPR the host holds all that a VM ever touched. Ballooning and memory that VMs share (KSM) are left out."
    yield "Ideally it holds what VMs use at each second, without any VMM: what pods would take."
    for kind in fleet.kinds:
        yield from _say_passes(kind)
    yield (
        "Independent: each VM begins at a random moment of its own. Synchronised: all VMs of a kind do the same in the same "
        "second."
    )
    for node in fleet.nodes:
        yield from _say_node(node)


def _say_passes(kind: VmKind) -> Iterator[str]:
    if kind.passes is not None:
        block = format_bytes(kind.passes.block_bytes)
        yield (
            f"With FPR freed memory leaves in passes {format_duration(kind.passes.delay_s)} apart, each of {REPORT_BLOCKS} x "
            f"(n / {REPORT_BLOCKS * MOST_PASSES}, rounded up, + 1) blocks of {block} while n are listed: all in one list, "
            "which is slowest. What is allocated meanwhile is taken from them."
        )
        yield f"{kind.name}: {show_percent(kind.stranded_fraction)} of what is freed stays, in blocks too small to be reported."
    else:
        yield f"{kind.name}: with FPR it holds what its forecast says (docs/forecast.md), passes included."
    if kind.overhead_bytes:
        yield f"{kind.name}: the VMM needs {format_bytes(kind.overhead_bytes)} beside each guest."
    if isinstance(kind.demand, Replay):
        longest = format_duration(float(kind.demand.lengths_s.max()))
        yield f"{kind.name}: recorded time is put together anew from pieces of up to {longest}; the time of day gets lost."


def _say_node(node: Node) -> Iterator[str]:
    if node.swap_bytes:
        yield f"{node.name}: its swap ({format_bytes(node.swap_bytes)}) counts as memory; the seconds in which it is needed are told."
    if node.overcommit is not None:
        percent = f"{100 * node.overcommit:.0f} %"
        yield f"{node.name}: its scheduler admits VMs whose pods request guest memory / {percent} + overhead, and no more are counted."


def list_unknown(density: Density) -> tuple[str, ...]:
    """Return what could not be told, and why."""
    missing = [
        f"{found.node.name}, {found.kind.name}: {CASE_WORDS[case]}, since what VMs take then is not recorded of all of them."
        for found in density.kinds
        for case in Case
        if (case, Together.INDEPENDENT) not in found.fits
    ]
    return (*density.fleet.notes, *missing)


def as_json(density: Density) -> dict[str, object]:
    """Return a density as docs/density.md describes it."""
    window = density.fleet.window
    return {
        "schema": DENSITY_SCHEMA,
        "answer": sum_up(density),
        "fleet": density.fleet.title,
        "risk": density.risk,
        "seconds": window.end_s - window.start_s,
        "uptime_s": window.start_s,
        "seeds": density.replicates,
        "seed": density.fleet.seed,
        "kinds": [_kind_as_json(density.fleet, each) for each in density.kinds],
        "assumptions": list(list_assumptions(density)),
        "unknown": list(list_unknown(density)),
    }


def _kind_as_json(fleet: Fleet, found: KindDensity) -> dict[str, object]:
    node = found.node
    fits = {case: {t: found.fits.get((case, t)) for t in Together} for case in Case}
    return {
        "node": {
            "name": node.name,
            "memory_bytes": node.memory_bytes,
            "reserved_bytes": node.reserved_bytes,
            "swap_bytes": node.swap_bytes,
            "overcommit": node.overcommit,
        },
        "kind": found.kind.name,
        "there_already": {kind.name: kind.count for kind in fleet.kinds},
        "fits": {
            c: {t: None if f is None else _fit_as_json(f) for t, f in by.items()} for c, by in fits.items()
        },
        "scheduler_admits": found.admitted,
        "needed_overcommit": found.needed_overcommit,
    }


def _fit_as_json(fit: Fit) -> dict[str, object]:
    return {
        "vms": fit.vms,
        "low": fit.low,
        "high": fit.high,
        "risk": fit.risk,
        "swapping": fit.swapping,
        "at_least": fit.at_least,
        "over_already": fit.is_over,
    }
