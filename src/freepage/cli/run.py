"""Run a study and report on it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli.options import add_study_arguments, build_request

if TYPE_CHECKING:
    import argparse

    from freepage.records import Arm, Manifest

SOME_TRIALS_FAILED = 6
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder (default: STUDY-run)")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing, write nothing")
    parser.add_argument("--force", action="store_true", help="replace an earlier run in DIR")


def execute(options: argparse.Namespace) -> int:
    if options.dry_run:
        from freepage.cli import plan

        return plan.execute(options)
    folder: Path = options.out or Path(f"{Path(options.study).stem}-run")
    arms = _refuse_early(options, folder)
    interrupted = _run(options, folder, arms)
    return _report(folder, interrupted=interrupted)


def _refuse_early(options: argparse.Namespace, folder: Path) -> tuple[Arm, ...]:
    """Refuse what can be seen to be wrong before anything is started, fetched or removed; give what carries its instances."""
    from freepage.cli.plan import print_left_out
    from freepage.facts import read_host_facts
    from freepage.run import check_disk, prepare
    from freepage.store import check_folder
    from freepage.targets.local.accelerator import guess_accelerator

    check_folder(folder, force=options.force)
    accelerator = guess_accelerator(options.accel).name
    prepared = prepare(build_request(options), accelerator, read_host_facts())
    check_disk(prepared, folder)
    print_left_out(prepared)
    return tuple({i.carrier for t in prepared.trials for i in t.instances})


def _run(options: argparse.Namespace, folder: Path, arms: tuple[Arm, ...]) -> bool:
    """Run the study; true when it was interrupted."""
    try:
        asyncio.run(_run_cancellable(options, folder, arms))
    except asyncio.CancelledError:
        return True
    return False


async def _run_cancellable(options: argparse.Namespace, folder: Path, arms: tuple[Arm, ...]) -> Manifest:
    """Run with the signals that ask to stop turned into one cancellation, which cleans up."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - true of every coroutine that asyncio.run runs
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    from freepage.cli.progress import make_progress
    from freepage.run import run_study
    from freepage.targets.local.target import open_local_target

    kernel = Path(options.kernel) if options.kernel else None
    async with open_local_target(options.accel, kernel, options.node_memory, arms) as target:
        return await run_study(
            build_request(options), target, folder, make_progress(sys.stdout), force=options.force
        )


def _report(folder: Path, *, interrupted: bool) -> int:
    if not (folder / "manifest.json").exists():
        print("freepage: interrupted before anything was measured", file=sys.stderr)
        return INTERRUPTED
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
