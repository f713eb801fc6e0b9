"""A VM whose worker has the serial console, which is a socket: as KubeVirt gives it, without the cluster."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

from freepage.targets.local.qemu_command import find_architecture
from freepage.worker.channel import ReconnectingChannel
from freepage.worker.client import WorkerClient

READY_DEADLINE_S = 90.0
ARGUMENTS = "quiet loglevel=1 panic=-1 reboot=t oops=panic freepage.console=1"


class SocketStream:
    """A console's stream, which can be cut off."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer

    async def read(self):
        return await self._reader.read(10240)

    async def write(self, data):
        self._writer.write(data)
        await self._writer.drain()

    def cut(self):
        self._writer.transport.abort()


class Console:
    """A VM's console: its text, its streams, the process."""

    def __init__(self, path, process):
        self.path = path
        self.process = process
        self.text = []
        self.streams = []

    @asynccontextmanager
    async def open_stream(self):
        reader, writer = await asyncio.open_unix_connection(self.path)
        stream = SocketStream(reader, writer)
        self.streams.append(stream)
        try:
            yield stream
        finally:
            stream.cut()


@asynccontextmanager
async def open_console_vm(guest, arguments="", extra=()):
    """Boot a guest with a console of its own under emulation; it ends with the context."""
    architecture = find_architecture(platform.machine())
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "console")
        words = f"console={architecture.console} {ARGUMENTS} {arguments}"
        command = [architecture.program, "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"]
        command += ["-machine", architecture.machine, "-accel", "tcg", "-cpu", architecture.tcg_cpu]
        command += ["-m", "384M", "-device", "virtio-balloon-pci", "-no-reboot"]
        command += ["-kernel", str(guest.kernel), "-initrd", str(guest.initramfs), "-append", words]
        command += ["-chardev", f"socket,id=console,path={path},server=on,wait=off"]
        process = await asyncio.create_subprocess_exec(*command, "-serial", "chardev:console", *extra)
        try:
            yield Console(path, process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def open_client(console):
    """Speak with the worker of a VM over its console."""
    client = WorkerClient(ReconnectingChannel(console.open_stream, on_text=console.text.append), "vm-0")
    try:
        await client.wait_ready(READY_DEADLINE_S)
        yield client
    finally:
        await client.close()
