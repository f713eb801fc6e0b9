"""A VM's guest, and whether it reports free pages: by what its guest agent says, else by what its objects hint at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from freepage.fpr.effect import Effect
from freepage.fpr.objects import has_condition, look_up, section
from freepage.fpr.systems import FIRST_LINUX, OLD_KERNELS, SYSTEMS

if TYPE_CHECKING:
    from freepage.fpr.objects import Object
    from freepage.fpr.systems import GuestSystem, KernelLine

# What people and preferences write on a VM about its guest.
_HINTS = ("vm.kubevirt.io/os", "kubevirt.io/cluster-preference-name", "kubevirt.io/preference-name")
_NAMES = ("id", "name", "prettyName", "kernelVersion", "kernelRelease")
_VERSION = re.compile(r"(?:linux[ -])?v?(\d{1,2})(?:\.(\d+))?(?!\d)", re.IGNORECASE)


def find_silent_guest(instance: Object) -> Effect:
    """Find whether a running VM's guest reports nothing, or what is not known of it."""
    guest = section(instance, "status", "guestOSInfo")
    said = [str(guest[key]) for key in _NAMES if guest.get(key)]
    if system := _find_system(said):
        return _judge_system(system)
    release = str(guest.get("kernelRelease") or "")
    if _VERSION.match(release):
        return _judge_linux(release, str(guest.get("id") or ""))
    return Effect(unknown=(_describe_unknown(instance, said),))


def find_silent_hint(instance: Object) -> Effect:
    """Find what hints at a system other than Linux in a VM that does not run: no more than a doubt follows from it."""
    hints = _read_hints(instance)
    system = _find_system(list(hints.values()))
    if system is None:
        return Effect()
    return Effect(unknown=(f"which system the guest runs ({', '.join(hints)}). {_words_of(system)}",))


def _find_system(said: list[str]) -> GuestSystem | None:
    return next((s for s in SYSTEMS if any(s.mark.search(text) for text in said)), None)


def _judge_system(system: GuestSystem) -> Effect:
    words = _words_of(system)
    return Effect(unknown=(words,)) if system.silent is None else Effect(ineffective=(words,))


def _words_of(system: GuestSystem) -> str:
    return system.silent or f"whether the balloon driver of {system.name} reports free pages"


def _judge_linux(release: str, distribution: str) -> Effect:
    """Judge a Linux guest: by its version, before 5.7 by what its distribution has taken back."""
    found = _VERSION.match(release)
    major, minor = (int(found[1]), found[2]) if found else (0, None)
    if major == FIRST_LINUX[0] and minor is None:
        return Effect(unknown=(f"whether Linux {release} reports free pages: 5.7 is the first that does",))
    if (major, int(minor or 0)) >= FIRST_LINUX:
        return Effect()
    line = _find_line(release, distribution)
    reports = line.reports(release) if line else False
    if line and reports is None:
        return Effect(
            unknown=(f"whether Linux {release} reports free pages: of {line.name} kernels it is not known",)
        )
    first = f"; of {line.name} kernels {line.version}-{line.first}" if line else ""
    silent = f"Linux {release} does not report free pages (5.7 is the first{first})"
    return Effect(ineffective=() if reports else (silent,))


def _find_line(release: str, distribution: str) -> KernelLine | None:
    for line in OLD_KERNELS:
        is_marked = line.mark.search(release) is not None or distribution.lower() in line.ids
        if is_marked and release.startswith(f"{line.version}-" if line.version else ""):
            return line
    return None


def _describe_unknown(instance: Object, said: list[str]) -> str:
    """Describe what is not known of a guest: nobody answers, or who answers does not say enough."""
    hints = _read_hints(instance)
    hinted = "".join(f"; {words}" for words in hints)
    if said:
        return f"which kernel the guest runs (its agent says {', '.join(said)}{hinted})"
    if has_condition(instance, "AgentConnected"):
        return f"which system the guest runs (its agent answers, but does not say{hinted})"
    system = _find_system(list(hints.values()))
    meant = f". {_words_of(system)}" if system else ""
    return f"which system the guest runs (no guest agent{hinted}){meant}"


def _read_hints(instance: Object) -> dict[str, str]:
    """Return what hints at a VM's guest, in words, with the name of a system that each gives."""
    annotations = section(instance, "metadata", "annotations")
    hints = {
        f"{key} says {annotations[key]}": str(annotations[key]) for key in _HINTS if annotations.get(key)
    }
    features = section(instance, "spec", "domain", "features")
    if any(look_up(features, key) is not None for key in ("hyperv", "hypervPassthrough")):
        hints["it has Hyper-V features"] = "windows"
    return hints
