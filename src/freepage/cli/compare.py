"""Compare runs, number by number: what is better, worse or the same, and what cannot be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli.compare_options import add_across_argument, parse_percent
from freepage.cli.written import give_text

if TYPE_CHECKING:
    import argparse

    from freepage.analysis.compare.runs import RunComparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base_run", type=Path, metavar="BASE", help="the folder of the run to compare with")
    parser.add_argument("new_run", type=Path, metavar="NEW", help="the folder of the run that may differ")
    for side in ("base", "new"):
        parser.add_argument(
            f"--{side}",
            type=Path,
            action="append",
            default=[],
            metavar="RUN",
            help=f"a further run of {side.upper()} (may be repeated); with several a side a run is the unit",
        )
    add_across_argument(parser)
    parser.add_argument(
        "--margin",
        type=parse_percent,
        metavar="P",
        help="a change of less is none in practice (default: each number's own, mostly 5%%; docs/results-schema.md has them)",
    )
    parser.add_argument("--all", action="store_true", help="every number, not only those that matter most")
    parser.add_argument(
        "--format", choices=("json", "md", "html"), help="write a file, or to standard output"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write it (html: comparison.html by default)"
    )


def execute(options: argparse.Namespace) -> int:
    from freepage.analysis.compare.conditions import parse_across
    from freepage.analysis.compare.runs import compare_runs
    from freepage.store import load_run

    comparison = compare_runs(
        [load_run(folder) for folder in (options.base_run, *options.base)],
        [load_run(folder) for folder in (options.new_run, *options.new)],
        across=parse_across(options.across) if options.across else (),
        margin=options.margin,
        every_number=options.all,
    )
    show_comparison(comparison, options.format, options.out)
    return 0


def show_comparison(comparison: RunComparison, kind: str | None, out: Path | None) -> None:
    """Print a comparison, or write it as json, md or html."""
    from freepage.report.compare import print_comparison, render_comparison_markdown, render_comparison_page

    if kind is None and out is None:
        print_comparison(comparison)
        return
    if kind == "json":
        text = json.dumps(comparison.as_json(), indent=1, allow_nan=False) + "\n"
    elif kind == "md":
        text = render_comparison_markdown(comparison)
    else:
        text, out = render_comparison_page(comparison), out or Path("comparison.html")
    give_text(text, out)
