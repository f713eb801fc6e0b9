"""QEMU's monitor as far as it answers: what it does not know, or can no longer say, is None."""

from __future__ import annotations

import asyncio
import socket

import pytest

from freepage.targets.local.monitor import open_monitor
from helpers.fake_qemu import FakeQemu


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
