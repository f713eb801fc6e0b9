"""Run a study and report on it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.analysis.precision import measure_half_width
from freepage.cli.cluster_options import naming_manifest
from freepage.cli.options import add_study_arguments, open_preview
from freepage.cli.plan import describe_notes, show_dry_run
from freepage.cli.progress import make_progress
from freepage.cli.prometheus import collect_into
from freepage.cli.prometheus_options import add_prometheus_arguments, check_now, read_prometheus_options
from freepage.cli.show import show_run
from freepage.cli.terminal import print_line
from freepage.errors import FreepageError
from freepage.records import TrialRecord, TrialStatus
from freepage.report.page import render_report
from freepage.run.run import RunEnded, StopRule, run_study
from freepage.store import check_folder
from freepage.units import parse_share

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from freepage.cli.prometheus_options import PrometheusOptions
    from freepage.study.request import RunPlan
    from freepage.targets.base import Preview

# How a run ended: its trials' records, or what ended it before it was through.
Outcome = Sequence[TrialRecord] | RunEnded

SOME_TRIALS_FAILED = 6
INTERRUPTED = 130


@dataclass(frozen=True)
class RunOptions:
    """target: looks at the target and plans the study. prometheus: what is collected from at the end; None for nothing.

    stop_rule: when the run may stop before all its repeats; None for never.
    """

    target: AbstractAsyncContextManager[Preview]
    folder: Path
    force: bool
    command: tuple[str, ...]
    prometheus: PrometheusOptions | None
    stop_rule: StopRule | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: STUDY-run)")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing, write nothing")
    add_prometheus_arguments(parser)
    parser.add_argument(
        "--until",
        type=_half_width,
        metavar="SHARE",
        help="stop before --repeats, after five at least, once the ratio of the arms' node memory is known to within this, such as 5%%",
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier run in DIR")


def read_options(options: argparse.Namespace) -> RunOptions:
    return RunOptions(
        target=open_preview(options),
        folder=options.out or Path(f"{Path(options.study).stem}-run"),
        force=options.force,
        command=options.command_line,
        prometheus=read_prometheus_options(options),
        stop_rule=None if options.until is None else StopRule(options.until, measure_half_width),
    )


def _half_width(text: str) -> float:
    """Return "5%" or "0.05" as a share."""
    try:
        value = parse_share(text) if text.strip().endswith("%") else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share, such as 5%") from error
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share between 0% and 100%")
    return value


def execute(options: argparse.Namespace) -> int:
    chosen = read_options(options)
    if options.dry_run:
        return show_dry_run(chosen.target)
    check_folder(chosen.folder, force=chosen.force)
    if chosen.prometheus is not None:
        asyncio.run(check_now(chosen.prometheus))
    return run_and_report(chosen)


def run_and_report(options: RunOptions) -> int:
    """Run the study and report on it, also where it ended early; return the exit status, or raise what ended it."""
    outcome: list[Outcome] = []
    with suppress(asyncio.CancelledError):
        asyncio.run(_run(options, outcome))
    if not outcome:
        print("freepage: interrupted before anything was measured", file=sys.stderr)
        return INTERRUPTED
    _report(options)
    if not isinstance(outcome[0], RunEnded):
        return _find_status(outcome[0])
    if outcome[0].problem is not None:
        with naming_manifest("run"):
            raise outcome[0].problem from outcome[0]
    return INTERRUPTED


async def _run(options: RunOptions, outcome: list[Outcome]) -> None:
    """Run with the signals that ask to stop turned into one cancellation, which cleans up.

    How the run ended is put into `outcome` as soon as it is known: an interruption while the target is closed must not
    hide it. Raises what comes before a run is in its folder.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - true of every coroutine that asyncio.run runs
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    with naming_manifest("run"):
        async with options.target as preview:
            for note in describe_notes(preview):
                print(note)
            outcome.append(await _end_by_value(options, preview))


async def _end_by_value(options: RunOptions, preview: Preview) -> Outcome:
    try:
        records = await run_study(
            preview.open_target(options.folder),
            options.folder,
            make_progress(sys.stdout),
            command=options.command,
            force=options.force,
            stop_rule=options.stop_rule,
        )
    except RunEnded as ended:
        return ended
    if options.stop_rule is not None:
        _print_early_end(records, preview.plan)
    return records


def _print_early_end(records: Sequence[TrialRecord], run_plan: RunPlan) -> None:
    if len(records) < len(run_plan.trials):
        done, planned = records[-1].repeat + 1, run_plan.trials[-1].repeat + 1
        print(f"stopped after {done} of {planned} repeats: the interval is as narrow as --until asks")


def _report(options: RunOptions) -> None:
    if options.prometheus is not None:
        _collect(options.prometheus, options.folder)
    page = render_report(options.folder)
    show_run(options.folder)
    print(f"report: {page}")


def _collect(prometheus: PrometheusOptions, folder: Path) -> None:
    """Keep what a Prometheus has of the run; a run without it is still a run."""
    try:
        asyncio.run(collect_into(prometheus, folder))
    except FreepageError as error:
        print_line(f"freepage: nothing was collected from Prometheus: {error.message}", sys.stderr)
        print(f"  hint: freepage prometheus {folder} --prometheus URL collects it later", file=sys.stderr)


def _find_status(records: Sequence[TrialRecord]) -> int:
    fine = {TrialStatus.OK, TrialStatus.SKIPPED}
    return 0 if all(record.status in fine for record in records) else SOME_TRIALS_FAILED
