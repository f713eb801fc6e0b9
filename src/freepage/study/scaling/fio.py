"""Groups that run fio, at a scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from freepage.study.fio import FioJob
from freepage.study.scaling.memory import SMALLEST_VM_BYTES
from freepage.study.study import FioGroup
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.study.group_file import FioGroupFile
    from freepage.study.scaling.scale import Scale

# For laying out test files, in bytes per second, and for a fio to start and end beside its runtime: plans, never results.
PLANNED_WRITE_RATE = {"kvm": 400 * MIB, "tcg": 100 * MIB}
PLANNED_FIO_MARGIN_S = {"kvm": 0.4, "tcg": 1.3}
# A guest needs this beside its files, for its kernel and fio, however small its share of the original is.
GUEST_IO_RESERVE_BYTES = 224 * MIB
PAGE_CACHE_SHARE = 0.85


def scale_fio(file: FioGroupFile, scale: Scale) -> FioGroup:
    """Return a group that runs fio at a scale; a file that is "auto" has 0 bytes until its node is known."""
    file_bytes = 0 if isinstance(file.file, str) else scale.scaled_bytes(file.file)
    accelerator = scale.conditions.accelerator
    job = FioJob(
        file_bytes=file_bytes,
        streams=(min(file.streams),) if scale.smoke else file.streams,
        operations=file.operations[::2] if scale.smoke else file.operations,
        runtime_s=min(file.runtime, max(scale.limits.shortest_runtime_s, file.runtime * scale.factor)),
        prepare_s=planned_prepare_s(file_bytes, accelerator),
        margin_s=PLANNED_FIO_MARGIN_S[accelerator],
        filesystem=file.filesystem,
    )
    return FioGroup(
        name=file.name,
        workload=file.workload,
        carrier=file.fixed_carrier,
        instances=file.instances,
        cpus=file.cpus,
        vm_memory_bytes=_vm_memory_bytes(file, file_bytes, scale),
        duration_s=job.duration_s,
        after_s=file.after,
        job=job,
    )


def planned_prepare_s(file_bytes: float, accelerator: str) -> float:
    """Return the seconds kept for laying out the test files."""
    return math.ceil(file_bytes / PLANNED_WRITE_RATE[accelerator]) + PLANNED_FIO_MARGIN_S[accelerator]


def _vm_memory_bytes(file: FioGroupFile, file_bytes: int, scale: Scale) -> int:
    """Return a guest's share of the original, and beside its files at least what does not shrink (kernel, fio)."""
    wanted: float = file_bytes / PAGE_CACHE_SHARE
    if file.vm_memory is not None:
        wanted = scale.scaled_bytes(file.vm_memory)
    if scale.shrinks or file.vm_memory is None:
        wanted = max(wanted, min(file_bytes, wanted) + GUEST_IO_RESERVE_BYTES)
    return max(SMALLEST_VM_BYTES, math.ceil(wanted / (16 * MIB)) * 16 * MIB)
