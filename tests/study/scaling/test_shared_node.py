from __future__ import annotations

from dataclasses import replace

from freepage.records import Action
from freepage.study.blocks import block_seed
from freepage.study.scaling.levels import expected_levels
from freepage.study.scaling.study import scale_study
from freepage.study.schedule import build_schedule
from freepage.study.study import FioGroup
from freepage.units import GIB, MIB
from helpers.studies import ARTICLE, SMALL, read, scaled


def test_the_hosts_test_file_fits_between_what_vms_hold_with_fpr_and_without():
    for conditions in (SMALL, replace(SMALL, node_memory_bytes=8 * GIB, node_is_given=True)):
        experiment = scaled("host-io", 0.03, conditions).experiments[0]
        memory, fio = experiment.groups
        window = (fio.after_s, experiment.duration_s)
        node = experiment.node_memory_bytes or conditions.node_memory_bytes
        overhead = memory.instances * 190 * MIB
        for block in range(experiment.repeats):
            seed = block_seed(1, experiment.name, block)
            levels = expected_levels(experiment.name, (memory,), seed, *window)
            with_fpr, without = levels.with_fpr_bytes, levels.without_bytes
            assert with_fpr < without
            assert with_fpr + fio.job.file_bytes + overhead < node < without + fio.job.file_bytes + overhead
    assert experiment.node_memory_bytes is None


def test_a_smoke_run_of_host_io_does_not_fill_a_node_that_is_as_large_as_it_is():
    given = replace(SMALL, node_memory_bytes=192 * GIB, node_is_given=True)
    (experiment,) = scale_study(read("host-io"), 0.01, given, smoke=True).experiments
    assert next(g for g in experiment.groups if isinstance(g, FioGroup)).job.file_bytes <= 512 * MIB


def test_memory_groups_of_host_io_hold_until_fio_has_ended():
    experiment = scaled("host-io", 0.05).experiments[0]
    memory = experiment.groups[0]
    steps = [
        s for p in range(memory.processes) for s in build_schedule(memory, 1, "host-io-memory-0", p).steps
    ]
    assert max(s.at_s for s in steps if s.action is Action.ALLOCATE) > 0.8 * experiment.duration_s


def test_at_the_articles_size_vms_reach_the_articles_levels():
    """It saw 60 to 75 GiB with FPR and about 115 without, of which 0.8 GiB a VM were the VMs' own."""
    experiment = scaled("host-io", 1.0, ARTICLE).experiments[0]
    memory, fio = experiment.groups
    assert (memory.instances, memory.processes, memory.vm_memory_bytes) == (17, 8, 10 * GIB)
    assert (memory.size.mean, memory.hold.mean / memory.idle.mean) == (576 * MIB, 2)
    assert (fio.after_s, fio.job.file_bytes) == (1800, 90 * GIB)
    for block in range(experiment.repeats):
        seed = block_seed(1, experiment.name, block)
        levels = expected_levels(experiment.name, (memory,), seed, fio.after_s, experiment.duration_s)
        assert 60 <= levels.with_fpr_bytes / GIB + 17 * 0.8 <= 75
        assert 110 <= levels.without_bytes / GIB + 17 * 0.8 <= 120


def test_a_node_has_all_that_is_available_where_that_is_nearly_the_studys():
    for available, node in ((184, 184), (300, 192), (100, 192)):
        conditions = replace(ARTICLE, available_bytes=available * GIB)
        assert scaled("host-io", 1.0, conditions).experiments[0].node_memory_bytes == node * GIB
