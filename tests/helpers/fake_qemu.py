"""A QEMU's monitor that answers what a test gives it, over a socket pair or at a path."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

GREETING = {
    "QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}
}


class FakeQemu:
    """Answers commands by name, with a value or a function of their arguments; one that it does not know is an error, as
    QEMU's own.
    """

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.arguments = {}

    async def serve(self, end):
        await self._talk(*await asyncio.open_connection(sock=end))

    @asynccontextmanager
    async def listen(self, path):
        server = await asyncio.start_unix_server(self._talk, path)
        try:
            yield path
        finally:
            server.close()

    async def _talk(self, reader, writer):
        writer.write(json.dumps(GREETING).encode() + b"\n")
        # The client ends no command with a newline; it waits for each answer, so that none comes with another.
        while text := await reader.read(65536):
            command = json.loads(text)
            self.asked.append(command["execute"])
            self.arguments[command["execute"]] = command.get("arguments")
            named = {"id": command["id"]} if "id" in command else {}
            writer.write(json.dumps(self._reply(command) | named).encode() + b"\n")
        writer.close()

    def _reply(self, command):
        known = self.answers | {"qmp_capabilities": {}, "quit": {}}
        if command["execute"] not in known:
            return {"error": {"class": "CommandNotFound", "desc": "it has not been found"}}
        answer = known[command["execute"]]
        return {"return": answer(command.get("arguments")) if callable(answer) else answer}
