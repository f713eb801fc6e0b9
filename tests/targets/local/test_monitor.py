"""QEMU's monitor as far as it answers: what it does not know, or can no longer say, is None."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from freepage.targets.local.monitor import open_monitor

GREETING = {
    "QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}
}


class FakeQemu:
    """Answers commands by name; one that it does not know is an error, as QEMU's own."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.arguments = {}

    async def serve(self, end):
        reader, writer = await asyncio.open_connection(sock=end)
        writer.write(json.dumps(GREETING).encode() + b"\n")
        # The client ends no command with a newline; it waits for each answer, so that none comes with another.
        while text := await reader.read(65536):
            command = json.loads(text)
            self.asked.append(command["execute"])
            self.arguments[command["execute"]] = command.get("arguments")
            known = self.answers | {"qmp_capabilities": {}, "quit": {}}
            if command["execute"] in known:
                reply = {"return": known[command["execute"]]}
            else:
                reply = {"error": {"class": "CommandNotFound", "desc": "it has not been found"}}
            named = {"id": command["id"]} if "id" in command else {}
            writer.write(json.dumps(reply | named).encode() + b"\n")
        writer.close()


@pytest.fixture
def pair():
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


async def test_reports_are_counted_and_qemu_quits_at_the_end(pair):
    qemu = FakeQemu({"x-query-virtio-queue-status": {"used-idx": 12}, "qom-get": True})
    served = asyncio.create_task(qemu.serve(pair[1]))
    async with open_monitor("vm-0", pair[0]) as monitor:
        assert await monitor.count_reports(2) == 12
        assert await monitor.read_reporting() is True
    await asyncio.wait_for(served, 10)
    assert qemu.asked[-1] == "quit"
    assert qemu.arguments["x-query-virtio-queue-status"]["queue"] == 2


async def test_an_older_qemu_that_lacks_a_command_leaves_it_unknown(pair):
    served = asyncio.create_task(FakeQemu({}).serve(pair[1]))
    async with open_monitor("vm-0", pair[0]) as monitor:
        assert await monitor.count_reports(3) is None
        assert await monitor.read_reporting() is None
        assert await monitor.read_statistics() == {}
    await asyncio.wait_for(served, 10)


async def test_a_qemu_that_is_gone_is_an_error_that_names_the_vm(pair):
    pair[1].close()
    with pytest.raises(ConnectionError, match="vm-0"):
        async with open_monitor("vm-0", pair[0]):
            pytest.fail("nobody answers")
