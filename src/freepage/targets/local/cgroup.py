"""A memory cgroup for each instance below one for the run, which can play the node. Versions 1 and 2."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.errors import HostError
from freepage.sampling.instances import CgroupTexts, read_cgroup
from freepage.targets.local.facts import find_cgroup_version

if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUPS = Path("/sys/fs/cgroup")
PREFIX = "freepage-"
REMOVE_DEADLINE_S = 15.0


@dataclass(frozen=True)
class Cgroup:
    """One cgroup of the memory controller: its folder, the version (1 or 2), and its path below the controller."""

    folder: Path
    version: int

    @property
    def procs(self) -> Path:
        return self.folder / "cgroup.procs"

    def process_ids(self) -> list[int]:
        """Return the processes in it; none when it is gone."""
        try:
            return [int(word) for word in self.procs.read_text(encoding="ascii").split()]
        except OSError:
            return []

    def read(self) -> CgroupTexts:
        """Read the files that tell of its memory; every text is "" when it is gone."""
        return read_cgroup(self.folder, self.version)


@contextmanager
def open_run_cgroup(limit_bytes: int | None) -> Iterator[Cgroup | None]:
    """Make the run's cgroup, with a limit if it plays the node, and remove it with all below at the end.

    None where cgroups cannot be written and no limit is wanted; HostError if one is wanted.
    """
    version = find_cgroup_version()
    home = CGROUPS / "memory" if version == 1 else CGROUPS
    if version is None or not os.access(home, os.W_OK):
        if limit_bytes is not None:
            raise HostError(
                "--node-memory needs a writable memory cgroup controller", hint="run freepage as root"
            )
        yield None
        return
    remove_stale(home)
    run = Cgroup(home / f"{PREFIX}{os.getpid()}", version)
    try:
        _make(run)
        set_limit(run, limit_bytes)
        yield run
    finally:
        remove_tree(run)
        _remove_shadows(run)


def set_limit(cgroup: Cgroup, limit_bytes: int | None) -> None:
    """Set what a cgroup may have of the memory, page cache included; None for no limit."""
    name, none = ("memory.max", "max") if cgroup.version == 2 else ("memory.limit_in_bytes", "-1")
    text = none if limit_bytes is None else str(limit_bytes)
    (cgroup.folder / name).write_text(text, encoding="ascii")


@contextmanager
def open_instance_cgroup(run: Cgroup | None, name: str) -> Iterator[Cgroup | None]:
    """Make an instance's cgroup below the run's, and remove it, with whatever is left in it, at the end."""
    if run is None:
        yield None
        return
    instance = Cgroup(run.folder / name, run.version)
    try:
        instance.folder.mkdir()
        yield instance
    finally:
        remove_tree(instance)


def remove_tree(cgroup: Cgroup) -> None:
    """Kill what is left in a cgroup of ours and remove it, children first; HostError if it will not go."""
    if not cgroup.folder.exists():
        return
    for child in (p for p in cgroup.folder.iterdir() if p.is_dir()):
        remove_tree(Cgroup(child, cgroup.version))
    deadline_s = time.monotonic() + REMOVE_DEADLINE_S
    while not _try_to_remove(cgroup):
        if time.monotonic() > deadline_s:
            raise HostError(
                f"the cgroup {cgroup.folder} cannot be removed: processes {cgroup.process_ids()} are still in it",
                hint=f"end them, then: rmdir {cgroup.folder}",
            )
        time.sleep(0.02)


def remove_stale(home: Path) -> None:
    """Remove what a freepage that was killed left behind: cgroups named after processes that are gone.

    Of version 1 below every controller, since runc makes them there.
    """
    version = 1 if home.name == "memory" else 2
    for folder in home.parent.glob(f"*/{PREFIX}*") if version == 1 else home.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX)
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(HostError):
                remove_tree(Cgroup(folder, version))


def _make(run: Cgroup) -> None:
    run.folder.mkdir()
    if run.version == 2:
        with contextlib.suppress(OSError):
            (run.folder.parent / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
        (run.folder / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    elif (run.folder / "memory.use_hierarchy").read_text(encoding="ascii").strip() == "0":
        (run.folder / "memory.use_hierarchy").write_text("1", encoding="ascii")


def _remove_shadows(run: Cgroup) -> None:
    """Remove the folders that runc makes below every other controller of version 1."""
    for folder in CGROUPS.glob(f"*/{run.folder.name}"):
        with contextlib.suppress(HostError):
            remove_tree(Cgroup(folder, run.version))


def _try_to_remove(cgroup: Cgroup) -> bool:
    for pid in cgroup.process_ids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        cgroup.folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
