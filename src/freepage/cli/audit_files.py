"""Auditing a cluster from what kubectl printed: what is to be expected, without a login."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.kube.object_files import read_object_files
from freepage.kubevirt.audit_objects import audit_objects, is_wanted

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from freepage.kubevirt.audit import Audit

HINT = (
    "kubectl get kubevirt,vm,vmi -A -o json > objects.json; with OpenShift Virtualization also hyperconverged"
)
_SHOWN_KINDS = 5


def audit_files(files: Sequence[str], namespace: str | None) -> Audit:
    """Audit the VMs among the objects of files and folders, with what of them was not read."""
    read = read_object_files(files, is_wanted, hint=HINT)
    audit = audit_objects(read.objects, namespace)
    notes = (*audit.notes, *_describe_kinds(read.other_kinds))
    return replace(audit, notes=notes, skipped=(*read.skipped, *audit.skipped))


def _describe_kinds(kinds: Counter[str]) -> tuple[str, ...]:
    """Describe how many objects were of kinds that say nothing of FPR."""
    if not kinds:
        return ()
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(_SHOWN_KINDS))
    more = f" and {len(kinds) - _SHOWN_KINDS} kinds more" if len(kinds) > _SHOWN_KINDS else ""
    return (f"of other kinds, so left out: {named}{more}",)
