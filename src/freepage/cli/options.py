"""The options that `run` and `plan` share, and what they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from freepage.cli.cluster_options import add_cluster_arguments
from freepage.errors import StudyError
from freepage.records import CARRIERS, Arm
from freepage.study.request import RunRequest
from freepage.targets.arguments import parse_bytes, parse_count, parse_seconds
from freepage.targets.registry import TARGETS

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from freepage.targets.base import Preview


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study", metavar="STUDY", help="a built-in name (see `freepage studies`) or a TOML file"
    )
    parser.add_argument(
        "--arms", type=_arms, metavar="LIST", help="of pod,vm,vm-fpr; the study's own by default"
    )
    parser.add_argument(
        "--time",
        type=parse_seconds,
        metavar="TIME",
        help="what the run may take, such as 45min; sizes follow",
    )
    parser.add_argument(
        "--memory", type=parse_bytes, metavar="SIZE", help="what a trial may take, such as 8GiB; sizes follow"
    )
    parser.add_argument(
        "--scale", type=_scale, metavar="F", help="fix all sizes and times instead: 1 is the study's own size"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="only try that everything runs, a minute for each experiment"
    )
    parser.add_argument(
        "--repeats", type=parse_count, metavar="N", help="trials of each experiment on each arm"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="another seed draws other schedules and orders")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the study: cycle.hold=30s"
    )
    parser.add_argument(
        "--target",
        choices=tuple(TARGETS),
        default=next(iter(TARGETS)),
        help=f"{', or '.join(entry.title for entry in TARGETS.values())}",
    )
    for entry in TARGETS.values():
        group = parser.add_argument_group(f"--target {entry.name}", entry.summary)
        for option in entry.options:
            group.add_argument(option.flag, **option.keywords)
    add_cluster_arguments(parser)


def open_preview(options: argparse.Namespace) -> AbstractAsyncContextManager[Preview]:
    """Return what looks at the chosen target and plans the study for it; StudyError for an option of another target."""
    chosen = TARGETS[options.target]
    for entry in TARGETS.values():
        given = [o.flag for o in entry.options if o.is_given(options)]
        if given and entry is not chosen:
            raise StudyError(
                f"{given[0]} is about {entry.title}, and the target is {chosen.title}",
                hint=f"--target {entry.name}, or leave it out",
            )
    return chosen.choose(options)(_read_request(options))


def _read_request(options: argparse.Namespace) -> RunRequest:
    return RunRequest(
        study=options.study,
        arms=options.arms,
        scale=options.scale,
        repeats=options.repeats,
        seed=options.seed,
        time_s=options.time,
        memory_bytes=options.memory,
        smoke=options.smoke,
        overrides=tuple(options.set),
    )


def _arms(text: str) -> tuple[Arm, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in CARRIERS]
    if unknown or not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different arms of {', '.join(CARRIERS)}")
    return tuple(Arm(name) for name in names)


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
