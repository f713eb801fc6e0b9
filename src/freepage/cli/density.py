"""Find how many VMs fit a node with FPR, without, and ideally: by a fleet's file, by a run, or by recorded VMs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli.compare_options import parse_percent
from freepage.cli.written import give_text
from freepage.targets.arguments import parse_bytes, parse_count
from freepage.units import parse_share

if TYPE_CHECKING:
    from freepage.forecast.density import Density


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        type=Path,
        nargs="+",
        metavar="SOURCE",
        help="the TOML file of a fleet, the folder of a run, or traces (CSV, Parquet) of one kind of VM each",
    )
    parser.add_argument(
        "--node", type=parse_bytes, metavar="SIZE", help="the node's memory (default: as the source has it)"
    )
    parser.add_argument("--swap", type=parse_bytes, metavar="SIZE", help="its swap (default: none)")
    parser.add_argument(
        "--overcommit",
        type=_percent,
        metavar="P",
        help="the memory overcommit its scheduler is told, such as 150%%; no more are counted than it admits",
    )
    parser.add_argument(
        "--risk",
        type=parse_percent,
        default=0.001,
        metavar="P",
        help="the share of seconds that may be over the node's memory (default: 0.1%%)",
    )
    parser.add_argument("--hours", type=_hours, metavar="N", help="the hours that are counted (default: 24)")
    parser.add_argument(
        "--seeds", type=parse_count, default=8, metavar="N", help="how often all is drawn anew (default: 8)"
    )
    parser.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="OURS=THEIRS,...",
        help="names of a trace's columns, as for freepage forecast",
    )
    parser.add_argument("--format", choices=("json", "html"), help="write a file, or JSON to standard output")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write it (html: density.html by default)"
    )


def execute(options: argparse.Namespace) -> int:
    from freepage.cli.density_sources import build_fleet
    from freepage.forecast.density import find_density

    show_density(find_density(build_fleet(options), options.risk, options.seeds), options.format, options.out)
    return 0


def show_density(density: Density, kind: str | None, out: Path | None) -> None:
    """Print a density, or write it as json or html."""
    if kind is None and out is None:
        from freepage.report.density import print_density

        print_density(density)
        return
    if kind == "json":
        from freepage.forecast.density_words import as_json

        text = json.dumps(as_json(density), indent=1, allow_nan=False) + "\n"
    else:
        from freepage.report.density import render_density_page

        text, out = render_density_page(density), out or Path("density.html")
    give_text(text, out)


def _percent(text: str) -> float:
    """Read "150%" as 1.5; argparse's own error for text that is no percentage, or none that a scheduler takes."""
    try:
        value = parse_share(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not 0.1 <= value <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 10% to 1000%")
    return value


def _hours(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours") from error
    if not 0 < value <= 744:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and at most 744 hours (31 days)")
    return value
