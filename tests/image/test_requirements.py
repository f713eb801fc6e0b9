"""What an image carries."""

from __future__ import annotations

import pytest

from freepage.errors import HostError, StudyError
from freepage.image import requirements
from freepage.image.kernel import Kernel
from freepage.image.requirements import find_requirements
from freepage.records import Arm
from freepage.study.plan import DataPlan, InstancePlan, ToolsPlan


def instance(tools=None, filesystem=None, carrier=Arm.VM):
    data = None if filesystem is None else DataPlan(filesystem, 2**20)
    return InstancePlan("i", carrier, 1, 2**28, (), tools, data)


def test_any_image_carries_fio_and_what_makes_file_systems(kernel):
    found = find_requirements([], kernel)
    assert found.tools == ToolsPlan(("fio", "mke2fs", "mkfs.xfs"))
    assert (found.filesystems, found.missing) == (("ext4", "xfs"), ())


def test_an_image_carries_what_all_instances_need(kernel):
    plans = [
        instance(ToolsPlan(("awk", "sh")), "xfs"),
        instance(ToolsPlan(("fio",)), "host", Arm.POD),
        instance(ToolsPlan(("sh", "fio"), "/mine"), "ext4"),
        instance(ToolsPlan((), "/mine")),
    ]
    assert find_requirements(plans, kernel).tools == ToolsPlan(
        ("awk", "sh", "fio", "mke2fs", "mkfs.xfs"), "/mine"
    )


def test_two_folders_of_programs_do_not_fit_into_one_image(kernel):
    with pytest.raises(StudyError, match="not /a and /b"):
        find_requirements([instance(ToolsPlan((), "/b")), instance(ToolsPlan((), "/a"))], kernel)


def test_an_image_does_without_a_fio_that_is_not_installed(kernel, monkeypatch):
    def find(name):
        raise HostError(f"{name} is not installed")

    monkeypatch.setattr(requirements, "find_program", find)
    found = find_requirements([], kernel)
    assert found.tools.programs == ("mke2fs", "mkfs.xfs")
    assert found.missing == ("fio is not installed",)
    assert "fio" in find_requirements([instance(ToolsPlan(("fio",)))], kernel).tools.programs


def test_a_file_system_the_kernel_lacks_is_left_out_unless_it_is_needed(tmp_path):
    (tmp_path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    poor = Kernel(tmp_path / "vmlinuz", "6.1.0-poor", tmp_path)
    found = find_requirements([], poor)
    assert (found.filesystems, found.tools.programs) == (("ext4",), ("fio", "mke2fs"))
    assert "6.1.0-poor has no module xfs" in found.missing[0]
    assert find_requirements([instance(ToolsPlan(), "xfs")], poor).filesystems == ("ext4", "xfs")
