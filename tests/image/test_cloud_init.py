"""User data for VMs with cloud-init: what it holds, and its script on a terminal with stand-ins for the system's programs."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import subprocess
import tty
from contextlib import asynccontextmanager

import pytest
import yaml

from freepage.errors import HostError
from freepage.image.cloud_init import SERVER_PATH, START, WORKER_PATH, build_server, build_user_data
from freepage.worker.build import build_worker
from freepage.worker.channel import ReconnectingChannel
from freepage.worker.client import WorkerClient


def unpack(data):
    """Give the files of user data by path, as cloud-init writes them, and its commands."""
    assert data.startswith(b"#cloud-config\n")
    config = yaml.safe_load(data)
    assert set(config) == {"write_files", "runcmd"}
    files = {}
    for file in config["write_files"]:
        assert (file["encoding"], file["permissions"]) == ("gz+b64", "0755")
        files[file["path"]] = gzip.decompress(base64.b64decode(file["content"]))
    return files, config["runcmd"]


def test_user_data_carries_the_worker_and_what_starts_it():
    worker = build_worker().read_bytes()
    data = build_user_data(worker, 600)
    files, commands = unpack(data)
    assert files == {WORKER_PATH: worker, SERVER_PATH: build_server(600).encode()}
    assert commands == [START]
    assert len(data) < 600_000
    assert build_user_data(worker, 600) == data


def test_user_data_that_no_secret_holds_is_refused():
    with pytest.raises(HostError, match=r"a Secret holds 1.00 MiB"):
        build_user_data(os.urandom(800_000), 600)


@pytest.mark.parametrize("text", [build_server(600), START])
def test_every_shell_reads_the_script(text):
    subprocess.run(["sh", "-n"], input=text.encode(), check=True)


class Terminal:
    """The other end of a serial console."""

    def __init__(self, fd):
        self._fd = fd

    async def read(self):
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._fd, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)
        return os.read(self._fd, 4096)

    async def write(self, data):
        os.write(self._fd, data)


@asynccontextmanager
async def console(folder, deadline_s):
    """Run the script on a terminal in place of the system's; what it asks of the system stands in folder/asked."""
    ours, theirs = os.openpty()
    assert tty.tcgetattr(ours)[3] & tty.ECHO
    (folder / "dev").mkdir()
    (folder / "dev/ttyS0").symlink_to(os.ttyname(theirs))
    for name in ("systemctl", "dmesg", "poweroff"):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {folder}/asked\n')
        (folder / name).chmod(0o755)
    script = (
        build_server(deadline_s).replace("/dev/", f"{folder}/dev/").replace(WORKER_PATH, str(build_worker()))
    )
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec("sh", "-c", script, env=path, start_new_session=True)
    try:
        yield ours, process
    finally:
        os.killpg(process.pid, 9)
        await process.wait()
        os.close(ours)
        os.close(theirs)


async def test_the_console_is_the_workers_and_its_end_is_the_vms(tmp_path):
    async with console(tmp_path, 600) as (terminal, process):

        @asynccontextmanager
        async def open_stream():
            yield Terminal(terminal)

        client = WorkerClient(ReconnectingChannel(open_stream), "vm-0")
        assert (await client.wait_ready(30)).pid > 0
        await client.ping()
        assert not tty.tcgetattr(terminal)[3] & (tty.ECHO | tty.ICANON)
        await client.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0
    assert (tmp_path / "asked").read_text().splitlines() == [
        "systemctl mask --runtime --now serial-getty@ttyS0.service",
        "dmesg -n 1",
        "poweroff -f",
    ]


async def test_at_the_deadline_the_vm_powers_off_though_its_worker_goes_on(tmp_path):
    asked = tmp_path / "asked"
    async with console(tmp_path, 1) as (_, process), asyncio.timeout(30):
        while not (asked.exists() and "poweroff" in asked.read_text()):  # noqa: ASYNC110 - the script does it
            await asyncio.sleep(0.05)
        assert process.returncode is None
