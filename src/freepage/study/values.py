"""The values a study file can hold: sizes, shares of the node's memory, durations, and ranges of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from freepage.units import MIB, parse_duration, parse_share, parse_size

STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)
# The smallest block of a map: the largest that the guests of most machines report.
SMALLEST_POINT_BYTES = 4 * MIB


class Share(float):
    """A size given as a share of the node's memory: 0.25 for "25%"."""

    __slots__ = ()


def _read_size(value: object) -> object:
    if isinstance(value, str) and value.strip().endswith("%"):
        share = parse_share(value)
        if not 0 < share <= 1:
            raise ValueError(f"{value!r} is no share of the node between 0% and 100%")
        return Share(share)
    if isinstance(value, str):
        return parse_size(value)
    raise ValueError(f"{value!r} is not a size: write it as text with its unit, such as '512MiB' or '25%'")


def read_duration(value: object) -> object:
    """Return text such as "90s" in seconds; ValueError for anything else."""
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{value!r} is not a duration: write it as text with its unit, such as '90s'")


def _split_range(value: object) -> object:
    """Return min, max and step of 'min,max,step', of a table with those keys, or of one value for all three."""
    if isinstance(value, dict):
        return value
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
    if len(parts) not in {1, 3}:
        raise ValueError(
            f"{value!r} is neither one value nor 'min,max,step'; decimals have a point: 0.5, not 0,5"
        )
    return dict(zip(("min", "max", "step"), parts * (3 // len(parts)), strict=True))


def _read_file_size(value: object) -> object:
    return value if value == "auto" else _read_size(value)


def _read_block(value: object) -> object:
    size = _read_size(value)
    if isinstance(size, int) and size >= SMALLEST_POINT_BYTES and size % MIB == 0:
        return size
    raise ValueError(
        f"{value!r} is no block of a map: whole MiB, 4MiB at least, and no share of a node, since points are the same everywhere"
    )


def _read_time(value: object) -> object:
    seconds = read_duration(value)
    return round(seconds, 3) if isinstance(seconds, float) else seconds


def _check_values(values: tuple[float, ...]) -> tuple[float, ...]:
    """Raise ValueError for the list of a map that has no value, or one of them twice."""
    if not values:
        raise ValueError("the list is empty, and a map needs one value of each at least")
    again = next((n for n, value in enumerate(values) if value in values[:n]), None)
    if again is not None:
        raise ValueError(f"value {again + 1} of the list is the same as an earlier one")
    return values


Size = Annotated[int | Share, BeforeValidator(_read_size)]
SizeOrAuto = Annotated[int | Share | Literal["auto"], BeforeValidator(_read_file_size)]
Duration = Annotated[float, BeforeValidator(read_duration), Field(ge=0)]
# The lists of a map; its times are whole milliseconds, by which its points are called.
Blocks = Annotated[tuple[Annotated[int, BeforeValidator(_read_block)], ...], AfterValidator(_check_values)]
PointTime = Annotated[float, BeforeValidator(_read_time)]
Holds = Annotated[tuple[Annotated[PointTime, Field(ge=0)], ...], AfterValidator(_check_values)]
Idles = Annotated[tuple[Annotated[PointTime, Field(gt=0)], ...], AfterValidator(_check_values)]


class SizeRange(BaseModel):
    """Sizes min, min + step, ... up to max, each in bytes or as a share of the node."""

    model_config = STRICT
    min: Size
    max: Size
    step: Size

    @model_validator(mode="after")
    def _check_order(self) -> SizeRange:
        if isinstance(self.min, Share) == isinstance(self.max, Share) and self.min > self.max:
            raise ValueError("the range's min is greater than its max")
        if not min(self.min, self.max, self.step) > 0:
            raise ValueError("a size must be greater than 0")
        return self


class DurationRange(BaseModel):
    """Durations min, min + step, ... up to max, in seconds."""

    model_config = STRICT
    min: Duration
    max: Duration
    step: Duration

    @property
    def is_one_value(self) -> bool:
        return self.min == self.max

    @model_validator(mode="after")
    def _check_order(self) -> DurationRange:
        if self.min > self.max:
            raise ValueError("the range's min is greater than its max")
        return self


SizeRangeText = Annotated[SizeRange, BeforeValidator(_split_range)]
DurationRangeText = Annotated[DurationRange, BeforeValidator(_split_range)]
