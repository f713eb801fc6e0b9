"""Finds the usable accelerator: KVM only if a guest really boots on it (docs/decisions/002-guest-and-vm.md)."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cache import cache_folder
from freepage.errors import HostError, InstanceError
from freepage.sampling.procfs import read_text
from freepage.targets.base import Accelerator
from freepage.targets.local.qemu_command import VmShape
from freepage.targets.local.vm import open_vm
from freepage.units import MIB

if TYPE_CHECKING:
    from freepage.image.guest import Guest

BOOT_DEADLINE_S = 8.0
_PROBE_MEMORY_BYTES = 256 * MIB


async def find_accelerator(choice: str, guest: Guest, qemu_version: str) -> Accelerator:
    """Find what `choice` ("auto", "kvm", "tcg") comes to on this host.

    The answer for KVM is kept until the host boots again, or has another QEMU or guest. HostError when "kvm" is asked
    for and no guest boots on it.
    """
    if choice == "tcg":
        return Accelerator("tcg", "TCG was asked for")
    found = await _find_kept(guest, qemu_version)
    if choice == "kvm" and found.name != "kvm":
        raise HostError(
            f"KVM is not usable: {found.reason}", hint="--accel auto uses TCG where KVM is not usable"
        )
    return found


def guess_accelerator(choice: str) -> Accelerator:
    """Return what guests would most likely be executed by, from the last answer kept; starts nothing."""
    if choice != "auto":
        return Accelerator(choice, "it was asked for")
    kept = [_load(path) for path in cache_folder().glob(f"accelerator-{_boot_id()}-*.json")]
    known = next((answer for answer in kept if answer is not None), None)
    if known is not None:
        return known
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Accelerator("kvm", "/dev/kvm can be opened; whether a guest boots on it is not known yet")
    return Accelerator("tcg", "/dev/kvm cannot be opened")


async def _find_kept(guest: Guest, qemu_version: str) -> Accelerator:
    version = "".join(c if c.isalnum() else "-" for c in qemu_version)[:60]
    path = cache_folder() / f"accelerator-{_boot_id()}-{guest.digest}-{version}.json"
    kept = _load(path)
    if kept is not None:
        return kept
    answer = await _test_kvm(guest)
    path.write_text(json.dumps(asdict(answer)), encoding="utf-8")
    return answer


async def _test_kvm(guest: Guest) -> Accelerator:
    if not os.path.exists("/dev/kvm"):  # noqa: PTH110, ASYNC240 - a look that does not block
        return Accelerator("tcg", "this host has no /dev/kvm")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Accelerator("tcg", "this user may not open /dev/kvm (group kvm)")
    shape = VmShape("accelerator-probe", _PROBE_MEMORY_BYTES, cpus=1, reporting=False, accelerator="kvm")
    with tempfile.TemporaryDirectory(prefix="freepage-probe-") as folder:
        try:
            async with open_vm(shape, guest, Path(folder), None, ready_deadline_s=BOOT_DEADLINE_S):
                return Accelerator("kvm", "a guest booted on KVM")
        except InstanceError:
            return Accelerator(
                "tcg", f"/dev/kvm opens, but no guest boots on it within {BOOT_DEADLINE_S:.0f} s"
            )


def _boot_id() -> str:
    return read_text(Path("/proc/sys/kernel/random/boot_id")).strip()[:8] or "unknown"


def _load(path: Path) -> Accelerator | None:
    try:
        return Accelerator(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
