"""The runs of fio in order: the device measured, the test files laid out, then every combination of operation and streams."""

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
class FioJob:
    """fio's part of an experiment: `file_bytes` in all test files together; every cell runs for `runtime_s`.

    prepare_s, margin_s: planned seconds to lay the files out, and for each fio to start and end. filesystem: "ext4",
    "xfs", or None for a folder of the host (pods only).
    """

    file_bytes: int
    streams: tuple[int, ...]
    operations: tuple[str, ...]
    runtime_s: float
    prepare_s: float
    margin_s: float
    filesystem: str | None

    @property
    def duration_s(self) -> float:
        """Return the seconds that all steps take by plan."""
        cells = len(self.operations) * len(self.streams)
        device_s = self.device_run_s + self.margin_s
        return cells * (device_s + self.runtime_s + self.margin_s) + self.prepare_s

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

    The device first (direct I/O on a file of its own, writes before reads, so that there is something to read), then
    the files are laid out, which leaves them in the page cache as far as they fit, then the cells, reads before writes.
    """
    runs: list[FioRun] = []
    now_s = 0.0
    for argv, label, planned_s in _planned_runs(job, seed):
        runs.append(FioRun(round(now_s, 6), argv, label, planned_s + STUCK_S))
        now_s += planned_s
    return runs


def _planned_runs(job: FioJob, seed: int) -> Iterator[tuple[tuple[str, ...], str, float]]:
    """Yield arguments, label and planned seconds of every run."""
    pairs = [(operation, streams) for streams in job.streams for operation in job.operations]
    for operation, streams in sorted(pairs, key=lambda p: "write" not in p[0]):
        argv = _device_argv(operation, streams, job, seed)
        yield argv, f"{DEVICE}/{operation}/{streams}", job.device_run_s + job.margin_s
    yield _prepare_argv(job, seed), PREPARE, job.prepare_s
    for operation, streams in sorted(pairs, key=lambda p: "write" in p[0]):
        argv = _cell_argv(operation, streams, job, seed)
        yield argv, f"{CELL}/{operation}/{streams}", job.runtime_s + job.margin_s


def _common_arguments(name: str, seed: int) -> tuple[str, ...]:
    return (
        PROGRAM,
        f"--name={name}",
        f"--directory={DATA}",
        "--output-format=json",
        "--thread=1",
        "--group_reporting=1",
        "--ioengine=psync",
        f"--randseed={seed + 1}",
    )


def _pattern_arguments(operation: str, runtime_s: float) -> tuple[str, ...]:
    words = (
        f"--rw={operation}",
        f"--bs={BLOCK_BYTES[operation]}",
        "--time_based=1",
        f"--runtime={round(runtime_s * 1000)}ms",
    )
    return (*words, "--norandommap=1") if operation.startswith("rand") else words


def _device_argv(operation: str, streams: int, job: FioJob, seed: int) -> tuple[str, ...]:
    share = DEVICE_FILE_BYTES // streams // MIB * MIB
    files = ("--filename=device", f"--size={share}", f"--offset_increment={share}", f"--numjobs={streams}")
    return (
        *_common_arguments(DEVICE, seed),
        *_pattern_arguments(operation, job.device_run_s),
        "--direct=1",
        *files,
    )


def _prepare_argv(job: FioJob, seed: int) -> tuple[str, ...]:
    """Return the arguments that write the files once, with content that cannot be compressed (fio's own layout can be), and flush them."""
    written = ("--rw=write", f"--bs={MIB}", "--refill_buffers=1", "--end_fsync=1", "--invalidate=0")
    return (*_common_arguments("test", seed), *written, *_all_files(job))


def _cell_argv(operation: str, streams: int, job: FioJob, seed: int) -> tuple[str, ...]:
    kept = ("--direct=0", "--invalidate=0")
    files = _all_files(job) if streams == 1 else _own_files(job, streams)
    return (*_common_arguments("test", seed), *_pattern_arguments(operation, job.runtime_s), *kept, *files)


def _all_files(job: FioJob) -> tuple[str, ...]:
    """Return the arguments of one stream that goes through all test files."""
    count = max(job.streams)
    size = job.file_bytes // count // MIB * MIB
    return (
        "--filename_format=test.$filenum",
        f"--nrfiles={count}",
        f"--filesize={size}",
        "--file_service_type=sequential",
    )


def _own_files(job: FioJob, streams: int) -> tuple[str, ...]:
    """Return the arguments of several streams, each with a test file of its own."""
    size = job.file_bytes // streams // MIB * MIB
    return ("--filename_format=test.$jobnum", "--nrfiles=1", f"--filesize={size}", f"--numjobs={streams}")
