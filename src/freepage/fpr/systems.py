"""Which guest systems report free pages: one table of systems other than Linux, and one of Linux kernels before 5.7.

Linux reports from 5.7 on (commit b0c504f15471); CONFIG_VIRTIO_BALLOON selects it, so every later kernel with a balloon
does. Before that it depends on what a distribution has taken back. docs/guests.md is made from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FIRST_LINUX = (5, 7)


@dataclass(frozen=True)
class GuestSystem:
    """A system other than Linux: the mark it leaves in what a guest agent or an annotation says, and what its balloon driver does.

    silent: why it reports nothing (None: nobody has shown whether it does). source: where that was read.
    """

    name: str
    mark: re.Pattern[str]
    silent: str | None
    source: str


@dataclass(frozen=True)
class KernelLine:
    """The kernels of a distribution before Linux 5.7 that may report all the same.

    version: how their release begins ("": any). mark: what else stands in it; ids: the distributions, in lower case, that need no mark.
    The number behind the version counts builds: first is the first known to report, silent the last known not to.
    """

    name: str
    version: str
    mark: re.Pattern[str]
    source: str
    ids: frozenset[str] = frozenset()
    first: int | None = None
    silent: int | None = None

    def reports(self, release: str) -> bool | None:
        """Return whether a kernel of this line reports free pages (None: not known)."""
        found = re.match(rf"{re.escape(self.version)}-(\d+)", release) if self.version else None
        if found is None:
            return None
        build = int(found[1])
        if self.first is not None and build >= self.first:
            return True
        return False if self.silent is not None and build <= self.silent else None


def _mark(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


SYSTEMS = (
    GuestSystem(
        "Windows",
        _mark(r"mswindows|\bwin(dows|\d|2k)"),
        "Windows reports free pages only with a virtio-win balloon driver that has learnt it (no release up to July 2026 has): "
        "look at the driver's version and its registry value EnableFpr",
        "virtio-win/kvm-guest-drivers-windows: Balloon/sys/reporting.c at commit 19158da76b, and issue 899",
    ),
    GuestSystem(
        "FreeBSD",
        _mark(
            r"freebsd|pfsense|opnsense|ghostbsd|midnightbsd|hardenedbsd|dragonfly"
            r"|(?-i:^\d+\.\d+-(RELEASE|STABLE|CURRENT|PRERELEASE|ALPHA|BETA|RC)\d*\b)"
        ),
        "FreeBSD's balloon driver does not report free pages",
        "freebsd/freebsd-src: sys/dev/virtio/balloon/virtio_balloon.h has no such feature, nor has pull request 2116",
    ),
    GuestSystem(
        "OpenBSD",
        _mark("openbsd"),
        "OpenBSD's balloon driver does not report free pages",
        "OpenBSD: sys/dev/pv/viomb.c knows the features MUST_TELL_HOST and STATS_VQ only",
    ),
    GuestSystem(
        "NetBSD",
        _mark("netbsd"),
        "NetBSD's balloon driver does not report free pages",
        "NetBSD: sys/dev/pci/viomb.c, from which OpenBSD's is",
    ),
    GuestSystem("macOS", _mark(r"darwin|mac ?os"), None, "Apple's driver is not public"),
    GuestSystem(
        "illumos", _mark("illumos|sunos|solaris|omnios|smartos|openindiana"), None, "no evidence was found"
    ),
    GuestSystem(
        "another system",
        _mark(r"haiku|reactos|gnu/hurd|minix|plan ?9|nanos\b|\bosv\b"),
        None,
        "no evidence was found",
    ),
)

_RED_HAT = frozenset(
    {"rhel", "rhcos", "centos", "almalinux", "rocky", "ol", "scientific", "eurolinux", "cloudlinux"}
)
_SUSE = frozenset({"sles", "sled", "sles_sap", "sle_hpc", "sle-micro", "suse-microos", "opensuse-leap"})

OLD_KERNELS = (
    KernelLine("Virtuozzo's", "", _mark(r"\.vz\d"), "whether they have it was not found"),
    KernelLine(
        "Red Hat's 8",
        "4.18.0",
        _mark(r"\.el8"),
        "autotest/tp-qemu: qemu/tests/cfg/balloon_check.cfg demands it of guests from 8.4 (4.18.0-305) on and leaves out 8.0 to "
        "8.3 (4.18.0-240); at which build between the two it came is not known",
        ids=_RED_HAT,
        first=305,
        silent=240,
    ),
    KernelLine(
        "SUSE's 15 SP2 and SP3",
        "5.3.18",
        _mark("-(default|preempt|azure|rt|kvmsmall|debug|64kb)$"),
        "openSUSE/kernel-source: patches.suse/virtio-balloon-add-support-for-providing-free-page-reports-to-host.patch; since "
        "which update is not known",
        ids=_SUSE,
    ),
    KernelLine(
        "Oracle's UEK", "", _mark(r"uek\b|\duek"), "whether UEK 6 (5.4) and older have it was not found"
    ),
    KernelLine(
        "openEuler's",
        "",
        _mark(r"\.oe\d|euler"),
        "whether 4.19.90 has it was not found",
        ids=frozenset({"openeuler"}),
    ),
    KernelLine(
        "Anolis' and Alibaba Cloud's",
        "",
        _mark(r"\.(an|al)\d"),
        "whether 4.19 has it was not found",
        ids=frozenset({"anolis", "alinux"}),
    ),
    KernelLine(
        "TencentOS' and OpenCloudOS'",
        "",
        _mark(r"\.(tl|oc)\d|tlinux"),
        "whether 5.4 has it was not found",
        ids=frozenset({"tencentos", "opencloudos"}),
    ),
    KernelLine(
        "Kylin's",
        "",
        _mark(r"\.ky\d"),
        "whether 4.19.90 has it was not found",
        ids=frozenset({"kylin"}),
    ),
)


def describe_guests() -> str:
    """Return docs/guests.md, as Markdown."""
    major, minor = FIRST_LINUX
    lines = [
        "# Guests",
        "",
        "Made from `src/freepage/fpr/systems.py`. Which guests report free pages, and where that was read.",
        "",
        f"Linux {major}.{minor} is the first that does: its balloon driver brings free page reporting along (`CONFIG_VIRTIO_BALLOON` selects",
        "`CONFIG_PAGE_REPORTING`), so every later kernel with a balloon reports, whatever its distribution. What is older reports only where",
        "its distribution has taken it back; a kernel that is in neither table and older does not. On s390x it reports once, and then",
        "hangs, without Linux commit 2ccd42b959aa of April 2025 (kubevirt/kubevirt issue 14516); which kernels have that is not looked at.",
        "",
        f"## Linux kernels before {major}.{minor}",
        "",
        "| kernels | release | report | source |",
        "|---|---|---|---|",
        *(_describe_line(line) for line in OLD_KERNELS),
        "",
        "## Other systems",
        "",
        "| system | reports | source |",
        "|---|---|---|",
        *(f"| {s.name} | {_describe_system(s)} | {s.source} |" for s in SYSTEMS),
    ]
    return "\n".join(lines) + "\n"


def _describe_line(line: KernelLine) -> str:
    known = f"{line.version}-{line.first} and later; not known before, but for -{line.silent} and older, which do not"
    mark = line.mark.pattern.replace("|", "\\|")
    release = f"{line.version or 'any'}, with `{mark}`"
    return f"| {line.name} | {release} | {known if line.first else 'not known'} | {line.source} |"


def _describe_system(system: GuestSystem) -> str:
    return system.silent or "not known"
