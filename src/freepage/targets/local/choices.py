"""The options of the host as a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class LocalChoices:
    """accelerator: "auto", "kvm" or "tcg". kernel: another guest kernel. node_memory_bytes: of a cgroup that plays the node."""

    accelerator: str = "auto"
    kernel: Path | None = None
    node_memory_bytes: int | None = None
