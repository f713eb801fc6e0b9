"""Forecast what VMs would hold with FPR, from what was seen of them without it: stored runs, or traces in CSV or Parquet."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli import forecast_sources
from freepage.cli.cluster_options import add_cluster_arguments
from freepage.cli.written import give_text
from freepage.errors import StudyError
from freepage.fpr.kernels import PAGE_SIZES
from freepage.targets.arguments import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.forecast.forecast import Forecast, Source
    from freepage.forecast.measured import GuestUnits
    from freepage.forecast.price import Price
    from freepage.forecast.sources import FoundTraces

LARGEST_ORDER = 15
# Options that say how files are read, by their names in the options.
_OF_FILES = {"columns": "--columns", "total": "--total", "page_size": "--page-size"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        type=Path,
        nargs="*",
        metavar="SOURCE",
        help="the folder of a run, or a .csv or .parquet file with a row for each sample of a VM (docs/forecast.md); or none, "
        "with --prometheus or --qmp (docs/forecast-sources.md)",
    )
    parser.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="OURS=THEIRS,...",
        help="which column of a file is which: resident=rss,free_huge=huge,free_small=small",
    )
    parser.add_argument(
        "--total", type=parse_bytes, metavar="SIZE", help="the guests' memory, where no column has it: 16GiB"
    )
    parser.add_argument(
        "--page-size",
        type=_parse_page_size,
        metavar="SIZE",
        help="of the guests (default 4KiB; a run knows its own)",
    )
    parser.add_argument(
        "--reporting-order",
        type=_parse_order,
        metavar="N",
        help="the smallest blocks that guests would report, 2^N pages (default: what they do by themselves; 9 on x86-64)",
    )
    parser.add_argument(
        "--price",
        type=Path,
        metavar="RUN",
        help="a run that measured on such hardware what taking memory again costs",
    )
    parser.add_argument(
        "--format", choices=("json", "md", "html"), help="write a file, or to standard output"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write it (html: forecast.html by default)"
    )
    forecast_sources.add_arguments(parser)
    add_cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    from freepage.forecast.forecast import forecast_all

    price = _read_price(options.price) if options.price else None
    found = ask_source(options)
    if found is None:
        forecast = forecast_all(make_unique(read_sources(options)), price)
    else:
        seen = (f"What was seen: {found.about}.", *found.assumptions)
        forecast = forecast_all(((trace, None) for trace in found.traces), price, seen, found.notes)
    show_forecast(forecast, options.format, options.out)
    return 0


def ask_source(options: argparse.Namespace) -> FoundTraces | None:
    """Return what a Prometheus or running VMs tell, where the options name some; StudyError where they name more, or nothing."""
    asked = options.prometheus or options.qmp
    if asked and options.sources:
        raise StudyError(
            f"{options.sources[0]} and what is asked now are of different times",
            hint="forecast from one at a time",
        )
    of_files = next((flag for key, flag in _OF_FILES.items() if getattr(options, key)), None)
    if asked and of_files is not None:
        raise StudyError(f"{of_files} is about files, and none is given", hint=f"leave {of_files} out")
    found = forecast_sources.find_traces(options, options.reporting_order)
    if found is None and not options.sources:
        raise StudyError(
            "there is nothing to forecast from",
            hint="name a SOURCE (a run, a file), or give --prometheus or --qmp",
        )
    return found


def read_sources(options: argparse.Namespace) -> Iterator[Source]:
    """Yield the VMs of every run and file that was named, with what their VMMs need where that was measured."""
    from freepage.forecast.assumptions import OVERHEAD_ORDER_0_BYTES
    from freepage.forecast.columns import parse_columns
    from freepage.forecast.measured import GuestUnits
    from freepage.forecast.traces import read_traces

    columns = parse_columns(options.columns)
    units = GuestUnits(options.page_size or GuestUnits().page_bytes, options.reporting_order, options.total)
    overhead = OVERHEAD_ORDER_0_BYTES if units.order == 0 else None
    for path in options.sources:
        if path.is_dir():
            yield from _read_run(path, units)
        else:
            for trace in read_traces(path, columns, units):
                yield trace, overhead


def _read_run(folder: Path, units: GuestUnits) -> Iterator[Source]:
    from freepage.forecast.assumptions import OVERHEAD_ORDER_0_BYTES
    from freepage.forecast.errors import TraceError
    from freepage.forecast.run_traces import measure_overhead, traces_of_run
    from freepage.store import load_run

    run = load_run(folder)
    traces = traces_of_run(run, units.reporting_order)
    if not traces:
        raise TraceError(f"{folder} has no trial of a VM that ended well", hint="run a study with the arm vm")
    overhead = OVERHEAD_ORDER_0_BYTES if units.reporting_order == 0 else measure_overhead(run)
    for trace in traces:
        yield trace, overhead


def make_unique(sources: Iterator[Source]) -> Iterator[Source]:
    """Yield VMs with names that differ: the second one of a name is called "name #2"."""
    seen: Counter[str] = Counter()
    for trace, overhead in sources:
        seen[trace.name] += 1
        count = seen[trace.name]
        yield (trace if count == 1 else replace(trace, name=f"{trace.name} #{count}")), overhead


def _read_price(folder: Path) -> Price:
    from freepage.forecast.run_price import price_of_run
    from freepage.store import load_run

    return price_of_run(load_run(folder))


def show_forecast(forecast: Forecast, kind: str | None, out: Path | None) -> None:
    """Print a forecast, or write it as json, md or html."""
    from freepage.report.forecast import print_forecast, render_forecast_markdown, render_forecast_page

    if kind is None and out is None:
        print_forecast(forecast)
        return
    if kind == "json":
        text = json.dumps(forecast.as_json(), indent=1, allow_nan=False) + "\n"
    elif kind == "md":
        text = render_forecast_markdown(forecast)
    else:
        text, out = render_forecast_page(forecast), out or Path("forecast.html")
    give_text(text, out)


def _parse_page_size(text: str) -> int:
    """Read the size of a guest's pages."""
    size = parse_bytes(text)
    if size not in PAGE_SIZES:
        raise argparse.ArgumentTypeError(f"{text!r} is no size of pages: 4KiB, 16KiB or 64KiB")
    return size


def _parse_order(text: str) -> int:
    """Read an order of blocks from 0 to the largest that any kernel has."""
    if not (text.isascii() and text.isdigit()) or int(text) > LARGEST_ORDER:
        raise argparse.ArgumentTypeError(f"{text!r} is not an order from 0 to {LARGEST_ORDER}")
    return int(text)
