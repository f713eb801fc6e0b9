"""The memory, time and disk that a study needs, held against those of the host: docs/decisions/014-counts-stay.md."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

from freepage.errors import CapacityError
from freepage.study.demand import find_demand_bytes
from freepage.study.fitting import Budget, Sketches, find_largest
from freepage.study.scaling.scale import LEAST_FACTOR
from freepage.study.study import Sizing
from freepage.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from freepage.study.file import StudyFile
    from freepage.study.plan import Trial
    from freepage.study.study import Conditions, Study


def find_budget(
    file: StudyFile,
    accelerator: str,
    available_bytes: int,
    *,
    memory_bytes: int | None = None,
    duration_s: float | None = None,
) -> Budget:
    """Return what a run may take: as given, else the study's [fit], of what is available.

    Raises CapacityError where more memory is given than is available.
    """
    if memory_bytes is not None and memory_bytes > available_bytes:
        raise CapacityError(
            f"--memory {format_bytes(memory_bytes)} is more than the {format_bytes(available_bytes)} available",
            hint="give less, or leave it out",
        )
    share = file.fit.memory
    own_bytes = share * available_bytes if share <= 1 else min(float(share), available_bytes)
    kvm_s = file.fit.time_kvm if accelerator == "kvm" else None
    own_s = file.fit.time if kvm_s is None else kvm_s
    return Budget(
        own_bytes if memory_bytes is None else memory_bytes, own_s if duration_s is None else duration_s
    )


def check_capacity(file: StudyFile, study: Study, conditions: Conditions, available_bytes: int) -> None:
    """Raise CapacityError when a trial needs more memory than is available; it names a scale that fits."""
    largest = max(study.experiments, key=find_demand_bytes)
    needed = find_demand_bytes(largest)
    if needed <= available_bytes:
        return
    sketches = Sketches(file, conditions)

    def fits(factor: float) -> bool:
        sizing = Sizing(factor)
        return all(sketches.demand_bytes(e, sizing) <= 0.9 * available_bytes for e in sketches.experiments)

    fitting = _round_down(find_largest(fits)) if fits(LEAST_FACTOR) else None
    instances = sum(g.instances for g in largest.groups)
    raise CapacityError(
        f"the study is too large: {largest.name} needs {format_bytes(needed)} "
        f"({instances} instances), {format_bytes(available_bytes)} are available",
        hint="leave out --scale, so that counts give way too"
        if fitting is None
        else f"--scale {fitting:.2g} fits",
    )


def check_disk(trials: Sequence[Trial], folder: Path) -> None:
    """Raise CapacityError when the test files of one trial do not fit where `folder` will be."""
    needed = max(t.disk_bytes for t in trials)
    home = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(home).free
    if needed > free:
        raise CapacityError(
            f"the test files need {format_bytes(needed)}, and {home} has {format_bytes(free)} free",
            hint="choose an --out on a larger disk, or a smaller --scale",
        )


def _round_down(factor: float) -> float:
    """Return a factor with two digits that is not larger."""
    steps = 1000 if factor < 0.1 else 100
    return math.floor(factor * steps) / steps
