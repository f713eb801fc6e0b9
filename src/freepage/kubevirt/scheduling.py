"""Why a VM has no node: by the conditions of its launcher, or its own where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.kube.resources import dig

if TYPE_CHECKING:
    from freepage.kube.resources import Object

# KubeVirt's word for a launcher that was refused, as by a quota, and that it tries to create again without end.
_LAUNCHER_REFUSED = "FailedCreate"


def find_unscheduled(obj: Object) -> str | None:
    """Return why no node takes a pod, or why a VM may have none; None where all is well, or nothing is known yet."""
    return next(
        (
            str(c.get("message") or c.get("reason"))
            for c in dig(obj, "status", "conditions") or ()
            if c.get("status") == "False"
            and (c.get("type") == "PodScheduled" or c.get("reason") == _LAUNCHER_REFUSED)
        ),
        None,
    )
