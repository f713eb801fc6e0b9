"""What one worker process does and when: a pure function of the study, the seed and the process' name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepage.records import Action


@dataclass(frozen=True)
class Step:
    """One action at a fixed time: `at_s` seconds after the trial's zero.

    An allocation maps `bytes` anonymously and writes one byte every `stride_bytes`; until it is freed it is held as
    `scan` says: "once" (left alone), "sequential" or "random" (touched again and again, in order or seeded order).
    """

    at_s: float
    action: Action
    bytes: int
    iteration: int
    scan: str = "once"
    stride_bytes: int = 4096
    seed: int = 0


@dataclass(frozen=True)
class ProcessSchedule:
    """The steps of one process, in order of time."""

    process: int
    steps: tuple[Step, ...]
