"""The agent in a guest (qemu-guest-agent) behind a socket of the host: small files of the guest, read and nothing else.

Its protocol: https://qemu.org/docs/master/interop/qemu-ga-ref.html
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from freepage.errors import HostError
from freepage.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DEADLINE_S = 5.0
SILENT_HINT = "it may not run in the guest, or another program, such as libvirt, may hold its socket, which serves one at a time"
REFUSED_HINT = "some distributions forbid the agent to read files: see block-rpcs (blacklist) in the guest's qemu-ga.conf"
# Before the reply to guest-sync-delimited, and before a request to have the agent forget half of an earlier one.
_SENTINEL = b"\xff"
_READ_BYTES = 32 * KIB
# Far more than a small file of /proc has, and its reply in base64 is longer than a line may be by default.
_MOST_BYTES = MIB
_LINE_BYTES = MIB


class AgentError(HostError):
    """The agent of a guest does not answer, or refuses."""


class GuestAgent:
    """The agent of one guest; every request is answered within DEADLINE_S, or AgentError is raised."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def synchronise(self) -> None:
        """Skip whatever the agent has still to say to somebody before."""
        number = random.randrange(2**31)
        async with _answering("guest-sync-delimited"):
            self._writer.write(_SENTINEL + _request("guest-sync-delimited", id=number))
            answer: Any = None
            while answer != {"return": number}:
                await self._reader.readuntil(_SENTINEL)
                answer = await self._read_answer()

    async def read_file(self, path: str) -> str:
        """Return the text of a small file of the guest."""
        handle = await self._ask("guest-file-open", path=path, mode="r")
        try:
            content = await self._read_open(handle)
        except AgentError:
            # What is not closed stays open in the guest for as long as its agent runs.
            with contextlib.suppress(AgentError):
                await self._ask("guest-file-close", handle=handle)
            raise
        await self._ask("guest-file-close", handle=handle)
        return content.decode("utf-8", errors="replace")

    async def _read_open(self, handle: object) -> bytes:
        content, more = b"", True
        while more and len(content) < _MOST_BYTES:
            part, more = _decode(await self._ask("guest-file-read", handle=handle, count=_READ_BYTES))
            content += part
        return content

    async def _ask(self, command: str, **arguments: object) -> Any:
        async with _answering(command):
            self._writer.write(_request(command, **arguments))
            answer = await self._read_answer()
        if "return" in answer:
            return answer["return"]
        raise AgentError(f"the guest's agent refuses {command}: {_find_reason(answer)}", hint=REFUSED_HINT)

    async def _read_answer(self) -> dict[str, Any]:
        """Read one answer; EOFError or ValueError for what is none."""
        line = await self._reader.readline()
        if not line:
            raise EOFError("its connection ended")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("an answer of another kind")  # noqa: TRY004 - it is a text that is wrong, not an argument
        return answer


def _decode(part: object) -> tuple[bytes, bool]:
    """Return the bytes of an answer to guest-file-read, and whether there may be more."""
    if not isinstance(part, dict) or not isinstance(part.get("buf-b64"), str):
        return b"", False
    try:
        content = base64.b64decode(part["buf-b64"])
    except ValueError:
        return b"", False
    return content, bool(content) and not part.get("eof")


def _find_reason(answer: dict[str, Any]) -> str:
    error = answer.get("error")
    return str(error.get("desc")) if isinstance(error, dict) else "no reason given"


def _request(command: str, **arguments: object) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


@asynccontextmanager
async def _answering(command: str) -> AsyncIterator[None]:
    """Allow the agent its time for one command; AgentError where it ends without an answer."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield
    except TimeoutError as error:
        words = f"the guest's agent does not answer {command} within {DEADLINE_S:.0f} s"
        raise AgentError(words, hint=SILENT_HINT) from error
    except (OSError, EOFError, ValueError, RecursionError, asyncio.LimitOverrunError) as error:
        words = f"the guest's agent gives no answer to {command}: {error}"
        raise AgentError(words, hint=SILENT_HINT) from error


@asynccontextmanager
async def open_agent(path: Path) -> AsyncIterator[GuestAgent]:
    """Connect to the agent at a socket, and leave it at the end; AgentError where none answers."""
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=_LINE_BYTES)
    except OSError as error:
        raise AgentError(f"cannot reach a guest's agent at {path}: {error.strerror or error}") from error
    try:
        agent = GuestAgent(reader, writer)
        await agent.synchronise()
        yield agent
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
