"""200 pods driven at once from one process: how long it takes and how much memory, against 20.

The goal is that all of them run their schedules and that the process stays below 600 MB. The test cluster stands in for a
real one: its API server and its containers take their share of the same CPUs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).parent.parent
COUNTS = (20, 200)
GOAL_BYTES = 600 * 10**6
STUDY = """name = "many"
scale = 1.0
[[experiment]]
kind = "random"
repeats = 1
instances = {count}
size = "4MiB,8MiB,4MiB"
hold = "2s,4s,1s"
idle = "2s,4s,1s"
duration = "20s"
"""


def run_study(folder: Path, kubeconfig: str, count: int) -> tuple[float, float, int]:
    """Return seconds, CPU seconds and peak resident bytes of one run with `count` pods; ends the bench when one fails."""
    study = folder / f"many-{count}.toml"
    study.write_text(STUDY.format(count=count))
    target = ["--target", "cluster", "--kubeconfig", kubeconfig, "--pod-image", "localhost/small:1"]
    command = [sys.executable, "-m", "freepage.cli.main", "run", str(study), *target, "--arms", "pod"]
    began = time.monotonic()
    process = subprocess.Popen([*command, "--out", str(folder / f"run-{count}")], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"the run with {count} pods ended with status {status}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="freepage-bench-") as name:
        folder = Path(name)
        command = [
            sys.executable,
            str(TOP / "tests/lab/main.py"),
            str(folder / "cluster"),
            "--no-prometheus",
        ]
        cluster = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            kubeconfig = cluster.stdout.readline().split(maxsplit=1)[1].strip()
            found = {count: run_study(folder, kubeconfig, count) for count in COUNTS}
        finally:
            cluster.stdin.close()
            cluster.wait(timeout=60)
    for count, (wall_s, cpu_s, peak_bytes) in found.items():
        print(
            f"{count} pods: {wall_s:.1f} s of which 20 s are the schedule, {cpu_s:.1f} s of CPU, {peak_bytes / 1e6:.0f} MB at most"
        )
    few, many = (found[count] for count in COUNTS)
    print(f"ratios {COUNTS[1]}/{COUNTS[0]}: CPU {many[1] / few[1]:.1f}, memory {many[2] / few[2]:.1f}")
    print(f"goal {GOAL_BYTES / 1e6:.0f} MB: {'met' if many[2] <= GOAL_BYTES else 'missed'}")


if __name__ == "__main__":
    main()
