"""Run a study and report on it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli.options import add_study_arguments, build_request
from freepage.cli.prometheus import add_prometheus_arguments, check_now, collect_into
from freepage.errors import FreepageError

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractAsyncContextManager

    from freepage.records import Manifest
    from freepage.targets.base import Place

SOME_TRIALS_FAILED = 6
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: STUDY-run)")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing, write nothing")
    add_prometheus_arguments(parser)
    parser.add_argument("--force", action="store_true", help="replace an earlier run in DIR")


def execute(options: argparse.Namespace) -> int:
    if options.dry_run:
        from freepage.cli import plan

        return plan.execute(options)
    folder: Path = options.out or Path(f"{Path(options.study).stem}-run")
    place = _choose_place(options, folder)
    earlier = _read_manifest(folder)
    interrupted, problem = False, None
    try:
        interrupted = _run(options, folder, place)
    except FreepageError as error:
        problem = error
    if _read_manifest(folder) == earlier:
        if problem is not None:
            raise problem
        print("freepage: interrupted before anything was measured", file=sys.stderr)
        return INTERRUPTED
    if options.prometheus is not None:
        _collect(options, folder)
    status = _report(folder, interrupted=interrupted)
    if problem is not None:
        raise problem
    return status


def _read_manifest(folder: Path) -> bytes | None:
    """Read what tells one run in a folder from another; None where there is none."""
    from freepage.store import MANIFEST

    path = folder / MANIFEST
    return path.read_bytes() if path.exists() else None


def _choose_place(options: argparse.Namespace, folder: Path) -> AbstractAsyncContextManager[Place]:
    """Refuse what can be seen to be wrong before anything is started, fetched or removed; give the place of the run."""
    from freepage.cli.targets import open_cluster_run, open_local, refuse_cluster_options
    from freepage.store import check_folder

    check_folder(folder, force=options.force)
    if options.prometheus is not None:
        asyncio.run(check_now(options))
    if options.target == "cluster":
        return open_cluster_run(options)
    from freepage.cli.plan import print_left_out
    from freepage.study.capacity import check_disk
    from freepage.study.request import plan_run
    from freepage.targets.local.accelerator import guess_accelerator
    from freepage.targets.local.facts import read_host_facts

    refuse_cluster_options(options)
    accelerator = guess_accelerator(options.accel).name
    run_plan = plan_run(build_request(options), accelerator, read_host_facts())
    check_disk(run_plan.trials, folder)
    print_left_out(run_plan)
    return open_local(options, run_plan.trials)


def _run(options: argparse.Namespace, folder: Path, place: AbstractAsyncContextManager[Place]) -> bool:
    """Run the study; true when it was interrupted."""
    try:
        asyncio.run(_run_cancellable(options, folder, place))
    except asyncio.CancelledError:
        return True
    return False


async def _run_cancellable(
    options: argparse.Namespace, folder: Path, place: AbstractAsyncContextManager[Place]
) -> Manifest:
    """Run with the signals that ask to stop turned into one cancellation, which cleans up."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - true of every coroutine that asyncio.run runs
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    from freepage.cli.progress import make_progress
    from freepage.run.run import run_study

    async with place as opened:
        return await run_study(
            build_request(options), opened, folder, make_progress(sys.stdout), force=options.force
        )


def _collect(options: argparse.Namespace, folder: Path) -> None:
    """Keep what a Prometheus has of the run; a run without it is still a run."""
    try:
        asyncio.run(collect_into(options, folder))
    except FreepageError as error:
        print(f"freepage: nothing was collected from Prometheus: {error.message}", file=sys.stderr)
        print(f"  hint: freepage prometheus {folder} --prometheus URL collects it later", file=sys.stderr)


def _report(folder: Path, *, interrupted: bool) -> int:
    from freepage.cli.show import show_run
    from freepage.records import TrialStatus
    from freepage.report.page import render_report
    from freepage.store import load_run

    page = render_report(folder)
    show_run(folder)
    print(f"report: {page}")
    if interrupted:
        return INTERRUPTED
    fine = {TrialStatus.OK, TrialStatus.SKIPPED}
    ok = all(t.record.status in fine for t in load_run(folder).trials)
    return 0 if ok else SOME_TRIALS_FAILED
