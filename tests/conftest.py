from __future__ import annotations

import os
import platform
import shutil

import pytest

from lab.packages import SERVERS

# What each kind of test needs; in CI nothing may be missing.
NEEDED = {
    "vm": {
        "QEMU": lambda: shutil.which(f"qemu-system-{platform.machine()}"),
        "an OCI runtime (runc or crun)": lambda: shutil.which("runc") or shutil.which("crun"),
        "root": lambda: os.geteuid() == 0,
    },
    "cluster": {
        "QEMU": lambda: shutil.which(f"qemu-system-{platform.machine()}"),
        "runc": lambda: shutil.which("runc"),
        "libvirt (libvirtd, virsh)": lambda: shutil.which("libvirtd") and shutil.which("virsh"),
        "skopeo": lambda: shutil.which("skopeo"),
        "genisoimage": lambda: shutil.which("genisoimage"),
        "servers, or apt-get to fetch them": lambda: (
            shutil.which("apt-get") or all(map(shutil.which, SERVERS))
        ),
        "root": lambda: os.geteuid() == 0,
    },
    "page": {"Chromium": lambda: shutil.which("chromium")},
}


def pytest_collection_modifyitems(items):
    """Run fast tests first, so that a plain mistake shows at once."""
    items.sort(key=lambda item: sum(item.get_closest_marker(kind) is not None for kind in NEEDED))


def pytest_runtest_setup(item):
    for kind, needs in NEEDED.items():
        if item.get_closest_marker(kind) is None:
            continue
        missing = [name for name, there in needs.items() if not there()]
        if missing and os.environ.get("CI"):
            pytest.fail(f"CI lacks {', '.join(missing)}")
        if missing:
            pytest.skip(f"this machine lacks {', '.join(missing)}")
