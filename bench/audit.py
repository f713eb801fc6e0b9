"""Measure time and memory of an audit of 500 VMs against 50: goals under 10 s and 300 MB.

The test cluster stands in for a real one: its API server takes its share of the same CPUs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent
FLEETS = (50, 500)
GOAL_S = 10.0
GOAL_BYTES = 300 * 10**6


@contextmanager
def open_fleet(count: int) -> Iterator[str]:
    """Run a test cluster with so many VMs; gives its kubeconfig."""
    with tempfile.TemporaryDirectory(prefix="freepage-bench-") as folder:
        command = [
            sys.executable,
            str(TOP / "tests/lab/main.py"),
            f"{folder}/cluster",
            "--fleet",
            str(count),
        ]
        process = subprocess.Popen(
            [*command, "--no-nodes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            line = process.stdout.readline()
            if not line.startswith("ready "):
                raise SystemExit(f"the test cluster did not start: {line!r}")
            yield line.split(maxsplit=1)[1].strip()
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def run_audit(kubeconfig: str) -> tuple[float, int, dict[str, int]]:
    """Return seconds, peak resident bytes, and the counts it found."""
    command = [
        sys.executable,
        "-m",
        "freepage.cli.main",
        "audit",
        "--kubeconfig",
        kubeconfig,
        "--format",
        "json",
    ]
    with tempfile.TemporaryFile() as output:
        start_s = time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        took_s = time.perf_counter() - start_s
        if status != 0:
            raise SystemExit(f"the audit failed: {os.waitstatus_to_exitcode(status)}")
        output.seek(0)
        return took_s, usage.ru_maxrss * 1024, json.load(output)["counts"]


def main() -> None:
    measured = []
    for count in FLEETS:
        with open_fleet(count) as kubeconfig:
            run_audit(kubeconfig)
            took_s, peak_bytes, counts = run_audit(kubeconfig)
        measured.append((took_s, peak_bytes))
        print(f"{count} VMs: {took_s:.2f} s, {peak_bytes / 10**6:.0f} MB, {counts}")
    (few_s, few_bytes), (many_s, many_bytes) = measured
    print(
        f"ten times the VMs: {many_s / few_s:.1f} times the time, {many_bytes / few_bytes:.1f} times the memory"
    )
    met = many_s < GOAL_S and many_bytes < GOAL_BYTES
    print(
        f"goal: {FLEETS[-1]} VMs under {GOAL_S:.0f} s and {GOAL_BYTES / 10**6:.0f} MB: {'met' if met else 'missed'}"
    )


if __name__ == "__main__":
    main()
