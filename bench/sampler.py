"""Measure what the sampler costs: reads of the host and four processes, at 1 Hz; goal at most 1 % of a core."""

from __future__ import annotations

import os
import statistics
import time

from freepage.sampling.instances import parse_vm, read_qemu
from freepage.sampling.procfs import read_host

RUNS = 200
PROCESSES = 4
GOAL_FRACTION = 0.01


def tick_s() -> float:
    start_s = time.thread_time()
    read_host()
    for _ in range(PROCESSES):
        parse_vm(read_qemu(os.getpid()), None)
    return time.thread_time() - start_s


def main() -> None:
    tick_s()
    cost_s = statistics.median(tick_s() for _ in range(RUNS))
    print(
        f"one tick with {PROCESSES} instances: {cost_s * 1000:.2f} ms of CPU, {cost_s:.2%} of a core at 1 Hz"
    )
    print(f"goal: at most {GOAL_FRACTION:.0%}: {'met' if cost_s <= GOAL_FRACTION else 'missed'}")


if __name__ == "__main__":
    main()
