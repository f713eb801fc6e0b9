"""Every experiment beyond the memory cycle, small, in real VMs and containers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freepage.cli.main import main
from freepage.store import load_run
from freepage.units import MIB

pytestmark = pytest.mark.vm


def run(tmp_path, study, *options, text=None):
    """Run a study (with TOML text of its own) and return its results and its stored run."""
    if text is not None:
        study = str(tmp_path / f"{study}.toml")
        Path(study).write_text(text)
    out = tmp_path / "run"
    status = main(["run", study, "--out", str(out), *options])
    assert status == 0, (out / "results.json").read_text()[-3000:]
    return json.loads((out / "results.json").read_text()), load_run(out)


def test_churn_shows_cpu_by_kind_of_thread(tmp_path):
    results, stored = run(tmp_path, "churn", "--smoke", "--arms", "vm,vm-fpr")
    arms = results["experiments"]["churn"]["arms"]
    for arm in ("vm", "vm-fpr"):
        assert arms[arm]["vcpu_cpu_s"]["value"] > 0.1
        assert arms[arm]["main_loop_cpu_s"]["value"] > 0
        # On a host that is busy all the time the two are the same but for rounding.
        assert arms[arm]["node_cpu_peak_cores"]["value"] > 0.9 * arms[arm]["node_cpu_cores"]["value"]
    assert results["experiments"]["churn"]["comparisons"]["extra_cpu_cores"] is not None
    assert all(len(t.schedules) == 2 for t in stored.trials)


def test_a_burst_starts_together(tmp_path):
    results, stored = run(tmp_path, "burst", "--smoke", "--arms", "pod,vm-fpr")
    arms = results["experiments"]["burst"]["arms"]
    for arm in ("pod", "vm-fpr"):
        assert 0 < arms[arm]["start_skew_p99_s"]["value"] <= arms[arm]["start_skew_max_s"]["value"]
        assert arms[arm]["start_skew_p99_s"]["value"] < 0.1
        assert arms[arm]["cpu_alloc_peak_cores"]["value"] > 0
    assert all(len(t.schedules) == 2 for t in stored.trials)


BARRIERS = """name = "barriers"
interval = "500ms"
repeats = 1
[[experiment]]
kind = "random"
instances = 2
processes = 2
size = "16MiB,96MiB,16MiB"
hold = "200ms,900ms,100ms"
idle = "200ms,900ms,100ms"
duration = "6s"
barriers = true
"""


def test_with_barriers_all_processes_take_each_step_at_once(tmp_path):
    _, stored = run(tmp_path, "barriers", "--arms", "pod,vm", text=BARRIERS)
    for trial in stored.trials:
        groups = trial.events.group_by("action", "iteration").agg(planned="planned_s", start="t_s").to_dicts()
        together = [g for g in groups if len(g["planned"]) == 4]
        assert together
        for group in together:
            assert max(group["planned"]) - min(group["planned"]) < 0.02
            assert max(group["start"]) - min(group["start"]) < 0.3


GUEST_IO = """name = "small-io"
interval = "500ms"
repeats = 1
[[experiment]]
kind = "guest-io"
filesystem = "{filesystem}"
file = "96MiB"
streams = [1, 2]
operations = ["read", "write"]
runtime = "500ms"
"""


@pytest.mark.parametrize(("filesystem", "arms"), [("ext4", "pod,vm-fpr"), ("xfs", "vm-fpr")])
def test_fio_in_a_guest_and_in_a_pod_reads_its_page_cache(tmp_path, filesystem, arms):
    text = GUEST_IO.format(filesystem=filesystem)
    _, stored = run(tmp_path, "small-io", "--arms", arms, text=text)
    for trial in stored.trials:
        (process,) = trial.schedules["guest-io-0"]
        events = {process.steps[e["index"]].label: e for e in trial.events.to_dicts()}
        assert all(e["ok"] for e in events.values()), events
        assert events["device/read/1"]["read_bytes"] >= MIB
        assert events["cell/read/1"]["read_bytes"] < 8 * MIB
        assert events["cell/read/2"]["read_bytes"] < 8 * MIB
        folder = stored.folder / "trials" / trial.record.id
        text = (folder / "output/guest-io-0-0-5.out").read_text()
        assert json.loads(text[text.index("{") :])["jobs"][0]["read"]["bw_bytes"] > 0
        assert not list(folder.glob("data-*"))


def test_fio_on_the_host_runs_beside_vms_and_alone(tmp_path):
    results, stored = run(tmp_path, "host-io", "--smoke", "--arms", "vm-fpr")
    assert {t.record.arm for t in stored.trials} == {"baseline", "vm-fpr"}
    for trial in stored.trials:
        limits = trial.samples.filter(metric="node_cgroup_limit_bytes")["value"].unique().to_list()
        assert len(limits) == 1
        runs = trial.events.filter(action="run")
        assert runs["ok"].all()
        assert set(runs["instance"]) == {"host-io-fio-0"}
    assert set(results["experiments"]["host-io"]["arms"]) == {"baseline", "vm-fpr"}


COMMAND = """name = "own"
interval = "500ms"
repeats = 1
[[experiment]]
kind = "command"
command = ["/tools/opt/measure.sh", "three words here"]
folder = "mine"
programs = ["wc"]
data = "320MiB"
iterations = 2
period = "2s"
timeout = "20s"
"""


def test_any_command_runs_in_all_arms_and_its_output_is_kept(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    script = folder / "measure.sh"
    script.write_text(
        '#!/bin/sh\necho "$1" > words\necho "{\\"words\\": $(wc -w < words), \\"in\\": \\"$PWD\\"}"\n'
    )
    script.chmod(0o755)
    _, stored = run(tmp_path, "own", text=COMMAND)
    assert len(stored.trials) == 3
    for trial in stored.trials:
        outputs = sorted((stored.folder / "trials" / trial.record.id / "output").glob("*.out"))
        assert [json.loads(p.read_text()) for p in outputs] == [{"words": 3, "in": "/data"}] * 2


def test_a_program_that_fails_in_one_arm_leaves_the_rest(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    script = folder / "measure.sh"
    script.write_text(
        "#!/bin/sh\necho good\nread -r line < /proc/1/comm; [ $line != init ] || { echo no >&2; exit 3; }\n"
    )
    script.chmod(0o755)
    _, stored = run(tmp_path, "own", "--arms", "pod,vm", text=COMMAND)
    events = {t.record.arm: t.events.to_dicts() for t in stored.trials}
    assert all(e["ok"] for e in events["pod"])
    assert [e["error"] for e in events["vm"]] == ["ended with status 3"] * 2
    assert all(t.record.status == "ok" for t in stored.trials)


def test_a_map_is_tried_at_one_point(tmp_path):
    results, stored = run(tmp_path, "map", "--smoke", "--force")
    assert {t.record.experiment for t in stored.trials} == {"map-256m-2s-12s"}
    (line,) = results["paying"]["lines"]
    (point,) = line["points"]
    assert (line["block_bytes"], point["idle_s"], line["n"]) == (256 * MIB, 12, 1)
    assert point["saved_of_idle"]["value"] > 0.4
