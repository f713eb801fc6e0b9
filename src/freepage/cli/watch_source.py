"""The traces of running VMs of this host, watched for a while through sockets that the user names."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.errors import StudyError
from freepage.targets.arguments import parse_seconds
from freepage.units import format_duration

if TYPE_CHECKING:
    from freepage.forecast.sources import FoundTraces
    from freepage.forecast.trace import VmTrace
    from freepage.hosts.watching import WatchedVm

WATCH_S = 10.0
INTERVAL_S = 1.0


def add_watch_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running VMs of this host", "looked at, and never changed")
    group.add_argument(
        "--qmp",
        type=_named_socket,
        action="append",
        default=[],
        metavar="NAME=SOCKET",
        help="a VM by a name of yours, and the socket of its QEMU's monitor (may be repeated)",
    )
    group.add_argument(
        "--agent",
        type=_named_socket,
        action="append",
        default=[],
        metavar="NAME=SOCKET",
        help="the socket of its guest agent, which reads the guest's free blocks; without it only a range can be told",
    )
    group.add_argument(
        "--for", dest="watch_s", type=parse_seconds, metavar="TIME", help="how long to look (default 10s)"
    )
    group.add_argument("--interval", type=parse_seconds, metavar="TIME", help="how often (default 1s)")
    group.add_argument(
        "--poll",
        action="store_true",
        help="have QEMU ask the guests for their statistics meanwhile, where it does not",
    )


def _named_socket(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SOCKET")
    return name, Path(path)


def check_names(options: argparse.Namespace) -> None:
    """Raise StudyError for VMs of one name, and for the agent of a VM that is not named."""
    names = [name for name, _ in options.qmp]
    for flag, given in (("--qmp", options.qmp), ("--agent", options.agent)):
        twice = next((name for name, n in Counter(name for name, _ in given).items() if n > 1), None)
        if twice is not None:
            raise StudyError(f"{flag} names {twice} twice", hint="give each VM a name of its own")
    unknown = next((name for name, _ in options.agent if name not in names), None)
    if unknown is not None:
        raise StudyError(f"--agent names {unknown}, and no --qmp does", hint=f"add --qmp {unknown}=SOCKET")


def watch(options: argparse.Namespace, reporting_order: int | None) -> FoundTraces:
    """Watch the VMs that the options name, and return their traces; HostError where one cannot be watched."""
    from freepage.forecast.live import ASSUMPTIONS
    from freepage.forecast.sources import FoundTraces
    from freepage.hosts.watching import VmSockets, watch_vms

    agents = dict(options.agent)
    vms = [VmSockets(name, path, agents.get(name)) for name, path in options.qmp]
    seconds, interval_s = options.watch_s or WATCH_S, options.interval or INTERVAL_S
    watched = asyncio.run(watch_vms(vms, seconds, interval_s, poll=options.poll))
    traces = (_build_trace(vm, reporting_order) for vm in watched)
    about = f"VMs of this host, looked at for {format_duration(seconds)} every {format_duration(interval_s)}"
    return FoundTraces(about, traces, ASSUMPTIONS)


def _build_trace(vm: WatchedVm, reporting_order: int | None) -> VmTrace:
    from freepage.forecast.live import build_trace

    order = vm.reporting_order if reporting_order is None else reporting_order
    return build_trace(
        vm.name, vm.samples, vm.kernel.architecture, fpr_on=vm.fpr_on, order=order, notes=vm.notes
    )
