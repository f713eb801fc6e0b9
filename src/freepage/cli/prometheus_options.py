"""The options that name a Prometheus, for every command that may ask one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import build_login
from freepage.prometheus.client import Settings, check_prometheus
from freepage.prometheus.openshift import find_monitoring

if TYPE_CHECKING:
    import argparse

    from freepage.kube.login import Login

OPENSHIFT = "openshift"


@dataclass(frozen=True)
class PrometheusOptions:
    """The Prometheus to ask: its address, or OPENSHIFT for the one of the cluster that `login` leads to."""

    url: str
    token_file: Path | None
    ca_file: Path | None
    login: Login


def add_prometheus_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Prometheus")
    group.add_argument(
        "--prometheus",
        metavar="URL",
        help="a Prometheus or Thanos, as http://HOST:9090; `openshift` is the cluster's own, asked with the login's token",
    )
    group.add_argument(
        "--prometheus-token-file", type=Path, metavar="FILE", help="a bearer token to ask it with"
    )
    group.add_argument(
        "--prometheus-ca-file", type=Path, metavar="FILE", help="the CA its certificate is signed by"
    )


def read_prometheus_options(options: argparse.Namespace) -> PrometheusOptions | None:
    """Return the Prometheus that the options name; None where they name none."""
    if options.prometheus is None:
        return None
    return PrometheusOptions(
        url=options.prometheus,
        token_file=options.prometheus_token_file,
        ca_file=options.prometheus_ca_file,
        login=build_login(options),
    )


async def find_settings(chosen: PrometheusOptions) -> Settings:
    """Return where and as whom to ask; the address of a cluster's own Prometheus is read from the cluster."""
    found = await find_monitoring(chosen.login) if chosen.url == OPENSHIFT else Settings(chosen.url)
    return replace(found, token_file=chosen.token_file, ca_file=chosen.ca_file)


async def check_now(chosen: PrometheusOptions) -> None:
    """Raise PrometheusError before a run for what would prevent a collection after it."""
    await check_prometheus(await find_settings(chosen))
