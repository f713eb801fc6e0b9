from __future__ import annotations

import gc
import os
import platform
import shutil

import pytest
from hypothesis import settings

from lab.packages import SERVERS
from lab.schemas import BESIDE_THE_CHECKOUT

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
# One more than there are CPUs, for tests also wait; each needs some seconds to import and make what it begins with.
MOST_WORKERS = 8

# Left on each test of the cluster that took objects unchecked.
WITHOUT_SCHEMAS = ("schemas", "absent")

# Frames of tests are small: threads that wait for a share of one cost more than they do.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
# How long an example takes says nothing on a machine that does other work as well.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Leave neighbouring tests on one worker, since they share fixtures."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    return min(len(os.sched_getaffinity(0)) + 1, MOST_WORKERS)


def pytest_collection_finish():
    """Leave what thousands of collected tests consist of out of every later search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark and run the fast tests first, linters before all, so that a plain mistake shows at once."""
    for item in items:
        if not kinds_of(item) and item.get_closest_marker("long") is None:
            item.add_marker("fast")
    items.sort(key=lambda item: (len(kinds_of(item)), item.path.name != "test_quality.py"))


def kinds_of(item):
    return [kind for kind in NEEDED if item.get_closest_marker(kind) is not None]


def pytest_runtest_setup(item):
    for kind in kinds_of(item):
        missing = [name for name, there in NEEDED[kind].items() if not there()]
        if missing and os.environ.get("CI"):
            pytest.fail(f"CI lacks {', '.join(missing)}")
        if missing:
            pytest.skip(f"this machine lacks {', '.join(missing)}")
    if item.get_closest_marker("cluster") and not BESIDE_THE_CHECKOUT.is_dir():
        item.user_properties.append(WITHOUT_SCHEMAS)


def pytest_terminal_summary(terminalreporter):
    """Tell what was not checked for want of the schemas; under CI the tests that need them fail."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    if any(WITHOUT_SCHEMAS in getattr(report, "user_properties", ()) for report in reports):
        terminalreporter.section("not checked", yellow=True)
        terminalreporter.line(
            f"There are no schemas in {BESIDE_THE_CHECKOUT}: the test cluster took objects of KubeVirt's and HCO's kinds "
            "unchecked. Put the schemas there to have what freepage writes validated."
        )
