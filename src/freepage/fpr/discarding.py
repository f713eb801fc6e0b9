"""Why a host may not take back what a VM reports: memory that is pinned or protected, a guest that does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.fpr.effect import Effect
from freepage.fpr.objects import has_condition, look_up, section
from freepage.fpr.passthrough import find_architecture, find_passthrough

if TYPE_CHECKING:
    from freepage.fpr.objects import Object
    from freepage.fpr.passthrough import PermittedDevices

SECURE_EXECUTION = "IBM Secure Execution protects all memory: QEMU discards none (launchSecurity on s390x)"
# SEV and SEV-ES need pinned memory, so QEMU disables discarding (target/i386/sev.c). Of SEV-SNP and TDX the private memory
# is a file of its own (guest_memfd), and nobody has shown what reports make of it.
_PINNING = {"sev": "SEV pins all memory (launchSecurity.sev)"}


def find_undiscardable(instance: Object, permitted: PermittedDevices) -> Effect:
    """Find what keeps the host from discarding a VM's memory, by its spec and, of a running one, its status."""
    return find_passthrough(instance, permitted) + _find_protection(instance) + _find_standstill(instance)


def _find_protection(instance: Object) -> Effect:
    """Find protected memory. launchSecurity and what is in it are structs: each is there, even empty, or it is not."""
    security = look_up(instance, "spec", "domain", "launchSecurity")
    if security is None:
        return Effect()
    kinds = [kind for kind, given in section(security).items() if given is not None]
    architecture = find_architecture(instance)
    if architecture == "s390x":
        return Effect(ineffective=(SECURE_EXECUTION,))
    if not kinds:
        doubt = "whether launchSecurity means Secure Execution, which leaves FPR without effect: its architecture would tell"
        return Effect(unknown=() if architecture else (doubt,))
    pinned = tuple(words for kind, words in _PINNING.items() if kind in kinds)
    return Effect(pinned, tuple(f"whether FPR works with {k.upper()}" for k in kinds if k not in _PINNING))


def _find_standstill(instance: Object) -> Effect:
    """Find what passes by itself: a paused guest reports nothing, and during post-copy QEMU ignores reports."""
    migration = section(instance, "status", "migrationState")
    copying = migration.get("mode") == "PostCopy" and not (
        migration.get("completed") or migration.get("failed")
    )
    states = {
        "it is paused: a guest that does not run reports nothing": has_condition(instance, "Paused"),
        "it migrates by post-copy: QEMU ignores reports until that is done": copying,
    }
    return Effect(ineffective=tuple(words for words, met in states.items() if met))
