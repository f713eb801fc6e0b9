"""Collect what a Prometheus has for a stored run, and report on it again; or print how to have it sample every second."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.analysis.prometheus import describe_pace
from freepage.cli.cluster_options import add_cluster_arguments
from freepage.cli.prometheus_options import (
    PrometheusOptions,
    add_prometheus_arguments,
    find_settings,
    read_prometheus_options,
)
from freepage.cli.terminal import print_line
from freepage.errors import StudyError
from freepage.prometheus.collection import collect
from freepage.prometheus.recipe import RecipeKind, write_recipe
from freepage.report.page import render_report

if TYPE_CHECKING:
    import argparse

    from freepage.store import PrometheusSamples

# Where the objects of a recipe go without -n: a project of the user's own.
NAMESPACE = "freepage"


@dataclass(frozen=True)
class CollectOptions:
    """The run to collect for, the Prometheus to ask, and the nodes by Prometheus' names (none: found by the run)."""

    run: Path
    prometheus: PrometheusOptions
    nodes: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", type=Path, nargs="?", metavar="RUN", help="the folder that `freepage run --out` wrote"
    )
    parser.add_argument(
        "--recipe",
        type=RecipeKind,
        choices=tuple(RecipeKind),
        nargs="?",
        const=RecipeKind.PROMETHEUS,
        metavar="prometheus|operator|openshift",
        help="print a configuration that samples nodes every second, for a Prometheus of your own (default), a cluster with "
        "the Prometheus operator, or OpenShift; -n NAME: the namespace of its objects",
    )
    add_prometheus_arguments(parser)
    parser.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="NAME",
        help="a node of the run as Prometheus names it, where that cannot be found (may be repeated)",
    )
    add_cluster_arguments(parser)


def read_options(options: argparse.Namespace) -> CollectOptions:
    """Return what to collect; StudyError where the run or the Prometheus is missing."""
    prometheus = read_prometheus_options(options)
    if prometheus is None or options.run is None:
        missing = "RUN" if options.run is None else "--prometheus URL"
        raise StudyError(
            f"{missing} is missing", hint="as in freepage prometheus RUN --prometheus URL, or --recipe"
        )
    return CollectOptions(options.run, prometheus, tuple(options.node))


def execute(options: argparse.Namespace) -> int:
    if options.recipe is not None:
        print(write_recipe(options.recipe, options.namespace or NAMESPACE), end="")
        return 0
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
    pace = describe_pace((m["id"], m["sampled_s"]) for m in asked)
    if pace:
        print_line(pace)
