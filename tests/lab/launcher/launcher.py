"""virt-launcher: runs one VM with libvirt, inside its pod. The standard library of the host's Python is all it has.

It is told what to do over a socket, one JSON object a line: sync (define and start the VM), stats.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from disks import prepare_disks  # beside this file, in the container
from domain import Host, build_domain

RUNTIME = Path("/var/run/libvirt")
CONNECTION = f"qemu+unix:///session?socket={RUNTIME}/virtqemud-sock"
SETTINGS = Path("/var/run/kubevirt-private/libvirt")
SOCKET = "/var/run/kubevirt/sockets/launcher-sock"
LIBVIRT_DEADLINE_S = 60.0
DEFINITIONS = 3


class LauncherError(Exception):
    """Something did not work; the message is what virt-handler shows."""


def main() -> int:
    """Be the init of the container, which takes in what libvirt leaves, around the launcher itself."""
    arguments = parse_arguments()
    launcher = os.fork()
    if launcher == 0:
        return Launcher(arguments).run()
    signal.signal(signal.SIGTERM, lambda *_: os.kill(launcher, signal.SIGTERM))
    while True:
        pid, status = os.wait()
        if pid == launcher:
            return os.waitstatus_to_exitcode(status)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--uid", required=True)
    parser.add_argument("--grace-period-seconds", type=float, default=30)
    return parser.parse_args()


class Launcher:
    """One VM, from its definition to its end."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.name = arguments.name
        self.namespace = arguments.namespace
        self.uid = arguments.uid
        self.domain = f"{arguments.namespace}_{arguments.name}"
        self.grace_s = arguments.grace_period_seconds
        self.qemu: int | None = None  # a pidfd
        self.end_by_s: float | None = None

    def run(self) -> int:
        """Serve until the VM has ended; return the container's exit status."""
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell)
        signal.signal(signal.SIGTERM, lambda *_: None)
        start_libvirt()
        self.log("info", "libvirt is running")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(SOCKET)
            server.listen()
            while (status := self.step(server, told)) is None:
                pass
        return status

    def step(self, server: socket.socket, told: int) -> int | None:
        """Wait for the next thing to happen; return the exit status when it was the end."""
        watched = [server, told, *([] if self.qemu is None else [self.qemu])]
        ready, _, _ = select.select(watched, [], [], self.time_left())
        if self.qemu in ready:
            return self.report_end()
        if told in ready and os.read(told, 64) and self.end_by_s is None:
            if self.qemu is None:
                return 0
            self.shut_down()
        if server in ready:
            self.answer(server.accept()[0])
        if self.time_left() == 0:
            self.end_by_s = None
            virsh("destroy", self.domain)
        return None

    def time_left(self) -> float | None:
        return None if self.end_by_s is None else max(0.0, self.end_by_s - time.monotonic())

    def answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            request = json.loads(stream.readline())
            try:
                reply = {"result": getattr(self, f"do_{request['command']}")(request)}
            except (LauncherError, OSError, KeyError, ValueError) as error:
                reply = {"error": str(error)}
                self.log("error", f"{request['command']} failed: {error}")
            with contextlib.suppress(OSError):
                stream.write(json.dumps(reply) + "\n")
                stream.flush()

    def do_sync(self, request: dict) -> None:
        """Define and start the VM, unless it is there already: what is defined once stays as it is."""
        if self.qemu is not None:
            return
        instance = request["instance"]
        Path(f"/var/run/kubevirt-private/{self.uid}").mkdir(exist_ok=True)
        host = Host(request["accelerator"], platform.machine())
        disks = prepare_disks(instance)
        xml = build_domain(instance, reporting=request["reporting"], host=host, disks=disks)
        # KubeVirt defines a new domain again by what libvirt has made of it, for ports to plug devices in.
        for _ in range(DEFINITIONS):
            self.define(xml)
            xml = virsh("dumpxml", "--inactive", self.domain)
        virsh("start", self.domain)
        pid = int((RUNTIME / f"qemu/run/{self.domain}.pid").read_text(encoding="ascii"))
        self.qemu = os.pidfd_open(pid)
        self.log("info", "Domain started.")

    def define(self, xml: str) -> None:
        """Define the domain, with its XML in the log."""
        self.log("info", f"Domain XML generated. Base64 dump {base64.b64encode(xml.encode()).decode()}")
        definition = SETTINGS / "domain.xml"
        definition.write_text(xml, encoding="utf-8")
        virsh("define", str(definition))

    def do_stats(self, _request: dict) -> dict:
        """Return libvirt's numbers of the VM by libvirt's names."""
        lines = virsh("domstats", "--cpu-total", "--vcpu", "--balloon", self.domain).splitlines()
        pairs = (line.strip().partition("=") for line in lines if "=" in line)
        return {name: int(value) for name, _, value in pairs if value.lstrip("-").isdigit()}

    def shut_down(self) -> None:
        """Ask the guest to end, and end it when its time is over."""
        self.log("info", "Received signal terminated")
        self.end_by_s = time.monotonic() + self.grace_s
        if self.grace_s > 0:
            virsh("shutdown", "--mode", "acpi", self.domain)

    def report_end(self) -> int:
        """Return how the VM ended: 0 unless it crashed."""
        while (state := virsh("domstate", "--reason", self.domain)).startswith(("running", "in shutdown")):
            time.sleep(0.02)
        self.log("info", f"Domain ended: {state}")
        return 1 if "crashed" in state or "failed" in state else 0

    def log(self, level: str, message: str) -> None:
        """Write a line as virt-launcher's logger does."""
        line = {
            "component": "virt-launcher",
            "kind": "",
            "level": level,
            "msg": message,
            "name": self.name,
            "namespace": self.namespace,
            "pos": "launcher.py",
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "uid": self.uid,
        }
        sys.stderr.write(json.dumps(line, separators=(",", ":")) + "\n")


def start_libvirt() -> None:
    """Start libvirt's daemon as an ordinary user's, on the socket that KubeVirt's has; wait until it answers."""
    SETTINGS.mkdir(parents=True, exist_ok=True)
    # QEMU writes the console's log by itself; what libvirt finds missing in a container is no news.
    (SETTINGS / "qemu.conf").write_text('stdio_handler = "file"\n', encoding="ascii")
    (SETTINGS / "libvirtd.conf").write_text('log_outputs = "4:stderr"\n', encoding="ascii")
    with Path("/dev/null").open("rb") as nothing:
        subprocess.Popen(["libvirtd", "--config", str(SETTINGS / "libvirtd.conf")], stdin=nothing)
    deadline_s = time.monotonic() + LIBVIRT_DEADLINE_S
    while not (RUNTIME / "libvirt-sock").exists():
        if time.monotonic() > deadline_s:
            raise LauncherError("libvirt does not start")
        time.sleep(0.02)
    (RUNTIME / "virtqemud-sock").symlink_to("libvirt-sock")


def virsh(*arguments: str) -> str:
    outcome = subprocess.run(
        ["virsh", "--quiet", "--connect", CONNECTION, *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if outcome.returncode != 0:
        raise LauncherError(f"LibvirtError({outcome.stderr.strip()})")
    return outcome.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
