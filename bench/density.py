"""Measure how long a fleet takes: 10,000 VMs for 24 hours at 1 s, in all three cases; and the same fleet in SimPy's steps.

usage: python bench/density.py [--short]      --short is a tenth of the VMs, for a quick look

Goals: within 60 s and 2 GB on two cores, linear in VMs and in hours, a thousand times as fast as a model in steps of a second
(the last two by CPU time, so that others on the same CPUs do not matter).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from freepage.forecast.demand import draw_levels
from freepage.forecast.density import sum_fleet
from freepage.forecast.fleet import Case, Fleet, Window
from freepage.forecast.fleets.read import read_fleet
from freepage.fpr.mechanics import USUAL_PASSES

TOP = Path(__file__).parents[1]
EXAMPLE = TOP / "docs/examples/fleet.toml"
GOAL_S, GOAL_BYTES, GOAL_RATIO = 60.0, 2 * 10**9, 1000.0
# What twice the VMs, or twice the hours, may take at most to be called linear.
GOAL_DOUBLING = 2.3
VMS, HOURS = 10_000, 24
STEPPED_VMS, STEPPED_S = 20, 3600


@dataclass(frozen=True)
class Measured:
    """One fleet: its VMs and hours, the seconds it took, those of CPU among them, and the most memory its process had."""

    vms: int
    hours: int
    took_s: float
    cpu_s: float
    peak_bytes: int

    @property
    def cpu_s_per_vm_second(self) -> float:
        return self.cpu_s / (self.vms * self.hours * 3600)


def build_fleet(vms: int, hours: int) -> Fleet:
    """Return the fleet of the documentation's example with so many VMs, half of each kind."""
    fleet = read_fleet(EXAMPLE)
    kinds = tuple(replace(kind, count=vms // len(fleet.kinds)) for kind in fleet.kinds)
    return replace(fleet, kinds=kinds, window=Window(0, hours * 3600))


def measure_here(vms: int, hours: int) -> Measured:
    fleet = build_fleet(vms, hours)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    held = sum_fleet(fleet, 0)
    took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    assert all(len(series) == hours * 3600 for series in held.values())
    return Measured(vms, hours, took_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def measure_apart(vms: int, hours: int) -> Measured:
    """Measure in a process of its own, so that its memory is that of this fleet alone."""
    command = [sys.executable, __file__, "--one", str(vms), str(hours)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Measured(**json.loads(done.stdout))


def measure_steps() -> float:
    """Return the seconds of CPU that SimPy takes for one second of one VM, stepped, of the same kinds."""
    from helpers.fleet_in_steps import step_fleet

    fleet, cpu_s = build_fleet(STEPPED_VMS, 1), 0.0
    for kind in fleet.kinds:
        levels = draw_levels(kind, np.random.default_rng(1), kind.count, STEPPED_S)[Case.WITH]
        start_s = time.process_time()
        step_fleet(levels, USUAL_PASSES, STEPPED_S)
        cpu_s += time.process_time() - start_s
    return cpu_s / (STEPPED_VMS * STEPPED_S)


def compare(vms: int) -> bool:
    """Print every measurement, and return whether all goals are met."""
    halves = [measure_apart(vms // 2, HOURS), measure_apart(vms, HOURS // 2)]
    whole = measure_apart(vms, HOURS)
    for each in (*halves, whole):
        print(
            f"{each.vms} VMs, {each.hours} h: {each.took_s:.1f} s ({each.cpu_s:.1f} s of CPU), at most {each.peak_bytes / 10**6:.0f} MB"
        )
    by_vms, by_hours = (whole.cpu_s / half.cpu_s for half in halves)
    stepped_s = measure_steps()
    ratio = stepped_s / whole.cpu_s_per_vm_second
    print(f"twice the VMs: {by_vms:.2f} times the time; twice the hours: {by_hours:.2f} times")
    print(
        f"SimPy, step by step: {1e6 * stepped_s:.2f} us per VM and second; here {1e9 * whole.cpu_s_per_vm_second:.2f} ns"
    )
    print(f"{ratio:.0f} times as fast")
    goals = {
        f"{GOAL_S:.0f} s": whole.took_s <= GOAL_S,
        f"{GOAL_BYTES / 10**9:.0f} GB": whole.peak_bytes <= GOAL_BYTES,
        "linear": max(by_vms, by_hours) <= GOAL_DOUBLING,
        f"{GOAL_RATIO:.0f} times": ratio >= GOAL_RATIO,
    }
    print("goals: " + ", ".join(f"{goal} {'met' if met else 'missed'}" for goal, met in goals.items()))
    return all(goals.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--one", type=int, nargs=2, metavar=("VMS", "HOURS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_here(*options.one).__dict__))
        return 0
    return int(not compare(VMS // 10 if options.short else VMS))


if __name__ == "__main__":
    sys.path.insert(0, str(TOP / "tests"))
    sys.exit(main())
