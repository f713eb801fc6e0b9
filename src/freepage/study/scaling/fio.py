"""Groups that run fio, at a scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from freepage.study.fio import FioJob, FioOptions
from freepage.study.scaling.memory import COMPACT_RESERVE_BYTES, SMALLEST_VM_BYTES
from freepage.study.study import FioGroup
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.study.group_file import FioGroupFile
    from freepage.study.scaling.scale import Scale
    from freepage.study.values import Share

# For laying out test files, in bytes per second, and for a fio to start and end beside its runtime: plans, never results.
PLANNED_WRITE_RATE = {"kvm": 400 * MIB, "tcg": 100 * MIB}
PLANNED_FIO_MARGIN_S = {"kvm": 0.4, "tcg": 1.3}
# A guest needs this beside its files, for its kernel and fio, however small its share of the original is.
GUEST_IO_RESERVE_BYTES = 224 * MIB
PAGE_CACHE_SHARE = 0.85
# No scale makes files in guests smaller: each of several streams still has some tens of MiB.
SMALLEST_FILES_BYTES = 256 * MIB


def scale_fio(file: FioGroupFile, scale: Scale) -> FioGroup:
    """Return a group that runs fio at a scale; a file that is "auto" has 0 bytes until its node is known."""
    file_bytes = 0 if isinstance(file.file, str) else _scale_file(file.file, scale)
    accelerator = scale.conditions.accelerator
    job = FioJob(
        file_bytes=file_bytes,
        streams=(min(file.streams),) if scale.smoke else file.streams,
        operations=file.operations[::2] if scale.smoke else file.operations,
        runtime_s=min(file.runtime, max(scale.limits.shortest_runtime_s, file.runtime * scale.factor)),
        prepare_s=planned_prepare_s(file_bytes, accelerator),
        margin_s=PLANNED_FIO_MARGIN_S[accelerator],
        filesystem=file.filesystem,
        options=FioOptions(
            file.engine, file.depth, file.direct, None if file.block is None else scale.in_bytes(file.block)
        ),
    )
    return FioGroup(
        name=file.name,
        workload=file.workload,
        carrier=file.fixed_carrier,
        instances=scale.count_instances(file.instances),
        cpus=file.cpus,
        vm_memory_bytes=_vm_memory_bytes(file, file_bytes, scale),
        duration_s=job.duration_s,
        after_s=file.after,
        job=job,
    )


def _scale_file(size: int | Share, scale: Scale) -> int:
    """Return the bytes of test files: never below the smallest, and never more than the study's own."""
    return max(scale.scaled_bytes(size), min(SMALLEST_FILES_BYTES, scale.in_bytes(size)))


def planned_prepare_s(file_bytes: float, accelerator: str) -> float:
    """Return the seconds kept for laying out the test files."""
    return math.ceil(file_bytes / PLANNED_WRITE_RATE[accelerator]) + PLANNED_FIO_MARGIN_S[accelerator]


def _vm_memory_bytes(file: FioGroupFile, file_bytes: int, scale: Scale) -> int:
    """Return a guest's share of the original, and beside its files at least what does not shrink (kernel, fio)."""
    wanted: float = file_bytes / PAGE_CACHE_SHARE
    if file.vm_memory is not None:
        wanted = _scale_vm(file.vm_memory, file, file_bytes, scale)
    if scale.shrinks or file.vm_memory is None:
        wanted = max(wanted, min(file_bytes, wanted) + GUEST_IO_RESERVE_BYTES)
    least = COMPACT_RESERVE_BYTES if scale.sizing.compact else SMALLEST_VM_BYTES
    return max(least, math.ceil(wanted / (16 * MIB)) * 16 * MIB)


def _scale_vm(vm_memory: int | Share, file: FioGroupFile, file_bytes: int, scale: Scale) -> float:
    """Return a guest's memory at the scale, in the study's own proportion to files that are no smaller than the smallest."""
    own = 0 if isinstance(file.file, str) else scale.in_bytes(file.file)
    wanted = scale.scaled_bytes(vm_memory)
    return max(wanted, scale.in_bytes(vm_memory) * file_bytes / own) if own else wanted
