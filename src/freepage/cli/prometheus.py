"""Collect what a Prometheus has for a stored run, and report on it again."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.cli.cluster_options import add_cluster_arguments, build_login

if TYPE_CHECKING:
    import argparse

    from freepage.prometheus.client import Settings

OPENSHIFT = "openshift"


def add_prometheus_arguments(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add what says which Prometheus to ask; find_settings reads it."""
    group = parser.add_argument_group("Prometheus")
    group.add_argument(
        "--prometheus",
        metavar="URL",
        required=required,
        help="a Prometheus or Thanos, as http://HOST:9090; `openshift` is the cluster's own, asked with the login's token",
    )
    group.add_argument(
        "--prometheus-token-file", type=Path, metavar="FILE", help="a bearer token to ask it with"
    )
    group.add_argument(
        "--prometheus-ca-file", type=Path, metavar="FILE", help="the CA its certificate is signed by"
    )


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


def execute(options: argparse.Namespace) -> int:
    from freepage.report.page import render_report

    collected = asyncio.run(collect_into(options, options.run, tuple(options.node)))
    _print_summary(collected.info)
    print(f"report: {render_report(options.run)}")
    return 0


async def collect_into(options: argparse.Namespace, folder: Path, nodes: tuple[str, ...] = ()) -> Any:
    """Keep what the Prometheus that the options name has of a stored run."""
    from freepage.prometheus.collection import collect

    settings = await find_settings(options)
    return await collect(folder, replace(settings, nodes=nodes, namespace=options.namespace))


async def check_now(options: argparse.Namespace) -> None:
    """Raise before a run what would stand in the way of asking after it."""
    from freepage.prometheus.client import check_prometheus

    await check_prometheus(await find_settings(options))


async def find_settings(options: argparse.Namespace) -> Settings:
    """Find the Prometheus that the options name; asks the cluster where its own is."""
    from freepage.prometheus.client import Settings

    found = Settings(options.prometheus)
    if options.prometheus == OPENSHIFT:
        from freepage.prometheus.openshift import find_monitoring

        found = await find_monitoring(build_login(options))
    return replace(found, token_file=options.prometheus_token_file, ca_file=options.prometheus_ca_file)


def _print_summary(info: dict[str, Any]) -> None:
    """Print what came of each source, and what did not."""
    metrics = info["metrics"]
    asked = [m for m in metrics if m["query"] is not None]
    print(
        f"{info['url']}: {sum(m['points'] for m in asked)} points of {sum(m['points'] > 0 for m in asked)} metrics"
    )
    for source in dict.fromkeys(m["source"] for m in asked):
        mine = [m for m in asked if m["source"] == source]
        print(f"  {source}: {sum(m['points'] > 0 for m in mine)} of {len(mine)} metrics")
    for words in (*info["warnings"], *(m["error"] for m in asked if m["error"])):
        print(f"warning: {words}", file=sys.stderr)
