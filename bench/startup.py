"""Time `freepage --help` against an empty Python: goal under 0.3 s."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15
GOAL_S = 0.3


def time_s(arguments: list[str]) -> float:
    start_s = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - start_s


def main() -> None:
    help_s, empty_s = [], []
    for run in range(RUNS + 1):
        pair = time_s(["-m", "freepage.cli.main", "--help"]), time_s(["-c", "pass"])
        if run > 0:
            help_s.append(pair[0])
            empty_s.append(pair[1])
    median_s = statistics.median(help_s)
    print(
        f"freepage --help: {median_s:.3f} s, {median_s / statistics.median(empty_s):.1f} times an empty Python"
    )
    print(f"goal: under {GOAL_S} s: {'met' if median_s < GOAL_S else 'missed'}")


if __name__ == "__main__":
    main()
