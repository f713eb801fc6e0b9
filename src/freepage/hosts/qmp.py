"""The monitor (QMP) of a QEMU, asked with deadlines, and the process behind its socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from qemu.qmp import QMPClient, QMPError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONNECT_DEADLINE_S = 30.0
REPLY_DEADLINE_S = 10.0
LEAVE_DEADLINE_S = 5.0
# The end of a connection, in every way it can show.
_LOST = (QMPError, OSError, TimeoutError, EOFError)
# struct ucred: process, user and group (man 7 unix).
_CREDENTIALS = struct.Struct("3i")


class Qmp:
    """The monitor of one running QEMU; what it cannot answer, or can no more, is None."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client

    async def ask(self, command: str, **arguments: object) -> Any:
        """Return what QEMU answers to a command."""
        try:
            async with asyncio.timeout(REPLY_DEADLINE_S):
                return await self._client.execute(command, arguments)
        except _LOST:
            return None


@asynccontextmanager
async def open_qmp(
    name: str, end: socket.socket, deadline_s: float = CONNECT_DEADLINE_S
) -> AsyncIterator[Qmp]:
    """Connect to the QEMU at the other end of a socket, and leave it at the end; ConnectionError where nobody answers."""
    # The library's log of a QEMU that is gone repeats the VM's error.
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
    client = QMPClient(name)
    try:
        async with asyncio.timeout(deadline_s):
            await client.connect(end)
    except _LOST as error:
        raise ConnectionError(f"the monitor of {name} does not answer: {error}") from error
    try:
        yield Qmp(client)
    finally:
        with contextlib.suppress(*_LOST):
            async with asyncio.timeout(LEAVE_DEADLINE_S):
                await client.disconnect()


async def connect(path: Path) -> socket.socket:
    """Return a socket that is connected to the one of a path; OSError where nobody listens there."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(end, str(path))
    except BaseException:
        end.close()
        raise
    return end


def find_peer(end: socket.socket) -> int | None:
    """Return the process that listens at the other end of a connection; None where it is not in sight of this one."""
    found = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(found)[0]
    return pid or None
