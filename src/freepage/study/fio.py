"""The runs of fio in order: the device measured, then for each number of streams test files laid out, read and written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.records import BLOCK_BYTES, CELL, DEVICE, PREPARE
from freepage.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE_FILE_BYTES = 64 * MIB
LONGEST_DEVICE_RUN_S = 2.0
DEVICE_SHARE = 0.6
# A fio that takes this much longer than planned is taken to be stuck.
STUCK_S = 60.0
# A file system needs this beside the files: a journal, inodes, some slack. xfs refuses disks below 300 MiB.
FILE_SYSTEM_BYTES = 96 * MIB
SMALLEST_DISK_BYTES = 320 * MIB
PROGRAM = "fio"
DATA = "/data"


@dataclass(frozen=True)
class FioOptions:
    """The options of fio that a study may change: its engine and queue depth, direct I/O, and the bytes of one I/O.

    block_bytes: None for that of the operation (records.BLOCK_BYTES).
    """

    engine: str = "psync"
    depth: int = 1
    direct: bool = False
    block_bytes: int | None = None


@dataclass(frozen=True)
class FioJob:
    """fio's part of an experiment: `file_bytes` in all test files together; every cell runs for `runtime_s`.

    streams: for each number of them the files are laid out anew, one for each stream. prepare_s, margin_s: planned seconds
    to lay the files out once, and for each fio to start and end. filesystem: "ext4", "xfs", or None for a folder of the
    host (pods only).
    """

    file_bytes: int
    streams: tuple[int, ...]
    operations: tuple[str, ...]
    runtime_s: float
    prepare_s: float
    margin_s: float
    filesystem: str | None
    options: FioOptions = FioOptions()

    @property
    def duration_s(self) -> float:
        """Return the seconds that all steps take by plan."""
        cells = len(self.operations) * len(self.streams)
        device_s = self.device_run_s + self.margin_s
        return cells * (device_s + self.runtime_s + self.margin_s) + len(self.streams) * self.prepare_s

    @property
    def device_run_s(self) -> float:
        return min(self.runtime_s * DEVICE_SHARE, LONGEST_DEVICE_RUN_S)

    @property
    def disk_bytes(self) -> int:
        """Return the size the file system needs."""
        needed = (self.file_bytes + DEVICE_FILE_BYTES) * 1.05 + FILE_SYSTEM_BYTES
        return max(SMALLEST_DISK_BYTES, math.ceil(needed / MIB) * MIB)


@dataclass(frozen=True)
class FioRun:
    """One fio: when it starts (seconds after the first), its arguments, what it measures, and its deadline."""

    at_s: float
    argv: tuple[str, ...]
    label: str
    timeout_s: float


def fio_runs(job: FioJob, seed: int) -> list[FioRun]:
    """Return every fio of a job in order.

    The device first (direct I/O on a file of its own, writes before reads, so that there is something to read), then for
    each number of streams the files are laid out, which leaves them in the page cache as far as they fit, and read before
    they are written. The last fio on them takes them away, so that the next ones have the disk and the cache alone.
    """
    runs: list[FioRun] = []
    now_s = 0.0
    for argv, label, planned_s in (*_device_runs(job, seed), *_file_runs(job, seed)):
        runs.append(FioRun(round(now_s, 6), argv, label, planned_s + STUCK_S))
        now_s += planned_s
    return runs


_PlannedRun = tuple[tuple[str, ...], str, float]


def _device_runs(job: FioJob, seed: int) -> Iterator[_PlannedRun]:
    """Yield arguments, label and planned seconds of every run on the device."""
    pairs = [(operation, streams) for streams in job.streams for operation in job.operations]
    for operation, streams in sorted(pairs, key=lambda p: "write" not in p[0]):
        argv = _device_argv(operation, streams, job, seed)
        yield argv, f"{DEVICE}/{operation}/{streams}", job.device_run_s + job.margin_s


def _file_runs(job: FioJob, seed: int) -> Iterator[_PlannedRun]:
    """Yield arguments, label and planned seconds of every run on test files."""
    operations = sorted(job.operations, key=lambda operation: "write" in operation)
    for streams in job.streams:
        yield _prepare_argv(streams, job, seed), PREPARE, job.prepare_s
        for operation in operations:
            argv = _cell_argv(operation, streams, job, seed)
            if operation is operations[-1] and streams != job.streams[-1]:
                argv = (*argv, "--unlink=1")
            yield argv, f"{CELL}/{operation}/{streams}", job.runtime_s + job.margin_s


def _common_arguments(name: str, seed: int, options: FioOptions) -> tuple[str, ...]:
    return (
        PROGRAM,
        f"--name={name}",
        f"--directory={DATA}",
        "--output-format=json",
        "--thread=1",
        "--group_reporting=1",
        f"--ioengine={options.engine}",
        f"--iodepth={options.depth}",
        f"--randseed={seed + 1}",
    )


def _pattern_arguments(operation: str, runtime_s: float, options: FioOptions) -> tuple[str, ...]:
    words = (
        f"--rw={operation}",
        f"--bs={options.block_bytes or BLOCK_BYTES[operation]}",
        "--time_based=1",
        f"--runtime={round(runtime_s * 1000)}ms",
    )
    return (*words, "--norandommap=1") if operation.startswith("rand") else words


def _device_argv(operation: str, streams: int, job: FioJob, seed: int) -> tuple[str, ...]:
    share = DEVICE_FILE_BYTES // streams // MIB * MIB
    files = ("--filename=device", f"--size={share}", f"--offset_increment={share}", f"--numjobs={streams}")
    return (
        *_common_arguments(DEVICE, seed, job.options),
        *_pattern_arguments(operation, job.device_run_s, job.options),
        "--direct=1",
        *files,
    )


def _prepare_argv(streams: int, job: FioJob, seed: int) -> tuple[str, ...]:
    """Return the arguments that write the files once, with content that cannot be compressed (fio's own layout can be), and flush them."""
    written = ("--rw=write", f"--bs={MIB}", "--refill_buffers=1", "--end_fsync=1", "--invalidate=0")
    size = job.file_bytes // streams // MIB * MIB
    files = (f"--nrfiles={streams}", f"--filesize={size}", "--file_service_type=sequential")
    common = _common_arguments("test", seed, FioOptions())
    return (*common, *written, "--filename_format=test.$filenum", *files)


def _cell_argv(operation: str, streams: int, job: FioJob, seed: int) -> tuple[str, ...]:
    """Return the arguments of streams that each have a test file of their own."""
    kept = (f"--direct={int(job.options.direct)}", "--invalidate=0")
    size = job.file_bytes // streams // MIB * MIB
    files = ("--filename_format=test.$jobnum", "--nrfiles=1", f"--filesize={size}", f"--numjobs={streams}")
    common = _common_arguments("test", seed, job.options)
    return (*common, *_pattern_arguments(operation, job.runtime_s, job.options), *kept, *files)
