"""What an image must carry beside the guest: the programs of its instances and the file systems of their disks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import HostError, StudyError
from freepage.image.disk import MAKERS, find_maker
from freepage.image.kernel import find_modules
from freepage.image.tools import find_program
from freepage.study.plan import ToolsPlan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.image.kernel import Kernel
    from freepage.study.plan import InstancePlan

# What the studies that come with freepage run; an image without it is still good for the others.
USUAL_PROGRAM = "fio"


@dataclass(frozen=True)
class Needs:
    """The tools, what makes file systems among them, and these file systems; `lacks` says what is left out, and why."""

    tools: ToolsPlan
    filesystems: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def find_needs(plans: Iterable[InstancePlan], kernel: Kernel) -> Needs:
    """Gather what these instances need, and what any study may: fio and every file system, where they are to be had.

    Raises StudyError for folders of programs that cannot all stand at one place.
    """
    instances = list(plans)
    tools = [i.tools for i in instances if i.tools is not None]
    programs = [program for plan in tools for program in plan.programs]
    needed = {i.data.filesystem for i in instances if i.data is not None}
    lacking = {name: _find_lack(name, kernel) for name in MAKERS if name not in needed}
    filesystems = tuple(name for name in MAKERS if lacking.get(name) is None)
    usual = None if USUAL_PROGRAM in programs else _find_lacking_program(USUAL_PROGRAM)
    programs += [] if usual else [USUAL_PROGRAM]
    programs += [MAKERS[name][0] for name in filesystems]
    plan = ToolsPlan(tuple(dict.fromkeys(programs)), _choose_folder(tools))
    return Needs(plan, filesystems, tuple(filter(None, (usual, *lacking.values()))))


def _choose_folder(tools: list[ToolsPlan]) -> str | None:
    folders = sorted({plan.folder for plan in tools if plan.folder is not None})
    if len(folders) > 1:
        raise StudyError(
            f"an image carries one folder of programs, not {' and '.join(folders)}",
            hint="build an image for each",
        )
    return folders[0] if folders else None


def _find_lack(filesystem: str, kernel: Kernel) -> str | None:
    """Say why guests cannot have a file system; None where they can."""
    try:
        find_maker(filesystem)
        find_modules(kernel, (filesystem,))
    except HostError as error:
        return error.message
    return None


def _find_lacking_program(name: str) -> str | None:
    try:
        find_program(name)
    except HostError as error:
        return error.message
    return None
