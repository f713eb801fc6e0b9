"""One real container: started by runc, which leaves, as containerd has it; watched, logged, and spoken to from here."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.sampling.procfs import read_text
from freepage.targets.local.container import is_root_mounted, open_mounted_root
from lab.streams import AttachedStream, ExecStream

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Iterator

    from lab.images import Image
    from lab.logs import ContainerLog

_CHUNK_BYTES = 65536
_PR_SET_CHILD_SUBREAPER = 36
# What else still holds a container's output when its first process is gone is being killed by the kernel.
_DRAIN_S = 5.0
# The host's root file system, without what is mounted in it, as a container's; the mount goes with the container.
_BIND_ROOT = 'mount --bind / "$1" && shift && exec "$@"'

# As an image without an environment of its own has them.
_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_ENTER = f'echo $$ > "$1"; shift; exec env -i PATH={":".join(_FOLDERS)} "$@"'


class StartError(Exception):
    """The runtime could not start a container, in its own words."""


@dataclass(frozen=True)
class Ending:
    """The end of a container; times in seconds since 1970."""

    exit_code: int
    reason: str
    started_s: float
    finished_s: float
    message: str = ""


class Container:
    """A container of a pod, from its bundle in `folder` (config.json, and a copy of its image)."""

    def __init__(self, identity: str, folder: Path, state: Path, log: ContainerLog) -> None:
        self.identity = identity
        self.folder = folder
        self.log = log
        self.pid = 0
        self.started_s = 0.0
        self.attached: set[AttachedStream] = set()
        self.ended = asyncio.Event()
        self._runc = ["runc", "--root", str(state)]
        self._stdin: int | None = None
        self._stdin_once = False
        self._readers: list[asyncio.Task[None]] = []

    async def start(self, config: dict[str, Any], image: Image, *, stdin: bool, stdin_once: bool) -> None:
        """Write the bundle and start its process; StartError when runc cannot."""
        self.folder.mkdir(parents=True)
        (self.folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        await _copy_root(image, self.folder / "rootfs")
        self._stdin_once = stdin_once
        pipes = {1: os.pipe(), 2: os.pipe()}
        self._readers = [asyncio.create_task(self._read(number, ends[0])) for number, ends in pipes.items()]
        theirs = (self._open_stdin() if stdin else os.open(os.devnull, os.O_RDONLY), pipes[1][1], pipes[2][1])
        try:
            status = await self._run(image, theirs)
        finally:
            for end in theirs:
                os.close(end)
        if status != 0:
            self.close()
            said = _last_error(self.folder / "runc.log")
            raise StartError(f"failed to create containerd task: OCI runtime create failed: {said}: unknown")
        self.pid = int((self.folder / "pid").read_text(encoding="ascii"))
        self.started_s = time.time()

    async def wait(self) -> Ending:
        """Wait for the end of the container's first process, and of its output."""
        status = await _wait_for(self.pid)
        finished_s = time.time()
        await asyncio.wait(self._readers, timeout=_DRAIN_S)
        self.close()
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
        reason = "OOMKilled" if self._was_out_of_memory() else "Error" if code else "Completed"
        return Ending(code, reason, self.started_s, finished_s)

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.pid and not self.ended.is_set():
                os.kill(self.pid, number)

    def attach(self) -> AttachedStream:
        stream = AttachedStream(self)
        self.attached.add(stream)
        return stream

    async def execute(self, command: list[str], *, stdin: bool) -> ExecStream:
        """Run a command beside the container's first process; FileNotFoundError when it cannot be started."""
        stem = str(self.folder / f"exec-{time.monotonic_ns()}")
        log = ["--log", f"{stem}.log", "--log-format", "json"]
        whole = [*self._runc, *log, "exec", "--pid-file", f"{stem}.pid", self.identity, *command]
        if not is_root_mounted(read_text(Path("/proc/self/mountinfo"))):
            whole = self._enter(command, f"{stem}.pid")
        process = await asyncio.create_subprocess_exec(
            *whole,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        stream = ExecStream(process, Path(f"{stem}.pid"))
        if not await stream.has_started():
            await stream.close()
            raise FileNotFoundError(f"OCI runtime exec failed: {_last_error(Path(f'{stem}.log'))}: unknown")
        return stream

    def _enter(self, command: list[str], pid_file: str) -> list[str]:
        """Return what runs a command in the container from within a chroot.

        There a container's mount namespace still has the machine's root, which is where runc exec would end.
        """
        inside = f"/proc/{self.pid}/root"
        paths = [command[0]] if "/" in command[0] else [f"{folder}/{command[0]}" for folder in _FOLDERS]
        if not any(os.path.lexists(inside + path) for path in paths):
            raise FileNotFoundError(f"exec: {command[0]!r}: no such file or directory: unknown")
        enter = [
            "nsenter",
            "--target",
            str(self.pid),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wd",
        ]
        return ["/bin/sh", "-c", _ENTER, "sh", pid_file, *enter, "--", *command]

    async def write_stdin(self, data: bytes) -> None:
        """Write to the container's stdin, waiting while it does not read; nothing where it has none."""
        while data and self._stdin is not None and not self.ended.is_set():
            try:
                data = data[os.write(self._stdin, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.01)
            except BrokenPipeError:
                return

    def detach(self, stream: AttachedStream) -> None:
        """Let an attached client go."""
        self.attached.discard(stream)
        self.end_stdin()

    def end_stdin(self) -> None:
        """Take the end of a client's input; with stdinOnce it is the end of the container's too."""
        if self._stdin_once:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    def close(self) -> None:
        """End what is open to the container's streams."""
        self.ended.set()
        self._close_stdin()
        for reader in self._readers:
            reader.cancel()
        self.log.close()
        for stream in self.attached:
            stream.end()

    async def remove(self) -> None:
        """Remove what runc keeps of the container, its cgroups too; what runs in it is killed."""
        process = await asyncio.create_subprocess_exec(
            *[*self._runc, "delete", "--force", self.identity],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()

    def _open_stdin(self) -> int:
        """Make the pipe to the container; return its end of it."""
        theirs, self._stdin = os.pipe()
        os.set_blocking(self._stdin, False)
        return theirs

    async def _run(self, image: Image, streams: tuple[int, int, int]) -> int:
        """Have runc start the container and leave; return runc's status."""
        bundle = str(self.folder)
        command = [*self._runc, "--log", f"{bundle}/runc.log", "--log-format", "json", "run", "--detach"]
        command += ["--bundle", bundle, "--pid-file", f"{bundle}/pid", self.identity]
        if image.root is None:
            bind = ["unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c", _BIND_ROOT, "sh"]
            command = [*bind, f"{bundle}/rootfs", *command]
        with open_mounted_root() as root:
            process = await asyncio.create_subprocess_exec(
                *[*root, *command],
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                start_new_session=True,
            )
            return await process.wait()

    async def _read(self, number: int, end: int) -> None:
        async for data in _read_pipe(end):
            self.log.write(number, data)
            for stream in self.attached:
                stream.put(number, data)

    def _was_out_of_memory(self) -> bool:
        return any(_oom_kills(folder) for folder in find_cgroups(self.folder / "config.json"))


@contextlib.contextmanager
def inheriting_orphans() -> Iterator[None]:
    """Have this process inherit the containers that runc leaves, so that it learns how they end."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def find_cgroups(config: Path) -> list[Path]:
    """Return the folders of a container's cgroup that count its memory, from its config.json."""
    path = json.loads(config.read_text(encoding="utf-8"))["linux"]["cgroupsPath"].strip("/")
    homes = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
    return [home / path for home in homes if (home / path).is_dir()]


def _oom_kills(folder: Path) -> int:
    for name in ("memory.oom_control", "memory.events"):
        with contextlib.suppress(OSError):
            found = re.search(r"^oom_kill (\d+)$", (folder / name).read_text(encoding="ascii"), re.MULTILINE)
            return int(found[1]) if found else 0
    return 0


async def _copy_root(image: Image, rootfs: Path) -> None:
    """Return a container its own copy of its image, since mount points are made in it."""
    command = ["mkdir"] if image.root is None else ["cp", "-a", "--reflink=auto", str(image.root)]
    process = await asyncio.create_subprocess_exec(*command, str(rootfs))
    if await process.wait() != 0:
        raise StartError(f"cannot copy the image {image.digest}")


async def _wait_for(pid: int) -> int:
    """Wait for a child process that asyncio did not start; return its wait status."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, lambda: ended.done() or ended.set_result(None))
    try:
        await ended
        return os.waitpid(pid, 0)[1]  # noqa: ASYNC222 - it has ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _read_pipe(end: int) -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: protocol, os.fdopen(end, "rb", buffering=0)
    )
    try:
        while data := await reader.read(_CHUNK_BYTES):
            yield data
    finally:
        transport.close()


def _last_error(log: Path) -> str:
    """Return what runc said last."""
    try:
        return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["msg"]
    except (OSError, IndexError, ValueError, KeyError):
        return "runc failed without a word"
