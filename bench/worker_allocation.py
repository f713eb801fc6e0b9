"""Time the worker's allocations against a bare C loop that does the same: goal within 2 %.

Both run as fresh processes on this host, in turn, after a warm-up that touches the memory once.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path

from freepage.units import MIB
from freepage.worker.build import build_worker, compile_static

PAIRS = 40
SIZE_BYTES = 256 * MIB
GOAL = 0.02


def time_worker_s() -> float:
    """Return the seconds that one allocation took by the worker's event."""
    step = {"op": "step", "process": 0, "index": 0, "at_ns": 0, "action": "allocate", "bytes": SIZE_BYTES}
    commands = [step, {"op": "start", "id": 1, "zero_ns": 1}]
    with subprocess.Popen(
        [build_worker()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write("".join(json.dumps(c) + "\n" for c in commands))
        worker.stdin.flush()
        for line in worker.stdout:
            event = json.loads(line)
            if event["type"] == "step":
                worker.stdin.close()
                return (event["end_ns"] - event["start_ns"]) / 1e9
            if event["type"] in {"error", "done"}:
                raise RuntimeError(f"the worker reported no step but {line}")
    raise RuntimeError("the worker ended without a step")


def time_bare_s(program: Path) -> float:
    """Return the seconds that the bare loop took."""
    outcome = subprocess.run([program, str(SIZE_BYTES)], capture_output=True, text=True, check=True)
    return int(outcome.stdout) / 1e9


def main() -> None:
    bare = compile_static(Path(__file__).with_name("bare_loop.c"))
    pairs = [(time_worker_s(), time_bare_s(bare)) for _ in range(PAIRS + 2)][2:]
    ratios = sorted(worker / loop for worker, loop in pairs)
    median = statistics.median(ratios)
    quarter = len(ratios) // 4
    print(
        f"worker {statistics.median(w for w, _ in pairs):.4f} s, bare loop {statistics.median(b for _, b in pairs):.4f} s"
    )
    print(
        f"ratio, pair by pair: {median:.3f} (half of all pairs between {ratios[quarter]:.3f} and {ratios[-quarter]:.3f})"
    )
    print(f"goal: within {GOAL:.0%}: {'met' if abs(median - 1) <= GOAL else 'missed'}")


if __name__ == "__main__":
    main()
