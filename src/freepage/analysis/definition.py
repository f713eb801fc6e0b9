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


class Nature(StrEnum):
    """The nature of a number, by which its interval is computed.

    POSITIVE: times, CPU, throughput, bytes and ratios of them; never below zero. SIGNED: differences, which may be zero or
    negative. SHARE: between 0 and 1. COUNT: of chances. CENSORED: a time that may not be reached.
    """

    POSITIVE = "positive"
    SIGNED = "signed"
    SHARE = "share"
    COUNT = "count"
    CENSORED = "censored"

    @property
    def has_ratio(self) -> bool:
        """Return whether two of it are compared by their ratio."""
        return self in {Nature.POSITIVE, Nature.CENSORED}

    @property
    def by_rank(self) -> bool:
        """Return whether no distribution may be assumed, so that ranges decide."""
        return self in {Nature.SHARE, Nature.COUNT}


# A difference of less is of no practical interest, unless a definition says otherwise.
MARGIN = 0.05


@dataclass(frozen=True)
class Definition:
    """One number before it is measured.

    id: its key in results.json. heading: above its column in tables, or before its value; short: above its column in a
    terminal, where that is another. headline: what it is called, and explained as, among the numbers on top. margin: the
    difference that matters in practice: a share of the number where it is positive or a ratio, of what it is
    taken from where it is a difference, absolute where it is a share; None where none is known.
    """

    id: str
    unit: str
    area: Area
    meaning: str
    heading: str = ""
    short: str = ""
    better: Better = Better.LOWER
    headline: tuple[str, str] = ("", "")
    nature: Nature = Nature.POSITIVE
    margin: float | None = MARGIN


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
    def nature(self) -> Nature:
        return self.definition.nature

    @property
    def margin(self) -> float | None:
        return self.definition.margin

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


def difference(
    id_: str, unit: str, area: Area, of: str, heading: str, better: Better = Better.LOWER
) -> Definition:
    """Define the difference of a number between two arms."""
    return Definition(id_, unit, area, of, heading, better=better, nature=Nature.SIGNED)


def saved_share(id_: str, area: Area, of: str, heading: str) -> Definition:
    """Define what FPR saves as a share of something that is not part of it, so that it may be negative or more than all."""
    return Definition(id_, "fraction", area, of, heading, better=Better.HIGHER, nature=Nature.SIGNED)


def release_time(
    id_: str, meaning: str, heading: str, short: str = "", headline: tuple[str, str] = ("", "")
) -> Definition:
    """Define the seconds from a free until a share is back, which some releases may not reach."""
    return Definition(
        id_, "s", Area.MEMORY, meaning, heading, short, headline=headline, nature=Nature.CENSORED, margin=0.1
    )
