"""Parsers, on texts recorded from kernels and cgroups of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.kernels import RunningKernel
from freepage.metrics import (
    BUDDY_ORDERS,
    GUEST_METRICS,
    INSTANCE_METRICS,
    METRICS,
    NODE_CGROUP_METRICS,
    NODE_METRICS,
    in_use_bytes,
    node_in_use_bytes,
)
from freepage.sampling.balloon import count_free_lists, parse_buddyinfo, parse_free_lists, parse_guest_stats
from freepage.sampling.cgroupfs import (
    parse_amount,
    parse_memory_stat,
    read_node_cgroup,
)
from freepage.sampling.instances import parse_family, parse_pod, parse_qemu_cpu, parse_vm, read_cgroup
from freepage.sampling.procfs import (
    parse_family_cpu_s,
    parse_guest_cpu,
    parse_meminfo,
    parse_pressure,
    parse_stat_cpu,
    parse_status,
    parse_task_stat,
    parse_vmstat,
    parse_zoneinfo,
    read_host,
)
from freepage.targets.local.facts import (
    find_free_page_reporting,
    parse_cpuinfo,
    parse_os_release,
    read_host_facts,
)
from freepage.units import GIB, KIB, MIB

RECORDED = Path(__file__).parents[1] / "recorded"


def recorded(name):
    return (RECORDED / name).read_text()


def composed(name):
    """A text after the public format of a machine that was not at hand."""
    return recorded(f"composed/{name}")


def test_meminfo_is_read_in_bytes():
    values = parse_meminfo(recorded("meminfo-old.txt"))
    assert values["mem_total_bytes"] == 2046392 * KIB
    assert values["mem_sreclaimable_bytes"] == 25672 * KIB
    assert values["hugepages_free"] == 8


def test_what_an_old_kernel_lacks_is_none_and_still_named():
    values = parse_meminfo(recorded("meminfo-old.txt"))
    assert values["mem_available_bytes"] is None
    assert values["mem_shmem_bytes"] is None
    assert set(values) == set(parse_meminfo(recorded("meminfo-6.18.txt")))
    assert None not in parse_meminfo(recorded("meminfo-6.18.txt")).values()


def test_a_page_of_64_kib_and_missing_lines_change_nothing_in_meminfos_units():
    values = parse_meminfo(composed("meminfo-arm64-64k-5.15.txt"))
    assert values["mem_total_bytes"] == 8331968 * KIB
    assert (values["hugepages_total"], values["hugepages_free"]) == (2, 1)
    assert in_use_bytes(values) == (8331968 - 6020480 - 1081344 - 6400 - 96256) * KIB
    values = parse_meminfo(composed("meminfo-s390x-6.8.txt"))
    assert in_use_bytes(values) == (4044760 - 1500400 - 1800000 - 2048 - 120000) * KIB
    assert (values["hugepages_total"], values["hugepages_free"]) == (4, 3)


def test_lines_that_come_twice_and_nul_bytes_at_the_end_are_read_over():
    values = parse_meminfo(composed("meminfo-lxcfs-nul.txt"))
    assert in_use_bytes(values) == (1048576 - 400000 - 300000 - 20000) * KIB
    assert values["swap_total_bytes"] == 0
    assert in_use_bytes(parse_meminfo("")) is None
    assert set(parse_meminfo("MemTotal:\nMemFree: 5 kB torn\nCached: -5 kB\n\0\0").values()) == {None}


@pytest.mark.parametrize("page_bytes", [4096, 65536])
def test_per_cpu_lists_are_counted_over_nodes_and_unpopulated_zones_are_not_in_the_way(page_bytes):
    found = parse_zoneinfo(composed("zoneinfo-rhel-8.txt"), page_bytes)
    assert found == {"mem_per_cpu_free_bytes": 400 * page_bytes}


def test_a_process_that_ends_while_it_is_read_is_missing():
    line = "42 (qemu) S 1 42 42 0 -1 4194304 1234 99 5 0 300 200 100 50 20 0"
    assert parse_task_stat(line) is not None
    for torn in ("", "42 (qe", line[:40], line.replace("300", "3x0")):
        assert parse_task_stat(torn) is None
        assert parse_family_cpu_s(torn) is None
    assert set(parse_qemu_cpu(line[:40], "").values()) == {None}
    assert parse_qemu_cpu(line, f"{line}\n{line[:30]}\n")["cpu_main_loop_s"] is None
    assert parse_family(5, "7 x 9 \u00b2") == [5, 7, 9]


def test_allocation_stalls_of_all_zones_are_added():
    values = parse_vmstat("allocstall_dma 1\nallocstall_normal 4\npgfault 7\n")
    assert (values["allocstall"], values["pgfault"], values["pswpin"]) == (5, 7, None)
    assert parse_vmstat("pgfault 7\n")["allocstall"] is None
    assert parse_vmstat(recorded("vmstat-6.18.txt"))["thp_split_page"] is not None


def test_cpu_time_is_read_in_seconds_and_a_state_an_old_kernel_lacks_is_none():
    values = parse_stat_cpu("cpu  100 0 250 4000 5 0 1\ncpu0 1 2 3\n")
    assert (values["cpu_user_s"], values["cpu_system_s"]) == (1.0, 2.5)
    assert values["cpu_steal_s"] is None
    guest = parse_guest_cpu("cpu  100 50 250 4000 5 20 30 7\n")
    assert guest == {"guest_cpu_user_s": 1.5, "guest_cpu_system_s": 3.0, "guest_cpu_steal_s": 0.07}
    assert set(parse_guest_cpu("").values()) == {None}
    assert parse_stat_cpu(recorded("stat-6.18.txt"))["cpu_guest_s"] is not None
    assert set(parse_stat_cpu("").values()) == {None}


def test_pressure_is_read_in_seconds_and_missing_without_the_file():
    values = parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n", "cpu")
    assert values == {"psi_cpu_some_s": 1.5, "psi_cpu_full_s": None}
    assert parse_pressure(recorded("pressure-memory-6.18.txt"), "memory")["psi_memory_full_s"] is not None


def test_the_memory_of_a_process_is_read_in_bytes():
    values = parse_status(recorded("status-6.18.txt"))
    assert values["rss_bytes"] == pytest.approx(
        values["rss_anon_bytes"] + values["rss_file_bytes"] + values["rss_shmem_bytes"]
    )
    assert set(parse_status("").values()) == {None}


def test_a_process_whose_name_holds_spaces_and_brackets_is_read():
    line = "42 (CPU 0/TCG) x) S 1 42 42 0 -1 4194304 1234 99 5 0 300 200 100 50 20 0 1 0 17 0 0"
    assert parse_task_stat(line) == (5.0, 1234, 5)
    assert parse_family_cpu_s(line) == 6.5
    assert parse_family_cpu_s("") is None


def test_this_hosts_counters_are_all_known_metrics():
    values = read_host()
    assert set(values) == {m.id for m in NODE_METRICS}
    assert values["mem_total_bytes"] > values["mem_free_bytes"] > 0


def test_cgroups_of_both_versions_give_the_same_names():
    v1 = parse_memory_stat(recorded("cgroup-v1-memory.stat"), 1)
    v2 = parse_memory_stat(recorded("cgroup-v2-memory.stat"), 2)
    assert set(v1) == set(v2)
    assert v2["anon"] == 100 * MIB
    assert v2["slab_reclaimable"] == MIB
    assert v1["slab_reclaimable"] is None
    assert v1["anon"] is not None


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("4096\n", 4096),
        ("17179869184\n", 16 * GIB),
        ("1099511627776\n", 1024 * GIB),
        ("0\n", 0),
        ("max\n", None),
        (f"{(2**63 - 1) // 4096 * 4096}\n", None),
        (f"{(2**63 - 1) // 16384 * 16384}\n", None),
        (f"{(2**63 - 1) // 65536 * 65536}\n", None),
        (f"{2**63 - 1}\n", None),
        (f"{2**64 - 1}\n", None),
        ("-1\n", None),
        ("\u00b2\n", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_no_limit_is_none_whatever_the_page_size_and_the_kernels_age(text, amount):
    assert parse_amount(text) == amount


def test_a_line_of_memory_stat_that_is_no_number_is_missing():
    values = parse_memory_stat("anon 4096\nfile what\nshmem -5\ninactive_file\n", 2)
    assert (values["anon"], values["file"], values["shmem"], values["inactive_file"]) == (
        4096,
        None,
        None,
        None,
    )


def write_cgroup(folder, version):
    names = {1: ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.memsw.usage_in_bytes")}
    names[2] = ("memory.current", "memory.max", "memory.swap.current")
    usage, limit, swap = names[version]
    folder.mkdir()
    (folder / usage).write_text(str(200 * MIB))
    (folder / limit).write_text(str(GIB))
    (folder / swap).write_text(str(10 * MIB if version == 2 else 210 * MIB))
    stat = "anon 104857600\nfile 52428800\nshmem 4096\ninactive_file 41943040\nslab_reclaimable 1048576\n"
    old = "total_rss 104857600\ntotal_cache 52428800\ntotal_shmem 4096\ntotal_inactive_file 41943040\n"
    (folder / "memory.stat").write_text(stat if version == 2 else old)


@pytest.mark.parametrize("version", [1, 2])
def test_a_cgroup_of_either_version_is_read_into_metrics(tmp_path, version):
    write_cgroup(tmp_path / "cg", version)
    values = parse_pod([], read_cgroup(tmp_path / "cg", version))
    assert values["cgroup_working_set_bytes"] == 160 * MIB
    assert set(values) <= {m.id for m in INSTANCE_METRICS}
    node = read_node_cgroup(tmp_path / "cg", version)
    assert set(node) == {m.id for m in NODE_CGROUP_METRICS}
    assert (node["node_cgroup_swap_bytes"], node["node_cgroup_limit_bytes"]) == (10 * MIB, GIB)


def test_a_cgroup_that_is_gone_has_nothing_to_read(tmp_path):
    assert set(parse_vm(None, read_cgroup(tmp_path / "gone", 2)).values()) == {None}


@pytest.mark.parametrize(
    ("name", "lists", "sums"),
    [
        ("arm64-4k-6.6", 11, {0: 946, 10: 1599}),
        ("arm64-16k-6.6", 12, {10: 3, 11: 199}),
        ("arm64-64k-5.15", 14, {5: 8, 13: 26}),
        ("s390x-6.8", 9, {0: 74, 8: 1152}),
        ("rhel-8", 11, {9: 6, 10: 3315}),
        ("numa-movable", 11, {0: 439, 10: 9582}),
    ],
)
def test_free_blocks_of_every_order_a_kernel_has_are_added_over_zones_and_nodes(name, lists, sums):
    text = composed(f"buddyinfo-{name}.txt")
    values = parse_buddyinfo(text)
    assert count_free_lists(text) == lists
    assert {order: values[f"guest_free_order_{order}_blocks"] for order in sums} == sums
    known = [value is not None for value in values.values()]
    assert known == [True] * lists + [False] * (len(BUDDY_ORDERS) - lists)


def test_a_torn_buddyinfo_is_missing_as_a_whole():
    text = composed("buddyinfo-rhel-8.txt")
    assert set(parse_buddyinfo(text[:-20]).values()) == {None}
    assert count_free_lists("") is None


def test_buddyinfo_adds_the_zones_of_each_order():
    values = parse_buddyinfo(recorded("buddyinfo-6.1.txt"))
    assert (values["guest_free_order_10_blocks"], values["guest_free_order_9_blocks"]) == (231, 4)
    assert set(parse_buddyinfo("").values()) == {None}
    assert set(values) <= {m.id for m in GUEST_METRICS}


def test_balloon_statistics_before_the_first_answer_are_none():
    assert set(
        parse_guest_stats({"last-update": 0, "stats": {"stat-free-memory": 2**64 - 1}}, 100.0).values()
    ) == {None}


def test_balloon_statistics_are_read_and_what_the_guest_does_not_know_is_none():
    reply = {"last-update": 98, "stats": {"stat-free-memory": 5 * MIB, "stat-swap-in": 2**64 - 1}}
    values = parse_guest_stats(reply, 100.0)
    assert (values["guest_free_bytes"], values["guest_swap_in_bytes"], values["guest_stats_age_s"]) == (
        5 * MIB,
        None,
        2,
    )


def test_memory_in_use_is_the_articles_formula():
    parts = {"total": 100.0, "free": 20.0, "cached": 30.0, "buffers": 5.0, "sreclaimable": 10.0}
    values = {f"mem_{key}_bytes": value for key, value in parts.items()}
    assert in_use_bytes(values) == 35
    assert in_use_bytes(values | {"mem_cached_bytes": None}) is None


def test_free_memory_on_per_cpu_lists_is_not_in_use():
    text = "Node 0, zone    DMA32\n  pagesets\n    cpu: 0\n              count:    512\n    cpu: 1\n              count: 2\n"
    found = parse_zoneinfo(text, 4096)
    assert found == {"mem_per_cpu_free_bytes": 514 * 4096.0}
    assert parse_zoneinfo("", 4096)["mem_per_cpu_free_bytes"] is None
    values = {
        f"mem_{k}_bytes": v
        for k, v in (("total", 9e6), ("free", 1e6), ("cached", 0), ("buffers", 0), ("sreclaimable", 0))
    }
    assert in_use_bytes(values | found) == 8e6 - 514 * 4096
    assert parse_zoneinfo(Path("/proc/zoneinfo").read_text(), 4096)["mem_per_cpu_free_bytes"] >= 0


def test_memory_in_use_of_a_cgroup_counts_shared_memory_but_no_cache():
    tick = {
        "mem_total_bytes": 1.0,
        "node_cgroup_usage_bytes": 100.0,
        "node_cgroup_file_bytes": 40.0,
        "node_cgroup_shmem_bytes": 10.0,
        "node_cgroup_slab_reclaimable_bytes": 5.0,
    }
    assert node_in_use_bytes(tick) == 65
    assert node_in_use_bytes(tick | {"node_cgroup_usage_bytes": None}) is None


@given(st.text())
def test_no_text_breaks_a_parser(text):
    for parse in (
        parse_meminfo,
        parse_stat_cpu,
        parse_status,
        parse_buddyinfo,
        parse_free_lists,
        parse_os_release,
        parse_cpuinfo,
        parse_vmstat,
        parse_task_stat,
        parse_family_cpu_s,
        parse_guest_cpu,
        parse_amount,
    ):
        parse(text)
    parse_zoneinfo(text, 4096)
    parse_pressure(text, "io")
    parse_qemu_cpu(text, text)
    parse_memory_stat(text, 1)


def test_every_metric_is_described():
    for metric in METRICS.values():
        assert metric.kind in {"gauge", "counter"}
        assert metric.unit
        assert metric.meaning
        assert metric.source


def test_this_hosts_facts_name_what_a_reader_needs():
    facts = read_host_facts()
    assert facts["memory_total_bytes"] >= facts["memory_available_bytes"] > 0
    assert facts["cpus_logical"] >= 1
    assert {"kernel", "cpu_model", "thp_enabled", "ksm_run", "swap_total_bytes", "cgroup_version"} <= set(
        facts
    )


@pytest.mark.parametrize(
    ("bits", "order", "answer"),
    [
        ("01100101", "9", True),
        ("01100001", "9", False),
        ("01100101", "-1", False),
        ("01100101", "11", False),
        ("01100101", "what", None),
        ("", "9", None),
        (None, "", False),
    ],
)
def test_a_host_that_reports_its_own_free_pages_says_so_in_its_balloon(tmp_path, bits, order, answer):
    (tmp_path / "bus").mkdir()
    if bits is not None:
        balloon = tmp_path / "bus/virtio/drivers/virtio_balloon/virtio3"
        balloon.mkdir(parents=True)
        (balloon / "features").write_text(bits)
    parameters = tmp_path / "module/page_reporting/parameters"
    parameters.mkdir(parents=True)
    (parameters / "page_reporting_order").write_text(order)
    assert find_free_page_reporting(tmp_path, RunningKernel("6.1.0", "x86_64", 4096, 11)) is answer


def test_cpuinfo_and_os_release_are_read():
    text = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor sse\n"
    assert parse_cpuinfo(text)["cpu_model"] == "AMD EPYC"
    assert parse_os_release('NAME="X"\nPRETTY_NAME="Debian GNU/Linux 12"\n') == "Debian GNU/Linux 12"
