"""Stand-ins for the seams."""

from __future__ import annotations

import asyncio
import itertools
import json


class FakeChannel:
    """A channel to a worker that the test plays: `say` is what it writes, `heard` what it was told.

    What is said as a dictionary gets the next number, unless it has one. `answers` by op are replies given at once with
    the command's id; a list gives one after the other.
    """

    def __init__(self, answers=None):
        self.heard = []
        self.answers = answers or {}
        self.closed = False
        self.broken = None
        self._said = itertools.count(1)
        self._lines = asyncio.Queue()

    def say(self, line):
        if isinstance(line, dict):
            line = json.dumps(line if "n" in line else {"n": next(self._said), **line}).encode() + b"\n"
        self._lines.put_nowait(line)

    async def read_line(self):
        line = await self._lines.get()
        if isinstance(line, Exception):
            raise line
        return line

    async def write_line(self, line):
        if self.broken is not None:
            raise self.broken
        command = json.loads(line)
        self.heard.append(command)
        answer = self.answers.get(command["op"])
        if isinstance(answer, list):
            answer = answer.pop(0)
        if answer is not None:
            self.say({**answer, "id": command["id"]})

    async def close(self):
        self.closed = True


class BreakableFakeChannel(FakeChannel):
    """A channel whose connection may break, which the test says; lines of others are `passed_on`."""

    def __init__(self, answers=None):
        super().__init__(answers)
        self.passed_on = []

    def pass_on(self, line):
        self.passed_on.append(line)
