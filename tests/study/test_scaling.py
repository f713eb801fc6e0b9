"""What a scale makes of experiments, groups and files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.errors import CapacityError, StudyError
from freepage.records import Action, Arm
from freepage.study.file import parse_study
from freepage.study.plan import check_disk, fit_scale, plan_trials, planned_duration_s
from freepage.study.request import RunRequest, plan_run
from freepage.study.scaling import SMOKE_SCALE, expected_levels, scale_study
from freepage.study.schedule import build_schedule
from freepage.study.study import Conditions, Group, Range, builtin_studies, read_study
from freepage.units import GIB, MIB

SMALL = Conditions(node_memory_bytes=24 * GIB, cores=2, accelerator="tcg")
LAPTOP = Conditions(node_memory_bytes=32 * GIB, cores=8, accelerator="kvm")
HOST = {"memory_total_bytes": 24 * GIB, "memory_available_bytes": 22 * GIB, "cpus_logical": 2}


def scaled(name, scale, conditions=SMALL, *overrides):
    return scale_study(read_study(name, overrides)[0], scale, conditions)


@pytest.mark.parametrize("name", [n for n in builtin_studies() if n not in {"quick", "article"}])
def test_any_experiment_can_be_tried_in_about_a_minute(name):
    trials = plan_run(RunRequest(name, scale=0.01), "tcg", HOST).trials
    assert planned_duration_s(trials, "tcg") <= 60
    assert len(trials) <= 3


def test_a_try_keeps_the_first_experiment_of_each_kind_and_names_the_others():
    tried = plan_run(RunRequest("guest-io", scale=0.01), "tcg", HOST)
    assert {t.experiment.name for t in tried.trials} == {"guest-io-ext4"}
    assert tried.left_out == ("guest-io-xfs",)
    assert plan_run(RunRequest("guest-io", scale=0.02), "tcg", HOST).left_out == ()
    assert plan_run(RunRequest("article", scale=0.01), "tcg", HOST).left_out == ("guest-io-xfs",)


@pytest.mark.parametrize(("conditions", "minutes"), [(SMALL, 40), (LAPTOP, 20)])
def test_the_whole_article_fits_its_time_and_memory(conditions, minutes):
    file = read_study("article")[0]
    scale = fit_scale(file, conditions, 20 * GIB)
    trials = plan_trials(scale_study(file, scale, conditions))
    assert scale >= SMOKE_SCALE
    assert planned_duration_s(trials, conditions.accelerator) <= minutes * 60
    assert max(t.demand_bytes for t in trials) <= 0.7 * 20 * GIB


@pytest.mark.parametrize("name", ["random", "burst"])
def test_the_memory_of_a_whole_experiment_follows_the_scale(name):
    (whole,), (small,) = (scaled(name, s).experiments[0].groups for s in (1.0, 0.05))
    share = small.instances * small.peak_demand_bytes / (whole.instances * whole.peak_demand_bytes)
    assert share == pytest.approx(0.05, rel=0.1)


def test_the_times_of_churn_stay_short():
    (group,) = scaled("churn", 0.05).experiments[0].groups
    assert (group.hold.minimum, group.hold.maximum) == (0.5, 1.5)


def test_host_io_is_planned_alone_too_and_has_a_node_of_its_own():
    trials = plan_trials(scaled("host-io", 0.05))
    assert {t.arm for t in trials} == {Arm.BASELINE, Arm.VM, Arm.VM_FPR}
    alone = next(t for t in trials if t.arm is Arm.BASELINE)
    beside = next(t for t in trials if t.arm is Arm.VM_FPR)
    assert [(i.name, i.carrier) for i in alone.instances] == [("host-io-fio-0", Arm.POD)]
    assert {i.carrier for i in beside.instances} == {Arm.POD, Arm.VM_FPR}
    assert alone.node_memory_bytes == beside.node_memory_bytes < 24 * GIB


def test_the_hosts_test_file_fits_between_what_vms_hold_with_fpr_and_without():
    for conditions in (SMALL, replace(SMALL, node_memory_bytes=8 * GIB, node_is_given=True)):
        experiment = scaled("host-io", 0.03, conditions).experiments[0]
        memory, fio = experiment.groups
        window = (fio.after_s, experiment.duration_s)
        with_fpr, without = expected_levels(experiment.name, (memory,), 1, *window)
        node = experiment.node_memory_bytes or conditions.node_memory_bytes
        overhead = memory.instances * 260 * MIB
        assert with_fpr < without
        assert with_fpr + fio.io.file_bytes + overhead < node < without + fio.io.file_bytes + overhead
    assert experiment.node_memory_bytes is None


def test_trying_host_io_does_not_fill_a_node_that_is_as_large_as_it_is():
    given = replace(SMALL, node_memory_bytes=192 * GIB, node_is_given=True)
    (experiment,) = scaled("host-io", 0.01, given).experiments
    assert next(g for g in experiment.groups if g.io).io.file_bytes <= 512 * MIB


def test_expected_levels_are_what_is_held_within_two_passes_and_what_ever_was():
    group = Group(
        "m", "random", None, 1, 1, 1, 0, Range(MIB, MIB, 1), Range(2, 2, 1), Range(18, 18, 1), start="held"
    )
    group = replace(group, duration_s=100.0)
    with_fpr, without = expected_levels("x", (group,), 1, 20.0, 80.0)
    assert without == pytest.approx(MIB)
    assert with_fpr == pytest.approx(MIB * 6 / 20, rel=0.1)


def test_memory_groups_of_host_io_hold_until_fio_has_ended():
    experiment = scaled("host-io", 0.05).experiments[0]
    memory = experiment.groups[0]
    steps = [
        s for p in range(memory.processes) for s in build_schedule(memory, 1, "host-io-memory-0", p).steps
    ]
    assert max(s.at_s for s in steps if s.action is Action.ALLOCATE) > 0.8 * experiment.duration_s


def test_arms_an_experiment_has_not_are_left_out_and_none_left_is_refused():
    study = scaled("article", 0.05, SMALL, 'arms=["pod","vm"]')
    arms = {e.name: e.arms for e in study.experiments}
    assert arms["cycle"] == (Arm.POD, Arm.VM)
    assert arms["host-io"] == (Arm.BASELINE, Arm.VM)
    with pytest.raises(StudyError, match="no experiment of the study runs on pod") as caught:
        scaled("host-io", 0.05, SMALL, 'arms=["pod"]')
    assert "vm, vm-fpr" in caught.value.hint


def test_a_process_starts_held_with_the_probability_given():
    (group,) = scaled("random", 0.1, SMALL, "random.start=0.25").experiments[0].groups
    held = [build_schedule(group, 1, f"random-{n}", 0).steps[0].at_s == 0 for n in range(400)]
    assert 0.18 < sum(held) / 400 < 0.32


def test_test_files_that_do_not_fit_the_disk_are_refused_before_anything_starts(tmp_path, monkeypatch):
    run_plan = plan_run(RunRequest("guest-io", scale=0.05), "tcg", HOST)
    check_disk(run_plan.trials, tmp_path / "run")
    usage = type("Usage", (), {"free": GIB})
    monkeypatch.setattr("freepage.study.plan.shutil.disk_usage", lambda _: usage)
    with pytest.raises(CapacityError, match=r"the test files need 1\.[0-9]+ GiB, and .* has 1\.00 GiB free"):
        check_disk(run_plan.trials, tmp_path / "run")


def test_streams_that_no_layout_of_files_fits_are_refused():
    with pytest.raises(StudyError, match="one stream through all files, or as many as there are files"):
        scaled("guest-io", 0.05, SMALL, "guest-io-ext4.streams=[2, 7]")


@pytest.mark.parametrize(("scale", "least"), [(0.035, 0.8), (0.05, 0.85), (0.2, 0.87)])
def test_fios_files_nearly_fill_a_guest_and_leave_what_does_not_shrink(scale, least):
    (group,) = scaled("guest-io", scale).experiments[0].groups
    assert group.io.file_bytes == pytest.approx(scale * 28 * GIB, rel=0.01)
    assert group.vm_memory_bytes - group.io.file_bytes >= 224 * MIB
    assert least < group.io.file_bytes / group.vm_memory_bytes < 0.88
    assert group.io.disk_bytes > group.io.file_bytes + 64 * MIB


def test_files_larger_than_the_guest_stay_so():
    (group,) = scaled("guest-io", 0.1, SMALL, "guest-io-ext4.file=60GiB").experiments[0].groups
    assert group.io.file_bytes > 1.5 * group.vm_memory_bytes


TWO_KINDS_OF_VM = """name = "mine"
[[experiment]]
kind = "random"
[[experiment.group]]
name = "small"
kind = "random"
instances = 2
size = "64MiB"
hold = "4s"
idle = "4s"
duration = "20s"
[[experiment.group]]
name = "large"
kind = "cycle"
cpus = 2
size = "512MiB"
hold = "4s"
idle = "8s"
iterations = 2
after = "5s"
"""


def test_instances_that_differ_run_side_by_side_until_the_last_has_ended():
    study = scale_study(parse_study(TWO_KINDS_OF_VM, "mine.toml"), 1.0, SMALL)
    trial = next(t for t in plan_trials(study) if t.arm is Arm.VM_FPR)
    assert [(i.name, i.cpus) for i in trial.instances] == [
        ("random-small-0", 1),
        ("random-small-1", 1),
        ("random-large-0", 2),
    ]
    assert trial.instances[0].vm_memory_bytes < trial.instances[2].vm_memory_bytes
    assert trial.duration_s == 5.0 + study.experiments[0].groups[1].duration_s


def test_a_schedule_that_begins_later_ends_within_the_trial():
    (experiment,) = scaled("cycle", 1.0, SMALL, "cycle.after=90s").experiments
    steps = build_schedule(experiment.groups[0], 1, "cycle-0", 0).steps
    assert steps[0].at_s == 90.0
    assert steps[-1].at_s < experiment.duration_s


def test_a_commands_folder_is_seen_from_the_studys_and_has_to_be_there(tmp_path):
    study = tmp_path / "own.toml"
    study.write_text(
        'name = "own"\n[[experiment]]\nkind = "command"\ncommand = ["/tools/opt/x"]\nfolder = "mine"\n'
    )
    with pytest.raises(StudyError, match=r"experiment command: the folder .*mine is not there"):
        read_study(str(study))
    (tmp_path / "mine").mkdir()
    assert read_study(str(study))[0].experiment[0].folder == str(tmp_path / "mine")
