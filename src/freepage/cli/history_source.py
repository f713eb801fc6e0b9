"""The traces of a cluster's VMs from what a Prometheus or a Thanos has kept of them."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli.prometheus_options import find_settings
from freepage.cli.terminal import print_line
from freepage.errors import StudyError
from freepage.targets.arguments import parse_seconds
from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.cli.prometheus_options import PrometheusOptions
    from freepage.forecast.sources import FoundTraces
    from freepage.forecast.trace import VmTrace
    from freepage.prometheus.history_plan import HistoryPlan, HistoryRequest

SINCE_S = 86400.0
# A history in the cache that is not whole is gone on with up to this age.
RESUME_S = 86400.0
TOLD_EVERY_S = 10.0


def add_history_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("with --prometheus", "what KubeVirt has exported of its VMs' memory")
    group.add_argument(
        "--since", type=parse_seconds, metavar="TIME", help="how far back, such as 6h or 30d (default 24h)"
    )
    group.add_argument(
        "--step", type=_step, metavar="TIME", help="time between samples, or auto (default): by how far back"
    )
    group.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="keep what is fetched in this folder, and read it from there the next time (default: in the cache until it "
        "is whole and read, so that a command that was cut off can be run again)",
    )


def _step(text: str) -> int | None:
    """Read a whole number of seconds; None for "auto"."""
    if text == "auto":
        return None
    seconds = parse_seconds(text)
    if seconds != int(seconds):
        raise argparse.ArgumentTypeError(f"{text} is no whole number of seconds")
    return int(seconds)


def ask_prometheus(prometheus: PrometheusOptions, options: argparse.Namespace) -> FoundTraces:
    """Fetch the history that the options ask for, and return the traces of its VMs."""
    from freepage.forecast.history import ASSUMPTIONS
    from freepage.forecast.sources import FoundTraces

    folder, plan = asyncio.run(_fetch(prometheus, _read_request(prometheus, options), options.state))
    notes: list[str] = []
    traces = read_traces(folder, plan, notes, keep=options.state is not None)
    return FoundTraces(describe_plan(plan), traces, ASSUMPTIONS, notes)


def _read_request(prometheus: PrometheusOptions, options: argparse.Namespace) -> HistoryRequest:
    from freepage.prometheus.history_plan import MOST_POINTS_PER_VM, HistoryRequest

    request = HistoryRequest(options.since or SINCE_S, options.step, prometheus.login.namespace)
    if request.since_s < request.chosen_step_s:
        raise StudyError(
            f"--since {format_duration(request.since_s)} is less than one step of {request.chosen_step_s} s",
            hint="give a longer --since, or a shorter --step",
        )
    if request.since_s / request.chosen_step_s > MOST_POINTS_PER_VM:
        raise StudyError(
            f"--since {format_duration(request.since_s)} has more than {MOST_POINTS_PER_VM} steps of {request.chosen_step_s} s",
            hint="give a shorter --since, or a longer --step",
        )
    return request


async def _fetch(
    prometheus: PrometheusOptions, request: HistoryRequest, state: Path | None
) -> tuple[Path, HistoryPlan]:
    from freepage.prometheus.history import fetch_history

    settings = await find_settings(prometheus)
    folder = state or _find_cached(settings.url, request)
    return folder, await fetch_history(settings, request, folder, QueryProgress(request).tell)


def _find_cached(url: str, request: HistoryRequest) -> Path:
    """Return the folder in the cache for a request; what earlier commands left there, for any, is removed once it is old."""
    from freepage.prometheus.pieces import find_folder, list_folders, read_plan, remove_history

    for kept in list_folders():
        plan = read_plan(kept)
        if plan is not None and time.time() - plan.end_s > RESUME_S:
            remove_history(kept)
    return find_folder(url, request)


def describe_plan(plan: HistoryPlan) -> str:
    """Return what a history is: of whom, from when to when, and at which step."""
    begin, end = (
        datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M") for t in (plan.start_s, plan.end_s)
    )
    return f"{plan.url}: {len(plan.vms)} VMs from {begin} to {end} UTC, every {format_duration(plan.step_s)}"


def read_traces(folder: Path, plan: HistoryPlan, notes: list[str], *, keep: bool) -> Iterator[VmTrace]:
    """Yield the trace of each VM; after the last, complete the notes, and remove the history unless it is to be kept."""
    from freepage.forecast.history import build_trace, describe_missing, describe_shared, find_missing
    from freepage.prometheus.pieces import remove_history
    from freepage.prometheus.vm_history import read_histories

    missing: list[tuple[str, str]] = []
    shared: list[str] = []
    for one in read_histories(folder, plan, notes):
        name = "/".join(one.vm)
        if one.shared:
            shared.append(name)
            continue
        trace = build_trace(one.vm, one.nodes, one.t_s, one.values, one.moved, one.started)
        if trace is not None:
            missing += [(what, name) for what in find_missing(one.values)]
            yield trace
    notes += [*describe_missing(missing, len(plan.vms)), *describe_shared(shared)]
    if not keep:
        remove_history(folder)


class QueryProgress:
    """Prints to standard error how much of a history is there, now and then, and how long the rest will take."""

    def __init__(self, request: HistoryRequest) -> None:
        self._request = request
        self._begin_s = self._told_s = time.monotonic()
        self._first: int | None = None

    def tell(self, there: int, of: int) -> None:
        """Take note that `there` of all queries have been answered."""
        now_s = time.monotonic()
        if self._first is None:
            self._first = there
            span, step = map(format_duration, (self._request.since_s, self._request.chosen_step_s))
            kept = f", {there} of them answered before" if there else ""
            self._say(f"{span} of history at steps of {step}: {of} {'query' if of == 1 else 'queries'}{kept}")
        elif now_s - self._told_s >= TOLD_EVERY_S and self._first < there < of:
            left_s = (now_s - self._begin_s) / (there - self._first) * (of - there)
            self._say(f"{there} of {of} queries, about {format_duration(round(left_s))} left")

    def _say(self, text: str) -> None:
        self._told_s = time.monotonic()
        print_line(text, sys.stderr)
