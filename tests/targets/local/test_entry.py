"""This host before and after it is made ready for a run."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from freepage.errors import CapacityError
from freepage.records import Arm
from freepage.study.request import RunRequest
from freepage.targets.base import Accelerator
from freepage.targets.local import entry
from freepage.targets.local.choices import LocalChoices
from freepage.units import GIB
from helpers.fakes import CONDITIONS, FACTS

REQUEST = RunRequest("cycle", arms=(Arm.VM, Arm.VM_FPR), time_s=48 * 3600.0)


@pytest.fixture
def host(monkeypatch):
    """A host that looks smaller once it is open; gives what is asked of it, in order."""
    done = []

    @asynccontextmanager
    async def open_local_target(choices, carriers):
        done.append(("opened", tuple(sorted(carriers))))
        conditions = CONDITIONS | {"memory_available_bytes": 2 * GIB, "memory_total_bytes": 4 * GIB}
        yield SimpleNamespace(find_obstacle=lambda _: None, facts=replace(FACTS, conditions=conditions))

    async def warm_up(size_bytes):
        done.append(("warmed up", size_bytes))

    monkeypatch.setattr(entry, "open_local_target", open_local_target)
    monkeypatch.setattr(entry, "warm_up", warm_up)
    monkeypatch.setattr(entry, "read_host_facts", lambda: CONDITIONS)
    monkeypatch.setattr(entry, "guess_accelerator", lambda _: Accelerator("tcg", "it was guessed"))
    monkeypatch.setattr(entry, "check_disk", lambda trials, _: done.append(("disk", len(trials))))
    return done


async def test_a_study_is_planned_again_by_what_the_opened_host_really_has(host, tmp_path):
    async with entry.open_local_preview(LocalChoices(), REQUEST) as preview:
        assert (preview.execution, host) == ("tcg (it was guessed)", [])
        async with preview.open_target(tmp_path) as (_, plan):
            assert plan.study.scale < preview.plan.study.scale
            largest = max(t.demand_bytes for t in plan.trials)
    assert [step for step, _ in host] == ["disk", "opened", "disk", "warmed up"]
    assert host[1][1] == ("vm", "vm-fpr")
    assert host[3][1] == largest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 0.05}, "the study is too large"),
        ({"memory_bytes": 4 * GIB}, "more than the 2.00 GiB available"),
    ],
)
async def test_a_host_that_has_less_memory_when_the_run_starts_than_when_it_was_planned_is_refused(
    host, tmp_path, options, words
):
    request = RunRequest("cycle", arms=(Arm.VM,), **options)
    async with entry.open_local_preview(LocalChoices(), request) as preview:
        with pytest.raises(CapacityError, match=words):
            async with preview.open_target(tmp_path):
                pytest.fail("it was opened")
    assert "warmed up" not in [step for step, _ in host]


async def test_a_disk_that_is_too_small_is_found_before_anything_starts(host, tmp_path, monkeypatch):
    def refuse(_trials, _folder):
        raise CapacityError("the test files need 1 TiB")

    monkeypatch.setattr(entry, "check_disk", refuse)
    async with entry.open_local_preview(LocalChoices(), REQUEST) as preview:
        with pytest.raises(CapacityError, match="1 TiB"):
            async with preview.open_target(tmp_path):
                pytest.fail("it was opened")
    assert host == []


async def test_the_memory_of_a_cgroup_is_what_is_planned_for(host):
    async with entry.open_local_preview(LocalChoices(node_memory_bytes=2 * GIB), REQUEST) as preview:
        assert preview.plan.available_bytes == 2 * GIB
        assert preview.plan.conditions.node_is_given
    assert host == []
