"""What a guest tells of its kernel and of its page reporting."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from freepage.targets.guest import read_guest_counters, read_guest_evidence, read_reporting_queue

COMPOSED = Path(__file__).parents[1] / "recorded/composed"
PARAMETERS = "/sys/module/page_reporting/parameters"
BALLOON = {
    "/sys/bus/virtio/devices/virtio0/device": "0x0001\n",
    "/sys/bus/virtio/devices/virtio1/device": "0x0005\n",
    "/sys/bus/virtio/devices/virtio1/features": "0110010000\n",
}


@dataclass
class Told:
    """A worker in a guest that has these files."""

    page_bytes: int | None = 4096
    files: dict[str, str] = field(default_factory=dict)

    async def read_text(self, path):
        return (BALLOON | self.files).get(path)


def guest(release, buddyinfo, page_bytes, **parameters):
    files = {
        "/proc/sys/kernel/osrelease": f"{release}\n",
        "/proc/buddyinfo": (COMPOSED / f"buddyinfo-{buddyinfo}.txt").read_text(),
        "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    }
    return Told(
        page_bytes, files | {f"{PARAMETERS}/page_reporting_{n}": f"{v}\n" for n, v in parameters.items()}
    )


@pytest.mark.parametrize(
    ("told", "order", "lists"),
    [
        (guest("6.6.30", "arm64-16k-6.6", 16384, order=11), 11, 12),
        (guest("5.15.0", "arm64-64k-5.15", 65536, order=14), None, 14),
        (guest("5.15.0", "arm64-64k-5.15", 65536, order=5), 5, 14),
        (guest("6.8.0", "s390x-6.8", 4096, order=8), 8, 9),
        (guest("4.18.0-553.el8_10.x86_64", "rhel-8", 4096, order=9), 9, 11),
        (guest("5.14.0-70.el9", "rhel-8", 4096, order=11), None, 11),
    ],
)
async def test_a_guests_order_is_read_by_its_own_free_lists(told, order, lists):
    seen = await read_guest_evidence(told)
    assert seen["negotiated"] is True
    assert (seen["reporting_order"], seen["free_lists"]) == (order, lists)
    assert seen["page_bytes"] == told.page_bytes
    assert (seen["guest_thp"], seen["reporting_delay_s"]) == ("madvise", None)


async def test_a_guests_delay_is_read_where_its_kernel_has_it():
    seen = await read_guest_evidence(guest("7.3.0", "rhel-8", 4096, order=9, delay_ms=250))
    assert (seen["reporting_order"], seen["reporting_delay_s"]) == (9, 0.25)


async def test_a_guest_that_shows_nothing_leaves_everything_not_known():
    told = Told(page_bytes=None)
    told.files = dict.fromkeys(BALLOON)
    assert set((await read_guest_evidence(told)).values()) == {None}
    assert set((await read_guest_counters(told)).values()) == {None}


@pytest.mark.parametrize(
    ("features", "queue"), [("0110010000\n", 3), ("0000010000\n", 2), ("01\n", None), (None, None)]
)
async def test_the_queue_of_reports_is_found_by_what_the_guest_negotiated(features, queue):
    told = Told(files={"/sys/bus/virtio/devices/virtio1/features": features})
    assert await read_reporting_queue(told) == queue
