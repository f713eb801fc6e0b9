"""The steps of a change of the setting, each as it happens: planned, written, effective, proved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freepage.kubevirt.setting import SavedSetting, SettingChange


@dataclass(frozen=True)
class Planned:
    """A change that is about to be written."""

    change: SettingChange


@dataclass(frozen=True)
class Unneeded:
    """The cluster, or the VM of a name, has the setting already: nothing is written."""

    subject: str
    enabled: bool


@dataclass(frozen=True)
class Restoring:
    """A change that is about to put back what was there before freepage changed it."""

    change: SettingChange
    saved: SavedSetting


@dataclass(frozen=True)
class Written:
    """A change was written; with a dry run, the server would accept it."""

    change: SettingChange
    dry_run: bool


@dataclass(frozen=True)
class Effective:
    """KubeVirt's own object has the setting: every VM that starts now follows it."""

    kubevirt: str
    enabled: bool


@dataclass(frozen=True)
class Outdated:
    """The running VMs that have another setting (restart), and those whose state was not seen."""

    restart: tuple[str, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class Unproved:
    """No VM was restarted to prove the setting."""


@dataclass(frozen=True)
class Restarting:
    """A VM is being restarted to prove the setting."""

    vm: str


@dataclass(frozen=True)
class Proved:
    """The domain XML of a restarted VM has the setting; source: where it was read."""

    vm: str
    source: str


@dataclass(frozen=True)
class VmChanged:
    """One VM's own setting is as wanted: what keeps FPR off all the same, and from when on it counts.

    exclusions: KubeVirt's conditions that keep FPR off whatever the annotation says. waits: it was changed, runs as it
    started, and is not about to be restarted.
    """

    vm: str
    exclusions: tuple[str, ...]
    running: bool
    waits: bool


@dataclass(frozen=True)
class Refused:
    """Something was not done, for this reason; with a dry run, it would not be."""

    reason: str
    hint: str | None
    dry_run: bool


@dataclass(frozen=True)
class VmsRestored:
    """VMs whose setting is another than before; those that run have to be restarted."""

    vms: tuple[str, ...]


@dataclass(frozen=True)
class VmsLeft:
    """VMs with a change of freepage's that was not to be restored."""

    vms: tuple[str, ...]


Step = (
    Planned
    | Unneeded
    | Restoring
    | Written
    | Effective
    | Outdated
    | Unproved
    | Restarting
    | Proved
    | VmChanged
    | Refused
    | VmsRestored
    | VmsLeft
)
