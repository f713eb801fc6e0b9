"""A map on the host that is a few formulas (modelled_run.py): one block, whose points are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.records import Arm
from helpers.modelled_run import Truth, write_run

if TYPE_CHECKING:
    from pathlib import Path

STUDY = """
name = "modelled"
title = "A map whose truth is known"
seed = 7
scale = 1.0

[[experiment]]
kind = "map"
repeats = {repeats}
size = ["256MiB"]
slot = "3s"
hold = ["2s"]
idle = ["1s", "3s", "6s"]
iterations = 3
"""


def write_map(folder: Path, truth: Truth | None = None) -> Truth:
    """Write a run of the map: 256 MiB come back in one pass, and allocating them again takes 0.3 s longer a GiB."""
    return write_run(folder, truth, study=STUDY, arms=(Arm.VM, Arm.VM_FPR))
