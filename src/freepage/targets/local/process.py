"""Starts and ends the processes that carry instances."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from freepage.worker.channel import LONGEST_LINE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.targets.local.cgroup import Cgroup

# docs/decisions/002-guest-and-vm.md
# The shell puts itself into the cgroup before it becomes the program, so that every page is charged there. It is
# killed with freepage, should freepage itself be killed.
_ENTER_CGROUP = 'echo 0 > "$1" && shift && exec "$@"'
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
END_DEADLINE_S = 5.0


async def start_process(
    command: list[str],
    cgroup: Cgroup | None,
    *,
    errors: Path,
    pass_fds: tuple[int, ...] = (),
    pipes: bool = False,
) -> asyncio.subprocess.Process:
    """Start a program inside a cgroup; its stderr goes to the file `errors`, stdin and stdout are pipes or nothing."""
    whole = [*_DIE_WITH_PARENT, *command]
    if cgroup is not None:
        whole = ["/bin/sh", "-c", _ENTER_CGROUP, "sh", str(cgroup.procs), *whole]
    stream = asyncio.subprocess.PIPE if pipes else asyncio.subprocess.DEVNULL
    with errors.open("ab") as stderr:
        return await asyncio.create_subprocess_exec(
            *whole,
            stdin=stream,
            stdout=stream,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
            limit=LONGEST_LINE_BYTES,
        )


async def end_process(process: asyncio.subprocess.Process) -> None:
    """Wait a little for a process that was asked to end, then make it: SIGTERM, then SIGKILL."""
    for force in (None, process.terminate, process.kill):
        if force is not None:
            with contextlib.suppress(ProcessLookupError):
                force()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_DEADLINE_S):
                await process.wait()
            return


def read_tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a text that a guest or a program wrote; "" when there are none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    kept = [line.rstrip() for line in text.replace("\r", "").splitlines() if line.strip()]
    return "\n".join(kept[-lines:])
