from __future__ import annotations

import pytest

from freepage.study.scaling.study import scale_study
from freepage.study.study import Sizing
from freepage.units import GIB, MIB
from helpers.studies import SMALL, read, scaled


@pytest.mark.parametrize(("scale", "least"), [(0.035, 0.8), (0.05, 0.85), (0.2, 0.87)])
def test_fios_files_nearly_fill_a_guest_and_leave_what_does_not_shrink(scale, least):
    (group,) = scaled("guest-io", scale).experiments[0].groups
    assert group.job.file_bytes == pytest.approx(scale * 28 * GIB, rel=0.01)
    assert group.vm_memory_bytes - group.job.file_bytes >= 224 * MIB
    assert least < group.job.file_bytes / group.vm_memory_bytes < 0.88
    assert group.job.disk_bytes > group.job.file_bytes + 64 * MIB


def test_files_larger_than_the_guest_stay_so():
    (group,) = scaled("guest-io", 0.1, SMALL, "guest-io-ext4.file=60GiB").experiments[0].groups
    assert group.job.file_bytes > 1.5 * group.vm_memory_bytes


def test_files_in_guests_are_never_smaller_than_the_smallest_and_keep_their_share_of_the_guest():
    (group,) = scaled("guest-io", 0.001).experiments[0].groups
    assert group.job.file_bytes == 256 * MIB
    (own,) = scaled("guest-io", 0.001, SMALL, "guest-io-ext4.file=64MiB").experiments[0].groups
    assert own.job.file_bytes == 64 * MIB


def test_where_memory_is_short_a_guest_is_as_small_as_its_files_allow():
    sizing = {"guest-io-ext4": Sizing(0.001, compact=True)}
    (group,) = scale_study(read("guest-io"), sizing, SMALL).experiments[0].groups
    assert group.job.file_bytes + 224 * MIB <= group.vm_memory_bytes < 512 * MIB
