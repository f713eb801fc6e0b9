from __future__ import annotations

import pytest

from freepage.errors import StudyError
from freepage.kinds import FIO, RANDOM
from freepage.records import Arm
from freepage.study.read import parse_study
from freepage.study.values import Share
from freepage.units import MIB

STUDY = """name = "mine"
arms = ["vm", "vm-fpr"]

[[experiment]]
kind = "cycle"
size = "256MiB"
hold = "2s"
idle = "6s"
iterations = 3

[[experiment]]
kind = "random"
size = "64MiB,192MiB,32MiB"
hold = "4s,12s,1s"
idle = "4s"
duration = "20s"
"""


def complaint(text: str, *overrides: str) -> str:
    with pytest.raises(StudyError) as caught:
        parse_study(text, "mine.toml", overrides)
    return str(caught.value)


def test_a_study_is_read_with_sizes_in_bytes_and_times_in_seconds():
    study = parse_study(STUDY, "mine.toml")
    cycle, random = study.experiment
    (cycle,), (random,) = cycle.groups, random.groups
    assert (cycle.size.min, cycle.hold.max, cycle.iterations) == (256 * MIB, 2, 3)
    assert (random.size.min, random.size.max, random.size.step) == (64 * MIB, 192 * MIB, 32 * MIB)
    assert study.arms == (Arm.VM, Arm.VM_FPR)


def test_a_share_of_the_node_is_kept_as_a_share():
    study = parse_study(STUDY.replace('"256MiB"', '"25%"'), "mine.toml")
    assert study.experiment[0].groups[0].size.min == Share(0.25)
    assert isinstance(study.experiment[0].groups[0].size.min, Share)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"256MiB"', '"256Mi"'),
        ('"2s"', '"2 seconds"'),
        ('"6s"', '"0m 6s"'),
        ('"64MiB,192MiB,32MiB"', '"64Mi,192M,32MiB"'),
    ],
)
def test_a_study_takes_units_as_kubernetes_and_people_write_them(before, after):
    assert parse_study(STUDY.replace(before, after, 1), "mine.toml") == parse_study(STUDY, "mine.toml")


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ('"256MiB"', '"abc%"', 6, "'abc%' is not a percentage such as 25%"),
        ('"256MiB"', '"0,5GiB"', 6, "decimals have a point"),
        ('"256MiB"', '"nan%"', 6, "such as 25%"),
        ('"2s"', '"1:30"', 7, "such as 90s, 1m30s or 250ms"),
        ('"2s"', '"1,5s"', 7, "decimals have a point"),
        ('"6s"', '"999999h"', 8, "longer than a year"),
        ('"256MiB"', '"99999999999EiB"', 6, "larger than any memory"),
    ],
)
def test_a_wrong_unit_is_named_with_its_line_its_value_and_an_example(before, after, line, words):
    said = complaint(STUDY.replace(before, after, 1))
    assert f"mine.toml, line {line}" in said
    assert after.strip('"') in said
    assert words in said


def test_an_unknown_key_is_named_with_its_line_and_what_was_meant():
    words = complaint(STUDY.replace("iterations = 3", "iterations = 3\niteratoins = 4"))
    assert "mine.toml, line 10" in words
    assert "'iteratoins'" in words
    assert "'iterations'" in words


def test_a_bad_size_in_the_second_experiment_is_named_with_the_line_in_the_second_experiment():
    words = complaint(STUDY.replace("64MiB,192MiB,32MiB", "64MiB,192Mib,32MiB"))
    assert "line 13" in words
    assert "192Mib" in words


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"2s"', "2", "write it as text with its unit"),
        ("iterations = 3", "iterations = 0", "greater than or equal to 1"),
        ("iterations = 3\n", "", "needs 'iterations'"),
        ("iterations = 3", 'iterations = 3\nduration = "9s"', "no 'duration'"),
        ('"64MiB,192MiB,32MiB"', '"192MiB,64MiB,32MiB"', "min is greater than its max"),
        ('"4s,12s,1s"', '"4s,12s"', "min,max,step"),
        ('arms = ["vm", "vm-fpr"]', 'arms = ["vm", "vm"]', "named twice"),
        ('arms = ["vm", "vm-fpr"]', 'arms = ["wm"]', "'vm'"),
        ('"random"\n', '"random"\nname = "cycle"\n', "two experiments are called 'cycle'"),
        ('size = "256MiB"\n', "", "line 4: kind 'cycle' needs 'size'"),
        ('hold = "2s"', 'file = "1GiB"', "kind 'cycle' has no 'file'"),
        ('"256MiB"', '"120%"', "between 0% and 100%"),
        ('kind = "cycle"', 'kind = "cicle"', "line 5: kind = 'cicle': it must be one of 'cycle'"),
        ('kind = "cycle"\n', "", "line 4: 'kind' is missing in experiment 1"),
        ('arms = ["vm", "vm-fpr"]', 'arms = "vm"', "write it as a list"),
        ('idle = "6s"', 'idle = "5s,7s,1s"', "use kind 'random'"),
        ('idle = "6s"', 'idle = "6s"\nstart = "idle"', "line 9: kind 'cycle' has no 'start'"),
        ('idle = "6s"', 'idle = "6s"\nnode_memory = "8GiB"', "kind 'cycle' has no 'node_memory'"),
        ('hold = "4s,12s,1s"\nidle = "4s"', 'hold = "0s"\nidle = "0s"', "cannot both be 0"),
    ],
)
def test_impossible_studies_are_refused_with_what_is_wrong(before, after, words):
    assert before in STUDY
    assert words in complaint(STUDY.replace(before, after, 1))


HOST_IO = """name = "mine"

[[experiment]]
kind = "host-io"
node_memory = "8GiB"

[[experiment.group]]
name = "memory"
kind = "random"
size = "64MiB"
hold = "4s"
idle = "4s"
duration = "20s"

[[experiment.group]]
kind = "fio"
carrier = "pod"
file = "auto"
runtime = "2s"
"""


def test_an_experiment_can_have_groups_of_instances_that_differ():
    (experiment,) = parse_study(HOST_IO, "mine.toml", ("host-io.memory.hold=9s",)).experiment
    memory, fio = experiment.groups
    assert (memory.workload, memory.carrier, memory.hold.min) == (RANDOM, "arm", 9)
    assert (fio.workload, fio.carrier, fio.file) == (FIO, "pod", "auto")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('runtime = "2s"', 'runtime = "2x"', "line 19: runtime"),
        ('runtime = "2s"', 'size = "2MiB"', "line 19: kind 'fio' has no 'size'"),
        ('carrier = "pod"\n', "", "one [[experiment.group]] of kind 'fio', with carrier = 'pod'"),
        ('name = "memory"\n', 'carrier = "pod"\n', "uses memory on the arm"),
        (
            'node_memory = "8GiB"',
            'hold = "1s"',
            "no 'hold' beside groups; an [[experiment.group]] may have it",
        ),
        ('name = "memory"\n', 'name = "fio"\n', "same name"),
        (
            'kind = "host-io"\nnode_memory = "8GiB"',
            'kind = "churn"',
            "needs an [[experiment.group]] of kind 'churn'",
        ),
        ('kind = "host-io"\nnode_memory = "8GiB"', 'kind = "random"', "file = \"auto\" needs kind 'host-io'"),
        ('node_memory = "8GiB"', 'arms = ["baseline"]', "'baseline' is no arm of a study"),
    ],
)
def test_impossible_groups_are_refused_with_what_is_wrong(before, after, words):
    assert before in HOST_IO
    assert words in complaint(HOST_IO.replace(before, after, 1))


def test_any_kind_of_experiment_can_have_groups():
    text = HOST_IO.replace('kind = "host-io"\nnode_memory = "8GiB"', 'kind = "random"').replace(
        '"auto"', '"9MiB"'
    )
    (experiment,) = parse_study(text, "mine.toml").experiment
    assert [(g.workload, g.carrier) for g in experiment.groups] == [(RANDOM, "arm"), (FIO, "pod")]
    assert "no instance follows the arm" in complaint(
        text.replace('"memory"\n', '"memory"\ncarrier = "vm"\n')
    )


def test_a_threshold_the_rule_has_not_is_refused_with_what_was_meant():
    words = complaint(STUDY + "[verdict]\nmax_extra_cpu_s_per_gb = 1.0\n")
    assert "there is no threshold 'max_extra_cpu_s_per_gb'" in words
    assert "did you mean 'max_extra_cpu_s_per_gib'?" in words
    assert "max_extra_cpu_s_per_gib" in complaint(STUDY + "[verdict]\nmax_extra_cpu_s_per_gib = -1\n")


def test_a_study_names_the_experiment_whose_answer_is_the_runs():
    study = parse_study(STUDY + '[verdict]\nheadline = "random"\nmin_io_ratio = 0.8\n', "mine.toml")
    assert (study.verdict_headline, study.verdict) == ("random", {"min_io_ratio": 0.8})
    assert parse_study(STUDY, "mine.toml").verdict_headline == ""
    assert "no experiment: cycle, random" in complaint(STUDY + '[verdict]\nheadline = "burst"\n')
    assert "headline = 5 in [verdict] is no experiment's name" in complaint(
        STUDY + "[verdict]\nheadline = 5\n"
    )
    assert "unknown key 'verdict_headline'" in complaint('verdict_headline = "random"\n' + STUDY)


def test_text_that_is_no_toml_is_refused_with_its_line():
    assert "line 1" in complaint("name = = 3")


def test_the_keys_of_an_experiments_only_group_stand_in_the_experiment():
    cycle, _ = parse_study(STUDY, "mine.toml").experiment
    assert (cycle.name, cycle.kind.name, [g.name for g in cycle.groups]) == ("cycle", "cycle", [""])
    assert [g.name for g in parse_study(HOST_IO, "mine.toml").experiment[0].groups] == ["memory", "fio"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("streams = [1, 7, 1]", "stands there twice"),
        ("depth = 8", "engine 'psync' has one I/O at a time"),
        ('engine = "mmap"', "line 20: engine = 'mmap'"),
    ],
)
def test_options_of_fio_that_make_no_sense_are_refused(keys, words):
    assert words in complaint(HOST_IO + keys + "\n")


def test_a_study_may_change_fios_own_options():
    study = parse_study(
        HOST_IO + 'engine = "libaio"\ndepth = 8\ndirect = true\nblock = "64KiB"\n', "mine.toml"
    )
    fio = study.experiment[0].groups[1]
    assert (fio.engine, fio.depth, fio.direct, fio.block) == ("libaio", 8, True, 64 * 1024)


def test_a_key_that_is_missing_is_looked_for_in_its_own_table_only():
    words = complaint(STUDY.replace('hold = "2s"\n', ""))
    assert "line 4: kind 'cycle' needs 'hold'" in words


def test_the_first_table_that_is_wrong_is_named_and_a_mistyped_key_before_the_one_it_should_have_been():
    words = complaint(STUDY.replace("iterations = 3", "iteratons = 3").replace('duration = "20s"', ""))
    assert "line 9: unknown key 'iteratons'" in words
    assert "did you mean 'iterations'?" in words


def test_the_keys_that_are_known_are_those_of_the_kind():
    words = complaint(STUDY.replace("iterations = 3", "iterations = 3\nzzz = 3"))
    assert "known keys: kind, name" in words
    assert "iterations" in words
    assert "runtime" not in words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = ", 'step = "1s"\nseed = ', "line 2: unknown key 'step'"),
        ('kind = "cycle"', 'kind = "cycle"\nmax = 3', "unknown key 'max'"),
    ],
)
def test_a_stray_key_that_ranges_have_too_is_named_with_its_line(old, new, words):
    text = STUDY if old in STUDY else STUDY.replace("\n", "\nseed = 1\n", 1)
    assert words in complaint(text.replace(old, new, 1))


def test_a_range_written_as_a_table_says_which_of_its_parts_are_wrong_and_missing():
    study = 'name = "x"\n[[experiment]]\nkind = "random"\nhold = "1s"\nidle = "4s"\nduration = "9s"\nsize = '
    stray = complaint(study + '{min = "8MiB", max = "9MiB", stepp = "1MiB"}')
    assert "line 7: unknown key 'stepp'" in stray
    assert "did you mean 'step'?" in stray
    assert "line 7: size as a table needs 'step' too" in complaint(study + '{min = "8MiB", max = "9MiB"}')
