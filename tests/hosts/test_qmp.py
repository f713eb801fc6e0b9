"""The process behind a socket, by what the kernel says of the one that listens."""

from __future__ import annotations

import os

from freepage.hosts.qmp import connect, find_peer
from helpers.fake_qemu import FakeQemu


async def test_who_listens_at_a_socket_is_known(tmp_path):
    async with FakeQemu({}).listen(tmp_path / "qmp") as path:
        with await connect(path) as end:
            assert find_peer(end) == os.getpid()
