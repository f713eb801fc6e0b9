"""Collect what a Prometheus has for a stored run, and report on it again."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.cli.cluster_options import add_cluster_arguments
from freepage.cli.prometheus_options import (
    PrometheusOptions,
    add_prometheus_arguments,
    find_settings,
    read_prometheus_options,
)
from freepage.cli.terminal import print_line
from freepage.prometheus.collection import collect
from freepage.report.page import render_report

if TYPE_CHECKING:
    import argparse

    from freepage.store import PrometheusSamples


@dataclass(frozen=True)
class CollectOptions:
    """The run to collect for, the Prometheus to ask, and the nodes by Prometheus' names (none: found by the run)."""

    run: Path
    prometheus: PrometheusOptions
    nodes: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that `freepage run --out` wrote")
    add_prometheus_arguments(parser, required=True)
    parser.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="NAME",
        help="a node of the run as Prometheus names it, where that cannot be found (may be repeated)",
    )
    add_cluster_arguments(parser)


def read_options(options: argparse.Namespace) -> CollectOptions:
    prometheus = read_prometheus_options(options)
    assert prometheus is not None  # noqa: S101 - the option is required
    return CollectOptions(options.run, prometheus, tuple(options.node))


def execute(options: argparse.Namespace) -> int:
    chosen = read_options(options)
    collected = asyncio.run(collect_into(chosen.prometheus, chosen.run, chosen.nodes))
    _print_summary(collected.info)
    print(f"report: {render_report(chosen.run)}")
    return 0


async def collect_into(
    chosen: PrometheusOptions, folder: Path, nodes: tuple[str, ...] = ()
) -> PrometheusSamples:
    """Store what a Prometheus has of a run in the run's folder."""
    settings = await find_settings(chosen)
    return await collect(folder, replace(settings, nodes=nodes, namespace=chosen.login.namespace))


def _print_summary(info: dict[str, Any]) -> None:
    """Print the number of points of each source, and why there are none where there are none."""
    metrics = info["metrics"]
    asked = [m for m in metrics if m["query"] is not None]
    print_line(
        f"{info['url']}: {sum(m['points'] for m in asked)} points of {sum(m['points'] > 0 for m in asked)} metrics"
    )
    for source in dict.fromkeys(m["source"] for m in asked):
        of_source = [m for m in asked if m["source"] == source]
        print_line(f"  {source}: {sum(m['points'] > 0 for m in of_source)} of {len(of_source)} metrics")
    for words in (*info["warnings"], *(m["error"] for m in asked if m["error"])):
        print_line(f"warning: {words}", sys.stderr)
