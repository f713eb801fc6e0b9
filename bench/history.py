"""Measure time and memory of reading the history of many VMs for a month: goal under 500 MB, however many VMs there are.

usage: python bench/history.py [VMs] [days]      (500 VMs for 30 days; with twice as many of either, time and disk double, memory hardly)

A modelled server in a process of its own answers every query with a constant for each VM, in Prometheus' own format: what is
measured is what freepage takes, and not how fast a server finds its samples.
"""

from __future__ import annotations

import re
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

GOAL_BYTES = 500 * 10**6
NAMESPACES = 20
METRICS = {"resident": 6 << 30, "domain": 8 << 30, "available": 7 << 30, "unused": 4 << 30, "cached": 1 << 30}


def serve(vms: int, pipe: Connection) -> None:
    """Be a Prometheus with so many VMs; its port goes through the pipe."""
    import asyncio

    from aiohttp import web

    names = [f"vm-{n:05}" for n in range(vms)]

    def labels(metric: str, n: int) -> str:
        space = f"team-{n % NAMESPACES}"
        return f'{{"__name__":"{metric}","namespace":"{space}","name":"{names[n]}","node":"n{n % 100}"}}'

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/series"):
            found = ",".join(labels("kubevirt_vmi_memory_resident_bytes", n) for n in range(vms))
            return reply(f"[{found}]")
        query = request.query["query"]
        if query == "time()":
            return reply(f'{{"resultType":"scalar","result":[{time.time()},"0"]}}')
        wanted = re.search(r'name=~"([^"]*)"}', query)[1].split("|")
        start, end, step = (float(request.query[key]) for key in ("start", "end", "step"))
        times = [start + n * step for n in range(round((end - start) / step) + 1)]
        series = []
        for metric, value in METRICS.items():
            points = ",".join(f'[{t:.0f},"{value}"]' for t in times)
            series += [
                f'{{"metric":{labels(f"kubevirt_vmi_memory_{metric}_bytes", int(n[3:]))},"values":[{points}]}}'
                for n in wanted
            ]
        points = ",".join(f'[{t:.0f},"{t:.0f}"]' for t in times)
        series += [
            f'{{"metric":{labels("kubevirt_vmi_memory_pgminfault_total", int(n[3:]))},"values":[{points}]}}'
            for n in wanted
        ]
        return reply(f'{{"resultType":"matrix","result":[{",".join(series)}]}}')

    def reply(data: str) -> web.Response:
        return web.Response(text=f'{{"status":"success","data":{data}}}', content_type="application/json")

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def open_server(vms: int) -> Iterator[str]:
    """Run the modelled server, and give its address."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(vms, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def measure(vms: int, days: float) -> tuple[float, float, int, int, int]:
    """Return the seconds to fetch and to read, the bytes on disk, those of memory at most, and how many traces came."""
    import asyncio

    from freepage.cli.history_source import read_traces
    from freepage.prometheus.client import Settings
    from freepage.prometheus.history import fetch_history
    from freepage.prometheus.history_plan import HistoryRequest

    with tempfile.TemporaryDirectory(prefix="freepage-bench-") as name, open_server(vms) as url:
        folder, start_s = Path(name), time.monotonic()
        request = HistoryRequest(days * 86400)
        plan = asyncio.run(fetch_history(Settings(url), request, folder, lambda _there, _of: None))
        fetched_s = time.monotonic()
        disk_bytes = sum(path.stat().st_size for path in folder.iterdir())
        traces = sum(len(trace) == plan.count for trace in read_traces(folder, plan, [], keep=False))
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return fetched_s - start_s, time.monotonic() - fetched_s, disk_bytes, peak_bytes, traces


def main() -> None:
    given = [float(word) for word in sys.argv[1:]]
    vms, days = int(given[0]) if given else 500, given[1] if len(given) > 1 else 30.0
    fetch_s, read_s, disk_bytes, peak_bytes, traces = measure(vms, days)
    print(
        f"{vms} VMs, {days:g} days: {fetch_s:.0f} s to fetch, {read_s:.1f} s to read, {disk_bytes / 1e6:.0f} MB on disk"
    )
    print(f"whole traces: {traces} of {vms}")
    met = "met" if peak_bytes <= GOAL_BYTES else "missed"
    print(f"at most {peak_bytes / 1e6:.0f} MB of memory; goal: {GOAL_BYTES / 1e6:.0f} MB: {met}")


if __name__ == "__main__":
    main()
