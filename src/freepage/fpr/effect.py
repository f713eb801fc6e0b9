"""Why FPR may release nothing of a KubeVirt VM although it is on: memory that cannot be discarded, guests that never report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from freepage.fpr.objects import section

if TYPE_CHECKING:
    from freepage.fpr.objects import Object

FIRST_LINUX = (5, 7)


def find_ineffective(instance: Object) -> tuple[str, ...]:
    """Return each reason for which the host's memory stays as it is although FPR is on."""
    devices = section(instance, "spec", "domain", "devices")
    security = section(instance, "spec", "domain", "launchSecurity")
    passed = [key for key in ("hostDevices", "gpus") if devices.get(key)]
    if any("sriov" in interface for interface in devices.get("interfaces") or ()):
        passed.append("SR-IOV interfaces")
    found = [f"{what} pin all memory (VFIO)" for what in passed]
    if "sev" in security and "snp" not in security:
        found.append("SEV pins all memory (launchSecurity.sev)")
    return (*found, *_find_in_guest(section(instance, "status", "guestOSInfo")))


def _find_in_guest(guest: Object) -> tuple[str, ...]:
    if guest.get("id") == "mswindows" or "windows" in str(guest.get("name", "")).lower():
        return ("Windows guests do not report free pages",)
    version = re.match(r"(\d+)\.(\d+)", str(guest.get("kernelRelease", "")))
    if version and (int(version[1]), int(version[2])) < FIRST_LINUX:
        return (f"Linux {guest['kernelRelease']} does not report free pages (5.7 is the first)",)
    return ()


def find_unknown(instance: Object) -> tuple[str, ...]:
    """Return what cannot be seen of a running VM, and would decide whether FPR has an effect."""
    guest = section(instance, "status", "guestOSInfo").get("id")
    security = section(instance, "spec", "domain", "launchSecurity")
    return (
        *(() if guest else ("which system the guest runs (no guest agent)",)),
        *(f"whether FPR works with {kind.upper()}" for kind in ("snp", "tdx") if kind in security),
    )
