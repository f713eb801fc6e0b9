"""A model of qemu-guest-agent at a socket of the host, after its public protocol: it reads the files a test gives it."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager

SENTINEL = b"\xff"


class FakeAgent:
    """files: texts by path. silent: commands it never answers. refused: those it has been forbidden. stale: what it still has
    to say to somebody before. asked: all commands. piece_bytes: how much of a file it gives at once.
    """

    def __init__(self, files, *, silent=(), refused=(), stale=b"", piece_bytes=4096):
        self.files = files
        self.silent = silent
        self.refused = refused
        self.stale = stale
        self.asked = []
        self._piece_bytes = piece_bytes
        self._open = {}

    @asynccontextmanager
    async def listen(self, path):
        server = await asyncio.start_unix_server(self._talk, path)
        try:
            yield path
        finally:
            server.close()

    async def _talk(self, reader, writer):
        writer.write(self.stale)
        while line := await reader.readline():
            request = json.loads(line.rpartition(SENTINEL)[2])
            command = request["execute"]
            self.asked.append(command)
            if command not in self.silent:
                before = SENTINEL if command == "guest-sync-delimited" else b""
                writer.write(
                    before + json.dumps(self._answer(command, request["arguments"])).encode() + b"\n"
                )
        writer.close()

    def _answer(self, command, arguments):
        if command in self.refused:
            return {"error": {"class": "CommandNotFound", "desc": f"Command {command} has been disabled"}}
        try:
            return {"return": getattr(self, f"_{command.replace('-', '_')}")(**arguments)}
        except KeyError as error:
            return {"error": {"class": "GenericError", "desc": f"failed to open file {error}"}}

    def _guest_sync_delimited(self, id):  # noqa: A002 - the protocol's name
        return id

    def _guest_file_open(self, path, mode):
        assert mode == "r"
        handle = len(self.asked)
        self._open[handle] = self.files[path].encode()
        return handle

    def _guest_file_read(self, handle, count):
        content = self._open[handle][: min(count, self._piece_bytes)]
        self._open[handle] = self._open[handle][len(content) :]
        encoded = base64.b64encode(content).decode()
        return {"count": len(content), "buf-b64": encoded, "eof": not self._open[handle]}

    def _guest_file_close(self, handle):
        del self._open[handle]
        return {}

    @property
    def left_open(self):
        return len(self._open)
