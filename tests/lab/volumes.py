"""A pod's volumes on its node, and their mounts in containers."""

from __future__ import annotations

import base64
import shutil
from typing import TYPE_CHECKING, Any

from freepage.kube.quantities import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.images import Image
    from lab.seams import Object, Store

Mount = dict[str, Any]


class MountError(Exception):
    """A volume is not there yet (FailedMount): it may come."""


def write_volume(volume: Object, folder: Path, store: Store, namespace: str, group: int | None) -> None:
    """Make a volume's folder with what it holds; MountError when something it names is not there."""
    if "configMap" in volume:
        source = volume["configMap"]
        _write_files(folder, source, _read_config_map(store, namespace, source, volume["name"]), group)
    elif "secret" in volume:
        source = volume["secret"]
        _write_files(folder, source, _read_secret(store, namespace, source, volume["name"]), group)
    elif "emptyDir" in volume:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
    elif "image" not in volume:
        kinds = ", ".join(set(volume) - {"name"})
        raise MountError(f'the test cluster has no volumes of the kind of "{volume["name"]}" ({kinds})')


def build_mounts(
    pod: Object, container: Object, folder_of: Callable[[str], Path], images: dict[str, Image]
) -> list[Mount]:
    """Return the OCI mounts of a container; `images` are those of its image volumes, by the volume's name."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    return [
        _mount(volumes[wanted["name"]], wanted, folder_of, images)
        for wanted in container.get("volumeMounts") or []
    ]


def image_volumes(pod: Object, container: Object) -> dict[str, Object]:
    """Return the image volumes that a container mounts, by name."""
    mounted = {mount["name"] for mount in container.get("volumeMounts") or []}
    volumes = pod["spec"].get("volumes") or []
    return {v["name"]: v["image"] for v in volumes if "image" in v and v["name"] in mounted}


def _mount(
    volume: Object, wanted: Object, folder_of: Callable[[str], Path], images: dict[str, Image]
) -> Mount:
    target = {"destination": wanted["mountPath"]}
    empty = volume.get("emptyDir") or {}
    if empty.get("medium") == "Memory":
        # Each container has its own: a mount of the host's, to share, might be left behind.
        size = [f"size={int(parse_quantity(empty['sizeLimit']))}"] if "sizeLimit" in empty else []
        return {
            **target,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=777", *size],
        }
    source = images[volume["name"]].root if "image" in volume else folder_of(volume["name"])
    fixed = wanted.get("readOnly") or "emptyDir" not in volume
    path = str(source / wanted.get("subPath", "").strip("/"))
    return {**target, "type": "bind", "source": path, "options": ["rbind", "ro" if fixed else "rw"]}


def _read_config_map(store: Store, namespace: str, source: Object, volume: str) -> dict[str, bytes] | None:
    found = _find(store, ("", "configmaps"), namespace, source["name"], source, volume, "configmap")
    if found is None:
        return None
    binary = {name: base64.b64decode(data) for name, data in (found.get("binaryData") or {}).items()}
    return {name: text.encode() for name, text in (found.get("data") or {}).items()} | binary


def _read_secret(store: Store, namespace: str, source: Object, volume: str) -> dict[str, bytes] | None:
    found = _find(store, ("", "secrets"), namespace, source["secretName"], source, volume, "secret")
    if found is None:
        return None
    return {name: base64.b64decode(data) for name, data in (found.get("data") or {}).items()}


def _find(
    store: Store, key: tuple[str, str], namespace: str, name: str, source: Object, volume: str, kind: str
) -> Object | None:
    try:
        return store.get(key, namespace, name)
    except KeyError:
        if source.get("optional"):
            return None
        raise MountError(
            f'MountVolume.SetUp failed for volume "{volume}" : {kind} "{name}" not found'
        ) from None


def _write_files(folder: Path, source: Object, files: dict[str, bytes] | None, group: int | None) -> None:
    """Write the chosen keys with their modes; with an fsGroup its members may read them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, (key, mode) in _chosen(source, files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((files or {})[key])
        path.chmod(mode if group is None else mode | 0o040)
        if group is not None:
            shutil.chown(path, group=group)


def _chosen(source: Object, files: dict[str, bytes]) -> dict[str, tuple[str, int]]:
    default = source.get("defaultMode", 0o644)
    if "items" not in source:
        return {name: (name, default) for name in files}
    missing = [item["key"] for item in source["items"] if item["key"] not in files]
    if missing and not source.get("optional"):
        raise MountError(f"references non-existent config key: {missing[0]}")
    wanted = [item for item in source["items"] if item["key"] in files]
    return {item["path"]: (item["key"], item.get("mode", default)) for item in wanted}
