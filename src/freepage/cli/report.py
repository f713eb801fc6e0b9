"""Make the report of a stored run again: html, md, json, csv, svg or png."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that `freepage run --out` wrote")
    parser.add_argument("--format", choices=("html", "md", "json", "csv", "svg", "png"), default="html")
    parser.add_argument("--out", type=Path, metavar="PATH", help="where to write it (default: inside RUN)")


def execute(options: argparse.Namespace) -> int:
    from freepage.report.export import export_run

    for path in export_run(options.run, options.format, options.out):
        print(path)
    return 0
