from __future__ import annotations

from dataclasses import replace

from freepage.records import Action
from freepage.study.blocks import block_seed
from freepage.study.scaling.levels import expected_levels
from freepage.study.schedule import build_schedule
from freepage.study.study import FioGroup
from freepage.units import GIB, MIB
from helpers.studies import SMALL, scaled


def test_the_hosts_test_file_fits_between_what_vms_hold_with_fpr_and_without():
    for conditions in (SMALL, replace(SMALL, node_memory_bytes=8 * GIB, node_is_given=True)):
        experiment = scaled("host-io", 0.03, conditions).experiments[0]
        memory, fio = experiment.groups
        window = (fio.after_s, experiment.duration_s)
        node = experiment.node_memory_bytes or conditions.node_memory_bytes
        overhead = memory.instances * 260 * MIB
        for block in range(experiment.repeats):
            seed = block_seed(1, experiment.name, block)
            levels = expected_levels(experiment.name, (memory,), seed, *window)
            with_fpr, without = levels.with_fpr_bytes, levels.without_bytes
            assert with_fpr < without
            assert with_fpr + fio.job.file_bytes + overhead < node < without + fio.job.file_bytes + overhead
    assert experiment.node_memory_bytes is None


def test_a_smoke_run_of_host_io_does_not_fill_a_node_that_is_as_large_as_it_is():
    given = replace(SMALL, node_memory_bytes=192 * GIB, node_is_given=True)
    (experiment,) = scaled("host-io", 0.01, given).experiments
    assert next(g for g in experiment.groups if isinstance(g, FioGroup)).job.file_bytes <= 512 * MIB


def test_memory_groups_of_host_io_hold_until_fio_has_ended():
    experiment = scaled("host-io", 0.05).experiments[0]
    memory = experiment.groups[0]
    steps = [
        s for p in range(memory.processes) for s in build_schedule(memory, 1, "host-io-memory-0", p).steps
    ]
    assert max(s.at_s for s in steps if s.action is Action.ALLOCATE) > 0.8 * experiment.duration_s
