from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

from freepage.errors import RunFolderError
from freepage.records import (
    RUN_SCHEMA,
    Action,
    Arm,
    ClockOffset,
    EventLine,
    Evidence,
    Manifest,
    ProcessSchedule,
    SampleLine,
    Step,
    TrialRecord,
    TrialStatus,
    VerdictRule,
)
from freepage.store import TrialWriter, load_run, load_trial, prepare_folder, write_manifest
from helpers.modelled_run import CYCLE_ONLY, Truth, write_run

MANIFEST = Manifest(
    schema=RUN_SCHEMA,
    freepage_version="0",
    command=("freepage", "run"),
    study="quick",
    title="t",
    seed=1,
    scale=1.0,
    repeats=1,
    arms=(Arm.POD, Arm.VM_FPR),
    target="local",
    accelerator="tcg",
    accelerator_reason="r",
    interval_s=1.0,
    node="host",
    node_memory_bytes=1,
    started_at="2026-01-01T00:00:00+00:00",
    finished_at=None,
    host={"cpus_logical": 2},
    tools={},
    verdict_rule=VerdictRule(),
    smoke=False,
)
RECORD = TrialRecord(
    id="001-cycle-vm-fpr-1",
    experiment="cycle",
    arm=Arm.VM_FPR,
    repeat=0,
    order=0,
    status=TrialStatus.OK,
    planned_duration_s=10,
    evidence=(Evidence("cycle-0", configured=True, negotiated=None),),
    clock_start={"cycle-0": ClockOffset(0.5, 0.001)},
)
EVENT = EventLine(0.1, 0.9, "cycle-0", 0, 0, 0, "allocate", 4096, 0.0, 0.1, 0.8, 0.1, 0.7, 10, 0, ok=True)
SAMPLES = [
    SampleLine(-1.0, 0.001, {"node": {"mem_free_bytes": 5.0, "pswpin": None}}),
    SampleLine(0.0, 0.002, {"node": {"mem_free_bytes": 4.0, "pswpin": None}, "cycle-0": {"rss_bytes": 7.0}}),
]
SCHEDULES = {
    "cycle-0": [ProcessSchedule(0, (Step(0.0, Action.ALLOCATE, 4096, 0), Step(1.0, Action.FREE, 4096, 0)))]
}


def write_trial(folder, *, seal):
    writer = TrialWriter(folder / "trials" / RECORD.id)
    writer.write_schedules(SCHEDULES)
    for line in SAMPLES:
        writer.write_sample(line)
    writer.write_event(EVENT)
    writer.write_record(RECORD)
    writer.seal() if seal else writer.close()
    return folder / "trials" / RECORD.id


@pytest.mark.parametrize("seal", [True, False])
def test_what_was_written_comes_back_sealed_or_cut_short(tmp_path, seal):
    write_manifest(tmp_path, MANIFEST)
    write_trial(tmp_path, seal=seal)
    run = load_run(tmp_path)
    (trial,) = run.trials
    assert run.manifest == MANIFEST
    assert trial.record == RECORD
    assert trial.schedules == SCHEDULES
    assert trial.events.to_dicts() == [EVENT.__dict__]
    assert trial.samples.filter(metric="mem_free_bytes")["value"].to_list() == [5.0, 4.0]
    assert trial.samples.filter(metric="pswpin")["value"].to_list() == [None, None]
    assert trial.samples.filter(entity="sampler")["value"].to_list() == [0.001, 0.002]


def test_a_warm_up_stands_apart_from_the_trials_that_count(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    write_trial(tmp_path, seal=True)
    warmup = replace(RECORD, id="000-warmup-vm-fpr", warmup=True, position=0, schedule_seed=1, phase_s=0.25)
    writer = TrialWriter(tmp_path / "trials" / warmup.id)
    writer.write_record(warmup)
    writer.seal()
    run = load_run(tmp_path)
    assert [t.record for t in run.warmups] == [warmup]
    assert [t.record for t in run.trials] == [t.record for t in run.ok_trials()] == [RECORD]


def test_a_record_from_before_blocks_were_recorded_knows_nothing_of_them(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    path = write_trial(tmp_path, seal=True) / "trial.json"
    content = json.loads(path.read_text())
    later = ("warmup", "position", "schedule_seed", "phase_s", "settled", "settle_s")
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in later}))
    (trial,) = load_run(tmp_path).trials
    record = trial.record
    assert (record.position, record.schedule_seed, record.phase_s, record.settled) == (None,) * 4
    assert record.warmup is False


def test_sealing_leaves_parquet_and_no_jsonl(tmp_path):
    folder = write_trial(tmp_path, seal=True)
    assert sorted(p.name for p in folder.iterdir()) == [
        "events.parquet",
        "samples.parquet",
        "schedule.json",
        "trial.json",
    ]


def test_a_torn_last_line_is_left_out_and_a_torn_line_before_it_is_an_error(tmp_path):
    folder = write_trial(tmp_path, seal=False)
    samples = folder / "samples.jsonl"
    whole = samples.read_text()
    samples.write_text(whole + '{"t_s": 3, "la')
    assert load_trial(folder).samples["t_s"].max() == 0.0
    samples.write_text('{"t_s": 3, "la\n' + whole)
    with pytest.raises(RunFolderError, match="line 1"):
        load_trial(folder)


def test_a_trial_that_measured_nothing_has_empty_frames_with_their_columns(tmp_path):
    writer = TrialWriter(tmp_path)
    writer.write_record(RECORD)
    writer.seal()
    trial = load_trial(tmp_path)
    assert trial.samples.schema == {
        "t_s": pl.Float64,
        "entity": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
    }
    assert trial.events.is_empty()
    assert "wall_s" in trial.events.columns


def test_a_folder_with_anything_in_it_is_refused_without_force(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(RunFolderError, match="not empty"):
        prepare_folder(tmp_path, force=False)


def test_force_replaces_a_run_but_never_anything_else(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    write_trial(tmp_path, seal=True)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"thesis\.txt"):
        prepare_folder(tmp_path, force=True)
    assert (tmp_path / "manifest.json").exists()
    (tmp_path / "thesis.txt").unlink()
    prepare_folder(tmp_path, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["trials"]
    assert not list((tmp_path / "trials").iterdir())


def test_another_schema_and_a_folder_without_a_run_are_refused(tmp_path):
    with pytest.raises(RunFolderError, match="missing"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(RunFolderError, match="schema 99"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("manifest.json", {"later": 1}, "'later'"),
        ("manifest.json", {"verdict_rule": {"later": 1}}, "'later'"),
        ("manifest.json", {"arms": ["pod", "container"]}, "'container' is not a valid Arm"),
        ("trial.json", {"later": 1}, "'later'"),
        ("trial.json", {"status": "unwell"}, "'unwell' is not a valid TrialStatus"),
        ("schedule.json", {"cycle-0": [{"process": 0}]}, "'steps'"),
        ("plan.json", {"later": 1}, "plan.json"),
    ],
)
def test_a_folder_of_a_later_version_is_refused_in_words(tmp_path, name, changes, words):
    """A gate once ended with a traceback and status 1, which means worse."""
    write_run(tmp_path / "run", Truth(repeats=1), study=CYCLE_ONLY)
    (path, *_) = sorted((tmp_path / "run").rglob(name))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes if isinstance(content, dict) else changes))
    with pytest.raises(RunFolderError, match="is not as this version of freepage writes it") as caught:
        load_run(tmp_path / "run")
    assert words in str(caught.value)
    assert "the version of freepage that manifest.json names" in (caught.value.hint or "")


def test_a_run_in_a_cluster_of_the_first_schema_still_names_its_nodes_and_versions(tmp_path):
    host = {"hostname": "worker-0, worker-1", "cpus_logical": 8}
    tools = {"kubernetes": "v1.31.2", "kubevirt": "v1.4.0", "python": "3.11"}
    write_manifest(tmp_path, replace(MANIFEST, schema=1, target="cluster", host=host, tools=tools))
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    later = ("smoke", "budget_bytes", "budget_s", "target_noun", "target_title", "node_is_fixed")
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in later}))
    manifest = load_run(tmp_path).manifest
    assert manifest.location == "worker-0, worker-1 of a cluster (KubeVirt v1.4.0, Kubernetes v1.31.2)"
    assert (manifest.target_noun, manifest.node_is_fixed) == ("nodes", True)
