"""The image of virt-launcher: this host's file system, read-only, with what KubeVirt's image has laid over it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.images import Image
from lab.virt_objects import USER

SOURCE = Path(__file__).with_name("launcher")
PROGRAMS = "/run/virt-launcher"
_ENVIRONMENT = [
    "HOME=/",
    "XDG_CACHE_HOME=/var/run/kubevirt-private",
    "XDG_CONFIG_HOME=/var/run/kubevirt-private",
    "XDG_RUNTIME_DIR=/var/run",
]


def build_launcher_image(folder: Path) -> Image:
    """Make what the image adds to the host's files: the launcher, QEMU's user, folders to write to."""
    folder.mkdir(parents=True)
    programs = folder / "programs"
    programs.mkdir()
    for program in SOURCE.glob("*.py"):
        shutil.copyfile(program, programs / program.name)
    users = {"passwd": f"root:x:0:0:root:/:/bin/sh\nqemu:x:{USER}:{USER}:qemu:/:/sbin/nologin\n"}
    users["group"] = f"root:x:0:\nqemu:x:{USER}:\n"
    for name, text in users.items():
        (folder / name).write_text(text, encoding="ascii")
    mounts = [
        _tmpfs("/run", f"mode=755,uid={USER},gid={USER}"),
        _tmpfs("/tmp", "mode=1777"),
        *(_bind(folder / name, f"/etc/{name}") for name in users),
        _bind(programs, PROGRAMS),
    ]
    return Image("sha256:" + "1" * 64, None, {"Env": _ENVIRONMENT}, mounts)


def _tmpfs(destination: str, options: str) -> dict:
    return {
        "destination": destination,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "nodev", *options.split(",")],
    }


def _bind(source: Path, destination: str) -> dict:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", "ro"]}
