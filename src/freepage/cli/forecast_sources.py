"""Sources of a forecast that are asked, not read from files: a cluster's Prometheus, and running VMs of this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.history_source import add_history_arguments, ask_prometheus
from freepage.cli.prometheus_options import add_prometheus_arguments, read_prometheus_options
from freepage.cli.watch_source import add_watch_arguments, check_names, watch
from freepage.errors import StudyError

if TYPE_CHECKING:
    import argparse

    from freepage.forecast.sources import FoundTraces

# Options that mean something with a source alone, by their names in the options.
_OF_HISTORY = {"since": "--since", "step": "--step", "state": "--state"}
_OF_WATCH = {"agent": "--agent", "watch_s": "--for", "interval": "--interval", "poll": "--poll"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of both sources; those of a cluster's login (add_cluster_arguments) are expected beside them."""
    add_prometheus_arguments(parser)
    add_history_arguments(parser)
    add_watch_arguments(parser)


def find_traces(options: argparse.Namespace, reporting_order: int | None = None) -> FoundTraces | None:
    """Return the traces of the source that the options name; None where they name none.

    A Prometheus is asked, and VMs are watched, before this returns; progress is told on standard error. reporting_order: what
    the user says of guests whose free blocks are read. Raises StudyError for options that do not fit each other, and the
    errors of Prometheus, clusters and hosts.
    """
    _check(options)
    prometheus = read_prometheus_options(options)
    if prometheus is not None:
        return ask_prometheus(prometheus, options)
    return watch(options, reporting_order) if options.qmp else None


def _check(options: argparse.Namespace) -> None:
    """Raise StudyError for options that mean nothing with the others."""
    if options.prometheus and options.qmp:
        raise StudyError("--prometheus and --qmp look at different times", hint="forecast from one at a time")
    for source, given, flags in (
        ("--prometheus", options.prometheus, _OF_HISTORY),
        ("--qmp", options.qmp, _OF_WATCH),
    ):
        alone = next((flag for key, flag in flags.items() if not given and getattr(options, key)), None)
        if alone is not None:
            raise StudyError(f"{alone} is about {source}, which is not given", hint=f"add {source}")
    check_names(options)
