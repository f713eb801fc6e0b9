"""Traces as a source hands them over, with what is to be said beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.forecast.trace import VmTrace


@dataclass
class FoundTraces:
    """Traces, one VM at a time, so that thousands need no memory; the notes are whole once the last has come.

    about: what was looked at, and when. assumptions: what every forecast from this source rests on. notes: what of it is not
    known, and why.
    """

    about: str
    traces: Iterator[VmTrace]
    assumptions: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
