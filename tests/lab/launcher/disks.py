"""The files behind a VM's disks. Runs inside of its launcher, with the standard library alone."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

from domain import PRIVATE, Disk, parse_bytes

EPHEMERAL = Path("/var/run/kubevirt-ephemeral-disks")
CONTAINER_DISKS = Path("/var/run/kubevirt/container-disks")
_QCOW2 = b"QFI\xfb"


def prepare_disks(instance: dict) -> list[Disk]:
    """Make what the VM's volumes stand for, and return its disks in order; ValueError for what this cluster has not."""
    volumes = {volume["name"]: volume for volume in instance["spec"].get("volumes") or []}
    wanted = (instance["spec"]["domain"].get("devices") or {}).get("disks") or []
    return [_prepare(instance, disk, volumes[disk["name"]]) for disk in wanted]


def _prepare(instance: dict, disk: dict, volume: dict) -> Disk:
    kind = next((kind for kind in ("disk", "cdrom") if kind in disk), "disk")
    target = disk.get(kind) or {}
    bus = target.get("bus") or ("sata" if kind == "cdrom" else "virtio")
    path = _make_file(instance, volume)
    with path.open("rb") as file:
        format_ = "qcow2" if file.read(4) == _QCOW2 else "raw"
    fixed = kind == "cdrom" or bool(target.get("readonly"))
    serial = disk.get("serial", "")
    return Disk(str(path), kind, bus, format_, serial, read_only=fixed, direct=_takes_direct_io(path))


def _make_file(instance: dict, volume: dict) -> Path:
    name = volume["name"]
    if "emptyDisk" in volume:
        return _make_empty(
            EPHEMERAL / "empty-disks" / f"{name}.raw", parse_bytes(volume["emptyDisk"]["capacity"])
        )
    if "containerDisk" in volume:
        return _copy_container_disk(name, volume["containerDisk"].get("path"))
    if "cloudInitNoCloud" in volume:
        return _make_cloud_init(instance["metadata"], name, volume["cloudInitNoCloud"])
    kinds = ", ".join(set(volume) - {"name"})
    raise ValueError(f"the test cluster has no disks of the kind of {name} ({kinds})")


def _make_empty(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def _copy_container_disk(name: str, path: str | None) -> Path:
    """Copy an image's disk, since the guest may write to it."""
    root = CONTAINER_DISKS / name
    candidates = (
        [root / path.lstrip("/")] if path else sorted(p for p in (root / "disk").glob("*") if p.is_file())
    )
    if not candidates or not candidates[0].is_file():
        raise ValueError(f"no disk image for {name}: there is none in /disk of its container disk")
    copy = EPHEMERAL / "disk-data" / name / "disk"
    copy.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--reflink=auto", "--sparse=always", candidates[0], copy], check=True)
    copy.chmod(0o600)
    return copy


def _make_cloud_init(metadata: dict, name: str, source: dict) -> Path:
    """Make the CD that cloud-init looks for by its label."""
    folder = EPHEMERAL / "cloud-init-data" / metadata["namespace"] / metadata["name"]
    content = folder / "content"
    content.mkdir(parents=True, exist_ok=True)
    identity = {
        "instance-id": f"{metadata['name']}.{metadata['namespace']}",
        "local-hostname": metadata["name"],
    }
    (content / "meta-data").write_text(json.dumps(identity), encoding="utf-8")
    (content / "user-data").write_bytes(_user_data(name, source))
    network = source.get("networkData")
    if network:
        (content / "network-config").write_text(network, encoding="utf-8")
    disk = folder / "noCloud.iso"
    command = ["genisoimage", "-quiet", "-joliet", "-rock", "-volid", "cidata", "-output", disk, content]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return disk


def _user_data(name: str, source: dict) -> bytes:
    if "secretRef" in source:
        folder = Path(PRIVATE) / "secret" / name
        found = [folder / key for key in ("userdata", "userData") if (folder / key).exists()]
        if not found:
            raise ValueError(f"no cloud-init user-data found at volume: {name}")
        return found[0].read_bytes()
    if "userDataBase64" in source:
        return base64.b64decode(source["userDataBase64"])
    return source.get("userData", "").encode()


def _takes_direct_io(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    return True
