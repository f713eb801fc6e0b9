"""The QEMU command line, made of small pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import HostError
from freepage.sampling.balloon import BALLOON_ID
from freepage.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.image.guest import Guest

# The machine, the processor and the size of this buffer: docs/decisions/002-guest-and-vm.md.
# Self-tests, probes of devices that are not there and waits for randomness: half a second of a boot under emulation.
FAST_BOOT = ("cryptomgr.notests", "i8042.noaux", "i8042.nokbd", "no_timer_check", "random.trust_cpu=on")
PORT_NAME = "freepage"
# TCG's buffer of translated code: a guest that runs one small program needs little, and it counts as host memory.
TCG_BUFFER_MIB = 32


@dataclass(frozen=True)
class Machine:
    """The differences between the machine types of guests."""

    program: str
    machine: str
    console: str
    tcg_cpu: str


ARCHITECTURES = {
    # Under TCG "rep stosb" is emulated byte by byte: without erms the guest clears pages three times faster.
    "x86_64": Machine("qemu-system-x86_64", "q35,usb=off,vmport=off", "ttyS0", "max,-erms"),
    "aarch64": Machine("qemu-system-aarch64", "virt,gic-version=max", "ttyAMA0", "max"),
}


@dataclass(frozen=True)
class VmDisk:
    """A disk of a VM, by the serial its guest knows it by ("tools", "data"), and the file system on it.

    fd: an open file that QEMU inherits, so that the file itself may be gone already. direct: past the host's page cache.
    """

    serial: str
    filesystem: str
    fd: int
    read_only: bool = False
    direct: bool = False


@dataclass(frozen=True)
class VmShape:
    """One VM: its size, whether it has FPR, and how it is executed ("kvm" or "tcg")."""

    name: str
    memory_bytes: int
    cpus: int
    reporting: bool
    accelerator: str
    extra_arguments: str = ""
    disks: tuple[VmDisk, ...] = ()


@dataclass(frozen=True)
class VmPipes:
    """The channels of a VM: two connected sockets handed over by number, and a file for its console."""

    qmp_fd: int
    worker_fd: int
    console: Path


def find_architecture(machine: str) -> Machine:
    """Return the machine type of a host's architecture; HostError for one freepage has no guest for."""
    if machine not in ARCHITECTURES:
        raise HostError(
            f"freepage has no guest for {machine} hosts", hint=f"it has for {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[machine]


def build_command(architecture: Machine, shape: VmShape, guest: Guest, pipes: VmPipes) -> list[str]:
    """Return the whole command that starts one VM."""
    return [
        architecture.program,
        *_name(shape),
        *_bare_vm(architecture),
        *_execution(architecture, shape),
        *_memory(shape),
        *_boot(architecture, shape, guest),
        *_balloon(shape),
        *(word for number, disk in enumerate(shape.disks) for word in _disk(number, disk)),
        *_worker_port(pipes),
        *_console(pipes),
        *_control(pipes),
        *_sandbox(),
    ]


def kernel_arguments(architecture: Machine, shape: VmShape) -> str:
    """Return the guest kernel's command line: quiet but for what ends it, and a panic ends QEMU."""
    words = [f"console={architecture.console}", "quiet", "loglevel=4", "panic=-1", "reboot=t", "oops=panic"]
    disks = [f"freepage.{disk.serial}={disk.filesystem}" for disk in shape.disks]
    return " ".join([*words, *FAST_BOOT, *disks, *shape.extra_arguments.split()])


def _name(shape: VmShape) -> list[str]:
    return ["-name", f"guest={shape.name},debug-threads=on"]


def _bare_vm(architecture: Machine) -> list[str]:
    bare = ["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"]
    return [*bare, "-machine", architecture.machine]


def _execution(architecture: Machine, shape: VmShape) -> list[str]:
    if shape.accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host", "-smp", str(shape.cpus)]
    accelerator = f"tcg,thread=multi,tb-size={TCG_BUFFER_MIB}"
    return ["-accel", accelerator, "-cpu", architecture.tcg_cpu, "-smp", str(shape.cpus)]


def _memory(shape: VmShape) -> list[str]:
    """Private anonymous memory: the article's formula for memory in use does not see shared memory."""
    return ["-m", f"{shape.memory_bytes // MIB}M"]


def _boot(architecture: Machine, shape: VmShape, guest: Guest) -> list[str]:
    images = ["-kernel", str(guest.kernel), "-initrd", str(guest.initramfs)]
    return [*images, "-append", kernel_arguments(architecture, shape)]


def _balloon(shape: VmShape) -> list[str]:
    return [
        "-device",
        f"virtio-balloon-pci,id={BALLOON_ID},free-page-reporting={'on' if shape.reporting else 'off'}",
    ]


def _disk(number: int, disk: VmDisk) -> list[str]:
    only = "on" if disk.read_only else "off"
    cache = f"cache.direct={'on' if disk.direct else 'off'},cache.no-flush=off"
    file = f"driver=file,filename=/dev/fdset/{number},node-name={disk.serial}-file,read-only={only},{cache}"
    return [
        "-add-fd",
        f"fd={disk.fd},set={number},opaque={disk.serial}",
        "-blockdev",
        file,
        "-blockdev",
        f"driver=raw,file={disk.serial}-file,node-name={disk.serial},read-only={only},{cache}",
        "-device",
        f"virtio-blk-pci,drive={disk.serial},serial={disk.serial}",
    ]


def _worker_port(pipes: VmPipes) -> list[str]:
    chardev = ["-chardev", f"socket,id=worker,fd={pipes.worker_fd}"]
    port = ["-device", f"virtserialport,chardev=worker,name={PORT_NAME}"]
    return ["-device", "virtio-serial-pci", *chardev, *port]


def _console(pipes: VmPipes) -> list[str]:
    path = str(pipes.console).replace(",", ",,")
    return ["-chardev", f"file,id=console,path={path}", "-serial", "chardev:console"]


def _control(pipes: VmPipes) -> list[str]:
    return ["-chardev", f"socket,id=qmp,fd={pipes.qmp_fd}", "-mon", "chardev=qmp,mode=control"]


def _sandbox() -> list[str]:
    return ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
