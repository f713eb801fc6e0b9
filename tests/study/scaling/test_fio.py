from __future__ import annotations

import pytest

from freepage.units import GIB, MIB
from helpers.studies import SMALL, scaled


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
