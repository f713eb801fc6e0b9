"""The contents an image needs beside the guest: the programs of its instances and the file systems of their disks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import HostError, StudyError
from freepage.image.disk import MKFS_COMMANDS, find_mkfs
from freepage.image.modules import find_modules
from freepage.image.programs import find_program
from freepage.study.plan import ToolsPlan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.image.kernel import Kernel
    from freepage.study.plan import InstancePlan

# What the studies that come with freepage run (docs/decisions/010-image-for-clusters.md); an image without it is good
# for the others.
USUAL_PROGRAM = "fio"


@dataclass(frozen=True)
class Requirements:
    """The tools, what makes file systems among them, and these file systems; `missing` has why each of the rest is left out."""

    tools: ToolsPlan
    filesystems: tuple[str, ...]
    missing: tuple[str, ...] = ()


def find_requirements(plans: Iterable[InstancePlan], kernel: Kernel) -> Requirements:
    """Return what these instances need, and what any study may: fio and every file system this host has.

    Raises StudyError for more than one folder of programs.
    """
    instances = list(plans)
    tools = [i.tools for i in instances if i.tools is not None]
    programs = [program for plan in tools for program in plan.programs]
    needed = {i.data.filesystem for i in instances if i.data is not None}
    missing = {name: _explain_missing(name, kernel) for name in MKFS_COMMANDS if name not in needed}
    filesystems = tuple(name for name in MKFS_COMMANDS if missing.get(name) is None)
    no_fio = None if USUAL_PROGRAM in programs else _explain_missing_program(USUAL_PROGRAM)
    programs += [] if no_fio else [USUAL_PROGRAM]
    programs += [MKFS_COMMANDS[name][0] for name in filesystems]
    plan = ToolsPlan(tuple(dict.fromkeys(programs)), _choose_folder(tools))
    return Requirements(plan, filesystems, tuple(filter(None, (no_fio, *missing.values()))))


def _choose_folder(tools: list[ToolsPlan]) -> str | None:
    folders = sorted({plan.folder for plan in tools if plan.folder is not None})
    if len(folders) > 1:
        raise StudyError(
            f"an image carries one folder of programs, not {' and '.join(folders)}",
            hint="build an image for each",
        )
    return folders[0] if folders else None


def _explain_missing(filesystem: str, kernel: Kernel) -> str | None:
    """Return why guests cannot have a file system; None where they can."""
    try:
        find_mkfs(filesystem)
        find_modules(kernel, (filesystem,))
    except HostError as error:
        return error.message
    return None


def _explain_missing_program(name: str) -> str | None:
    try:
        find_program(name)
    except HostError as error:
        return error.message
    return None
