"""Show a stored run in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that `freepage run --out` wrote")


def execute(options: argparse.Namespace) -> int:
    show_run(options.run)
    return 0


def show_run(folder: Path) -> None:
    """Print verdict, the four numbers, doubts, claims and the main tables of a stored run."""
    from freepage.analysis.results import build_results
    from freepage.report.terminal import print_results
    from freepage.store import load_run

    run = load_run(folder)
    print_results(build_results(run), run.manifest.sizes)
