"""Definitions of numbers before they are measured: unit, which way is better, heading."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Better(StrEnum):
    """The direction in which a number should go."""

    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = ""


class Area(StrEnum):
    """The area that a number belongs to, and that a doubt touches.

    MEMORY: what instances give back and hold, and what runs from a cache; it holds under emulation too. NODE: the
    node's memory, which other work moves too. TIME: times, CPU and throughput. ALL: everything.
    """

    MEMORY = "memory"
    NODE = "node"
    TIME = "time"
    ALL = "all"


@dataclass(frozen=True)
class Definition:
    """One number before it is measured.

    id: its key in results.json. heading: above its column in tables, or before its value; short: above its column in a
    terminal, where that is another. headline: what it is called, and explained as, among the numbers on top.
    """

    id: str
    unit: str
    area: Area
    meaning: str
    heading: str = ""
    short: str = ""
    better: Better = Better.LOWER
    headline: tuple[str, str] = ("", "")


class Number(StrEnum):
    """A number with its definition; as text it is its id."""

    definition: Definition

    def __new__(cls, definition: Definition) -> Self:
        member = str.__new__(cls, definition.id)
        member._value_ = definition.id
        member.definition = definition
        return member

    @classmethod
    def with_id(cls, id_: str) -> Self:
        """Return the number with an id; ValueError where there is none."""
        for number in cls:
            if number.value == id_:
                return number
        raise ValueError(f"there is no number {id_!r}")

    @property
    def unit(self) -> str:
        return self.definition.unit

    @property
    def area(self) -> Area:
        return self.definition.area

    @property
    def heading(self) -> str:
        return self.definition.heading

    @property
    def short_heading(self) -> str:
        return self.definition.short or self.definition.heading


def seconds(id_: str, meaning: str, heading: str, short: str = "") -> Definition:
    """Define a time in seconds."""
    return Definition(id_, "s", Area.TIME, meaning, heading, short)


def cores(id_: str, meaning: str, heading: str, short: str = "") -> Definition:
    """Define CPU as a number of busy cores."""
    return Definition(id_, "cores", Area.TIME, meaning, heading, short)


def node_bytes(id_: str, meaning: str, heading: str = "", better: Better = Better.LOWER) -> Definition:
    """Define memory of the node in bytes."""
    return Definition(id_, "bytes", Area.NODE, meaning, heading, better=better)


def ratio(id_: str, area: Area, of: str, heading: str) -> Definition:
    """Define the ratio of a number of VMs with FPR to that of VMs without."""
    return Definition(id_, "ratio", area, f"`{of}`, vm-fpr / vm", heading)
