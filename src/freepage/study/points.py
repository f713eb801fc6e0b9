"""The points of a map: every combination of its blocks, holds and idle times, each an experiment of its own."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from freepage.study.group_file import CyclicGroupFile, GridGroupFile
from freepage.study.values import DurationRange, SizeRange
from freepage.units import MIB, format_bytes, format_duration

if TYPE_CHECKING:
    from freepage.study.file import ExperimentFile, StudyFile


def expand_maps(file: StudyFile) -> StudyFile:
    """Return a study in which every map is its points; a map that the verdict rests on is its first point.

    That is the one with the longest idle time, the first block and the first hold, which shows best what FPR gives back.
    """
    points = {each.name: _list_points(each) for each in file.experiment}
    experiments = tuple(point for each in points.values() for point in each)
    headline = points[file.verdict_headline][0].name if file.verdict_headline else ""
    return file.model_copy(update={"experiment": experiments, "verdict_headline": headline})


def is_point(experiment: ExperimentFile) -> bool:
    """Return whether an experiment is a point of a map."""
    return experiment.kind.workload is not None and experiment.kind.workload.grid


def find_place(point: ExperimentFile) -> tuple[float, int, float]:
    """Return where on its map a point lies: seconds held, bytes of the block, seconds idle."""
    (group,) = point.groups
    assert isinstance(group, CyclicGroupFile)  # noqa: S101 - maps are points once they are read
    return group.hold.max, int(group.size.max), group.idle.max


def _list_points(experiment: ExperimentFile) -> list[ExperimentFile]:
    """Return the points of a map, the longest idle time first in each line; any other experiment alone."""
    grid = experiment.groups[0]
    if not isinstance(grid, GridGroupFile):
        return [experiment]
    places = product(grid.hold, grid.size, sorted(grid.idle, reverse=True))
    return [_make_point(experiment, grid, *place) for place in places]


def _make_point(
    experiment: ExperimentFile, grid: GridGroupFile, hold_s: float, size: int, idle_s: float
) -> ExperimentFile:
    name = f"{experiment.name}-{size // MIB}m-{_name_time(hold_s)}-{_name_time(idle_s)}"
    words = f"{format_bytes(size)} held for {format_duration(hold_s)}, free for {format_duration(idle_s)}"
    title = f"{experiment.title}: {words}" if experiment.title else words
    kept = {key: getattr(grid, key) for key in GridGroupFile.model_fields}
    place = {
        "size": SizeRange.model_construct(min=size, max=size, step=size),
        "hold": DurationRange.model_construct(min=hold_s, max=hold_s, step=hold_s),
        "idle": DurationRange.model_construct(min=idle_s, max=idle_s, step=idle_s),
    }
    group = CyclicGroupFile.model_construct(**(kept | place))
    return experiment.model_copy(update={"name": name, "title": title, "groups": (group,)})


def _name_time(seconds: float) -> str:
    """Return a time as a name can have it: "2s", "2500ms"."""
    return f"{seconds:.0f}s" if seconds == round(seconds) else f"{seconds * 1000:.0f}ms"
