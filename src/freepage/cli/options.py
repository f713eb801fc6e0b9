"""The options that `run` and `plan` share, and what they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import add_cluster_arguments
from freepage.records import CARRIERS, Arm
from freepage.units import parse_size

if TYPE_CHECKING:
    from freepage.study.request import RunRequest


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", metavar="STUDY", help="a built-in name (see `freepage studies`) or a TOML file"
    )
    parser.add_argument(
        "--arms", type=_arms, metavar="LIST", help="of pod,vm,vm-fpr; the study's own by default"
    )
    parser.add_argument(
        "--scale", type=_scale, metavar="F", help="1 is the study's own size; what fits this host by default"
    )
    parser.add_argument("--repeats", type=_count, metavar="N", help="trials of each experiment on each arm")
    parser.add_argument("--seed", type=int, metavar="S", help="another seed draws other schedules and orders")
    parser.add_argument(
        "--accel", choices=("auto", "kvm", "tcg"), default="auto", help="how guests are executed"
    )
    parser.add_argument("--kernel", metavar="PATH", help="another guest kernel (a bzImage or Image)")
    parser.add_argument(
        "--node-memory", type=_size, metavar="SIZE", help="make a memory cgroup of this size the node"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the study: cycle.hold=30s"
    )
    parser.add_argument(
        "--target",
        choices=("local", "cluster"),
        default="local",
        help="this host, or a cluster with KubeVirt",
    )
    add_cluster_arguments(parser)
    _add_place_arguments(parser)


def _add_place_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("--target cluster", "where trials run, and from which images")
    group.add_argument(
        "--image",
        metavar="REF",
        help="freepage's image in a registry (see `freepage image push`): VMs boot it",
    )
    group.add_argument(
        "--vm-disk",
        metavar="REF",
        help="any containerDisk with cloud-init for VMs instead (Linux 5.7 or newer)",
    )
    group.add_argument("--pod-image", metavar="REF", help="any small image for pods instead of --image")
    group.add_argument("--pull-secret", metavar="NAME", help="the Secret by which images are pulled")
    group.add_argument(
        "--nodes", type=_names, default=(), metavar="LIST", help="nodes to measure; the largest by default"
    )
    group.add_argument(
        "--concurrency", type=_count, default=32, metavar="N", help="instances started at once (32)"
    )


def build_request(options: argparse.Namespace) -> RunRequest:
    from freepage.study.request import RunRequest

    return RunRequest(
        study=options.study,
        arms=options.arms,
        scale=options.scale,
        repeats=options.repeats,
        seed=options.seed,
        node_memory_bytes=options.node_memory,
        overrides=tuple(options.set),
        command=options.command_line,
    )


def _arms(text: str) -> tuple[Arm, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in CARRIERS]
    if unknown or not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different arms of {', '.join(CARRIERS)}")
    return tuple(Arm(name) for name in names)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different names")
    return names


def _scale(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not a scale: greater than 0, at most 100")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count from 1 to 1000")
    return int(text)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
