"""Running VMs, watched through a modelled monitor and a modelled agent: read, never changed, and what is not known is said."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from freepage.errors import HostError
from freepage.hosts import guest_agent, watching
from freepage.hosts.watching import VmSockets, watch_vms
from freepage.units import GIB, KIB
from helpers.fake_agent import FakeAgent
from helpers.fake_qemu import FakeQemu

BUDDYINFO = (Path(__file__).parents[1] / "recorded/buddyinfo-6.1.txt").read_text()
MEMINFO = "MemTotal:  2000000 kB\nMemFree:   1000000 kB\nBuffers:  1000 kB\nCached:  200000 kB\n"
FILES = {"/proc/buddyinfo": BUDDYINFO, "/proc/meminfo": MEMINFO}
READING = {"qmp_capabilities", "qom-list", "qom-get", "query-target", "query-status", "query-balloon"}


def statistics(age_s=1):
    stats = {"stat-total-memory": 3 * GIB, "stat-free-memory": GIB, "stat-disk-caches": -1}
    return {"stats": stats, "last-update": int(time.time() - age_s)}


def qemu(path="/machine/peripheral", polling=2, running=True, age_s=1, **answers):
    """A QEMU with a balloon among its devices."""
    values = {"guest-stats-polling-interval": polling, "free-page-reporting": True}
    devices = [{"name": "disk0", "type": "child<virtio-blk-pci>"}]
    balloon = [{"name": "balloon0", "type": "child<virtio-balloon-pci-non-transitional>"}]
    return FakeQemu(
        {
            "qom-list": lambda a: devices + (balloon if a["path"] == path else []),
            "qom-get": lambda a: (
                statistics(age_s) if a["property"] == "guest-stats" else values[a["property"]]
            ),
            "qom-set": lambda a: values.update({a["property"]: a["value"]}) or {},
            "query-balloon": {"actual": 4 * GIB},
            "query-status": {"running": running},
            "query-target": {"arch": "x86_64"},
        }
        | answers
    )


async def watch(tmp_path, monitor, agent=None, *, poll=False, seconds=0.02):
    """Watch one VM, three times."""
    sockets = VmSockets("db", tmp_path / "qmp", None if agent is None else tmp_path / "qga")
    async with monitor.listen(sockets.qmp):
        if agent is None:
            return (await watch_vms([sockets], seconds, 0.01, poll=poll))[0]
        async with agent.listen(sockets.agent):
            return (await watch_vms([sockets], seconds, 0.01, poll=poll))[0]


@pytest.fixture
def _as_qemu(monkeypatch):
    """Have this process, which listens at the socket, taken for a QEMU."""
    monkeypatch.setattr(watching, "_find_process", lambda _vm, pid, _watched: pid)


@pytest.mark.usefixtures("_as_qemu")
@pytest.mark.parametrize("folder", ["/machine/peripheral", "/machine/peripheral-anon"])
async def test_a_vm_is_read_at_every_tick_and_only_read(tmp_path, folder):
    monitor = qemu(folder)
    found = await watch(tmp_path, monitor)
    times = [t for t, _ in found.samples]
    assert len(times) == 3
    assert times == sorted(times)
    for _, values in found.samples:
        assert values["vm_memory_bytes"] == 4 * GIB
        assert (values["guest_total_bytes"], values["guest_free_bytes"]) == (3 * GIB, GIB)
        assert values["guest_cached_bytes"] is None
        assert values["rss_bytes"] > 0
        assert values["swap_bytes"] is not None
    assert (found.fpr_on, found.kernel.architecture, found.notes) == (True, "x86_64", [])
    assert set(monitor.asked) <= READING


async def test_a_socket_that_is_not_of_a_qemu_leaves_what_the_host_holds_unknown(tmp_path):
    found = await watch(tmp_path, qemu())
    assert {values["rss_bytes"] for _, values in found.samples} == {None}
    assert f"is of process {os.getpid()} (" in found.notes[0]
    assert "how much the host holds for the VM is not known" in found.notes[0]


@pytest.mark.usefixtures("_as_qemu")
async def test_statistics_that_nobody_asks_for_are_said_with_how_to_have_them(tmp_path):
    found = await watch(tmp_path, qemu(polling=0, age_s=500))
    assert {values["guest_free_bytes"] for _, values in found.samples} == {None}
    assert "--poll" in found.notes[0]
    assert "more than a minute" in found.notes[1]
    assert len(found.notes) == 2


@pytest.mark.usefixtures("_as_qemu")
async def test_polling_is_set_only_when_asked_for_and_put_back(tmp_path):
    monitor = qemu(polling=0)
    found = await watch(tmp_path, monitor, poll=True)
    assert found.notes == []
    assert monitor.asked.count("qom-set") == 2
    assert monitor.arguments["qom-set"]["value"] == 0
    already = qemu(polling=5)
    await watch(tmp_path, already, poll=True)
    assert set(already.asked) <= READING


@pytest.mark.usefixtures("_as_qemu")
async def test_a_vm_without_a_balloon_has_its_size_and_the_reason(tmp_path):
    size = {"base-memory": 2 * GIB, "plugged-memory": GIB}
    monitor = qemu("nowhere", **{"query-memory-size-summary": size})
    del monitor.answers["query-balloon"]
    found = await watch(tmp_path, monitor)
    assert found.samples[0][1]["vm_memory_bytes"] == 3 * GIB
    assert "guest_free_bytes" not in found.samples[0][1]
    assert found.fpr_on is False
    assert found.notes == ["it has no virtio balloon: how much of it is free is not known, and FPR needs one"]


@pytest.mark.usefixtures("_as_qemu")
async def test_a_paused_vm_is_told(tmp_path):
    found = await watch(tmp_path, qemu(running=False))
    assert found.notes == ["it is paused: a guest that does not run reports nothing"]


@pytest.mark.usefixtures("_as_qemu")
async def test_an_agent_adds_free_blocks_and_the_guests_own_numbers(tmp_path):
    agent = FakeAgent(FILES | {"/sys/module/page_reporting/parameters/page_reporting_order": "9\n"})
    found = await watch(tmp_path, qemu(), agent)
    _, values = found.samples[-1]
    assert values["guest_free_order_10_blocks"] == 231
    assert values["guest_free_bytes"] == 1000000 * KIB
    assert values["guest_cached_bytes"] == 201000 * KIB
    assert values["vm_memory_bytes"] == 4 * GIB
    assert (found.kernel.free_lists, found.reporting_order, found.notes) == (11, 9, [])


@pytest.mark.usefixtures("_as_qemu")
@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FakeAgent(FILES, refused=["guest-file-open"]), "has been disabled"),
        (FakeAgent(FILES, silent=["guest-sync-delimited"]), "does not answer"),
        (FakeAgent({"/proc/buddyinfo": BUDDYINFO}), "failed to open file"),
    ],
)
async def test_without_an_agents_answer_there_is_a_range_and_the_reason(tmp_path, monkeypatch, agent, words):
    monkeypatch.setattr(guest_agent, "DEADLINE_S", 0.05)
    found = await watch(tmp_path, qemu(), agent)
    assert {values["guest_free_bytes"] for _, values in found.samples} == {GIB}
    assert len(found.notes) == 1
    assert words in found.notes[0]
    assert found.notes[0].endswith("so that only a range can be told")


@pytest.mark.usefixtures("_as_qemu")
async def test_an_agent_that_stops_answering_is_not_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(guest_agent, "DEADLINE_S", 0.02)
    agent = FakeAgent(FILES)
    agent._guest_file_read = _fall_silent_after(agent, 3)
    found = await watch(tmp_path, qemu(), agent, seconds=0.05)
    blocks = [values.get("guest_free_order_10_blocks") for _, values in found.samples]
    assert blocks[-1] is None
    assert agent.asked.count("guest-file-open") == 4
    assert len(found.notes) == 1


def _fall_silent_after(agent, times):
    """Read files so often, and fall silent then."""
    plain = agent._guest_file_read

    def read(handle, count):
        if agent.asked.count("guest-file-read") >= times:
            agent.silent = ["guest-file-open", "guest-file-read", "guest-file-close"]
        return plain(handle, count)

    return read


async def test_nobody_at_the_monitors_socket_ends_the_watch_with_its_name(tmp_path):
    with pytest.raises(HostError, match=r"cannot watch db: .*No such file"):
        await watch_vms([VmSockets("db", tmp_path / "qmp")], 0.01, 0.01)


async def test_a_monitor_that_another_program_holds_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "CONNECT_DEADLINE_S", 0.05)

    class Held(FakeQemu):
        async def _talk(self, reader, writer):
            await reader.read()
            writer.close()

    with pytest.raises(HostError, match="the monitor of db does not answer") as caught:
        await watch(tmp_path, Held({}))
    assert "-qmp unix:FILE" in caught.value.hint


async def test_a_qemu_that_ends_meanwhile_leaves_its_numbers_missing_and_is_told(tmp_path, monkeypatch):
    gone = 2**22 + 1
    monkeypatch.setattr(watching, "_find_process", lambda _vm, _pid, _watched: gone)
    found = await watch(tmp_path, qemu())
    assert {values["rss_bytes"] for _, values in found.samples} == {None}
    assert found.notes == [watching.GONE]


@pytest.mark.usefixtures("_as_qemu")
async def test_a_vm_whose_answers_are_late_is_not_looked_at_for_much_longer_than_asked_for(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(watching, "LATE_S", 0.1)
    monitor = qemu(**{"query-balloon": lambda _: time.sleep(0.1) or {"actual": 4 * GIB}})
    found = await watch(tmp_path, monitor, seconds=0.2)
    assert 1 <= len(found.samples) < 21
    assert found.samples[-1][0] <= 0.3
    assert found.notes == ["answers came late: it was looked at less often than asked for"]
