"""Studies on the test cluster: real pods, real guests in launchers, over HTTPS, with exactly a run's permissions."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from freepage.cli.main import main
from freepage.image.architecture import find_host_architecture
from freepage.store import load_run
from freepage.targets.cluster.manifests import RunScope
from freepage.targets.cluster.vmi_manifests import VmiShape, build_vmi
from freepage.units import MIB
from helpers.lab_bench import KINDS, NAMESPACE, OURS, SMALL, USER, Bench, evidence_of, print_permissions
from lab.rights import read_granted, read_used
from lab.starting import start_cluster, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with start_cluster(folder / "cluster") as cluster:
        reference = f"{cluster.registry}/bench/freepage:1"
        layout = folder / "image"
        assert main(["image", "build", "--study", "guest-io", "--out", str(layout)]) == 0
        assert main(["image", "push", reference, "--layout", str(layout), "--insecure"]) == 0
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        cluster.apply(json.dumps(namespace))
        cluster.apply(print_permissions())
        token_file = folder / "token"
        token_file.write_text(cluster.issue_token(USER, "system:authenticated"))
        yield Bench(cluster, reference, token_file)


@dataclass
class QuickRun:
    """The whole quick study, once: its folder, and what it asked the cluster for."""

    folder: Path
    status: int
    requests: list

    @property
    def results(self):
        return json.loads((self.folder / "results.json").read_text())


@pytest.fixture(scope="module")
def quick(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick") / "run"
    bench.cluster.requests()
    # Longer than steps are late where nodes, their guests and the cluster share two CPUs.
    unhurried = ("--repeats", "1", "--set", "cycle.hold=5s")
    status = bench.run("quick", folder, *unhurried, "--prometheus", bench.cluster.prometheus)
    return QuickRun(folder, status, bench.cluster.requests())


def test_the_whole_quick_study_runs_on_a_cluster(bench, quick):
    stored = load_run(quick.folder)
    assert quick.status == 0
    assert {t.record.status for t in stored.trials} == {"ok"}
    assert stored.manifest.target == "cluster"
    assert stored.manifest.tools["kubevirt"].startswith("v1.")
    for arm, reporting in (("vm", False), ("vm-fpr", True)):
        seen = evidence_of(stored, arm)
        assert {(e.configured, e.negotiated) for e in seen} == {(reporting, reporting)}
    assert {e.active for e in evidence_of(stored, "vm-fpr")} == {True}
    arms = quick.results["experiments"]["cycle"]["arms"]
    assert arms["vm-fpr"]["given_back_fraction"]["value"] > 0.5
    assert arms["vm"]["given_back_fraction"]["value"] < 0.2
    assert arms["pod"]["given_back_fraction"]["value"] > 0.8
    assert quick.results["prometheus"]["metrics"]
    assert bench.left() == []


def test_no_token_is_kept_in_a_run_folder(bench, quick):
    token = bench.token_file.read_bytes()
    assert not [p for p in quick.folder.rglob("*") if p.is_file() and token in p.read_bytes()]


def test_node_and_vm_are_sampled_with_the_age_of_every_number(quick):
    import polars as pl

    trial = next(t for t in load_run(quick.folder).trials if t.record.id.endswith("cycle-vm-fpr-1"))
    for entity, metric, age in (
        ("node", "mem_free_bytes", "node_sample_age_s"),
        ("cycle-0", "rss_bytes", "usage_age_s"),
    ):
        rows = trial.samples.filter((pl.col("entity") == entity) & (pl.col("metric") == metric))
        assert rows["value"].drop_nulls().n_unique() > 5
        ages = trial.samples.filter((pl.col("entity") == entity) & (pl.col("metric") == age))["value"]
        assert 0 <= ages.drop_nulls().median() < 1
    assert {"cpu_vcpu_s", "cgroup_working_set_bytes", "guest_free_bytes"} <= set(
        trial.samples["metric"].unique()
    )


def test_connections_that_break_lose_no_event(bench, tmp_path):
    out = tmp_path / "run"
    with bench.running("random", out, *SMALL, "--arms", "pod,vm-fpr") as process:
        bench.find_run()
        while process.poll() is None:
            bench.cluster.fail(drop="all")
            time.sleep(2.5)
    assert process.returncode == 0, (tmp_path / "said").read_text()
    for trial in load_run(out).trials:
        assert trial.record.status == "ok", trial.record.error
        planned = sum(len(p.steps) for processes in trial.schedules.values() for p in processes)
        assert len(trial.events) == planned
    assert bench.left() == []


def test_a_run_outlives_an_api_server_that_is_started_anew(bench, tmp_path):
    """It refuses at first what it permits, and for a moment does not know who asks."""
    out = tmp_path / "run"
    with bench.running("random", out, *SMALL, "--arms", "pod,vm-fpr") as process:
        bench.find_run()
        bench.cluster.fail(restart={"away_s": 4, "early_s": 6, "unknown_s": 2})
        assert process.wait(300) == 0, (tmp_path / "said").read_text()
    for trial in load_run(out).trials:
        assert trial.record.status == "ok", trial.record.error
        planned = sum(len(p.steps) for processes in trial.schedules.values() for p in processes)
        assert len(trial.events) == planned
    assert bench.left() == []


def test_a_sampler_that_is_deleted_is_started_anew(bench, tmp_path):
    out = tmp_path / "run"
    with bench.running("cycle", out, *SMALL, "--arms", "pod", "--repeats", "3") as process:
        bench.find_run()
        selector = {"labelSelector": f"{OURS},freepage/role=sampler"}
        (sampler,) = bench.cluster.ask("GET", KINDS["pods"], params=selector)["items"]
        bench.cluster.client.delete(f"{KINDS['pods']}/{sampler['metadata']['name']}")
        assert process.wait(300) == 0, (tmp_path / "said").read_text()
    assert {t.record.status for t in load_run(out).trials} == {"ok"}
    assert bench.left() == []


def test_ctrl_c_leaves_nothing_behind(bench, tmp_path):
    out = tmp_path / "run"
    with bench.running("cycle", out, *SMALL, "--arms", "vm-fpr") as process:
        bench.find_run()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert bench.left() == []
    assert (out / "report.html").exists()


def test_what_a_killed_run_left_is_found_and_removed(bench, tmp_path, capsys):
    out = tmp_path / "run"
    with bench.running("cycle", out, *SMALL, "--arms", "pod") as process:
        run = bench.find_run()
        os.kill(process.pid, signal.SIGKILL)
    assert main(["clean", *bench.login]) == 0
    assert bench.left() != [], "a run that may be alive was removed"
    capsys.readouterr()
    assert main(["clean", "--run", run, *bench.login]) == 0
    assert run in capsys.readouterr().out
    assert bench.left() == []


def test_an_image_that_cannot_be_pulled_is_said_with_what_the_cluster_says(bench, tmp_path, capsys):
    options = ("--arms", "vm", "--pod-image", bench.image, "--image", f"{bench.image}-absent")
    assert bench.run("cycle", tmp_path / "run", *SMALL, *options) == 6
    (trial,) = load_run(tmp_path / "run").trials
    assert trial.record.status == "failed"
    assert "ErrImagePull" in trial.record.error or "ImagePullBackOff" in trial.record.error
    assert "absent" in (trial.record.hint or "") + trial.record.error
    assert bench.left() == []


def test_fio_runs_in_vms_and_pods_of_a_cluster(bench, tmp_path):
    out = tmp_path / "run"
    assert bench.run("guest-io", out, *SMALL, "--arms", "pod,vm-fpr") == 0
    results = json.loads((out / "results.json").read_text())
    (experiment,) = [e for e in results["experiments"].values() if e["kind"] == "guest-io"][:1]
    for arm in ("pod", "vm-fpr"):
        assert experiment["arms"][arm]["cached_read_fraction"]["value"] is not None
    assert bench.left() == []


def test_a_full_quota_fails_the_trial_and_says_so(bench, tmp_path):
    words = 'pods "x" is forbidden: exceeded quota: small, requested: memory=1Gi, used: memory=2Gi, limited: memory=2Gi'
    bench.cluster.fail(answer=403, message=words, method="POST", path="virtualmachineinstances")
    try:
        assert bench.run("cycle", tmp_path / "run", *SMALL, "--arms", "vm-fpr") == 6
    finally:
        bench.cluster.heal()
    (trial,) = load_run(tmp_path / "run").trials
    assert "exceeded quota: small" in trial.record.error
    assert "--scale" in trial.record.hint
    assert bench.left() == []


def test_a_run_asks_for_nothing_that_its_manifest_does_not_grant_and_for_most_of_that(quick):
    granted, used = read_granted(print_permissions()), read_used(quick.requests, USER)
    assert used <= granted
    # What is asked for only when something does not start, with --vm-disk, in a run of minutes, or by a HyperConverged.
    seldom = {("list", "events"), ("create", "secrets"), ("delete", "secrets"), ("patch", "configmaps"),
              ("list", "hyperconvergeds"), ("get", "pods"), ("get", "virtualmachineinstances"), ("get", "nodes"),
              ("create", "pods/attach"), ("create", "pods/exec"), ("get", "namespaces")}  # fmt: skip
    assert granted - used <= seldom


def build_vm(bench, name, *, reporting):
    """A VM of somebody's, with freepage's guest for its system."""
    scope = RunScope(NAMESPACE, "none", "none", None, None, 600, 600, find_host_architecture())
    shape = VmiShape(name, name, "node-0", reporting, 256 * MIB, 1, image=bench.image)
    instance = build_vmi(scope, shape)
    metadata = {"labels": {}, "annotations": instance["metadata"].get("annotations", {})}
    template = {"metadata": metadata, "spec": instance["spec"]}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"runStrategy": "Always", "template": template},
    }


def test_a_vm_is_switched_off_and_back_and_its_domain_proves_it(bench, capsys):
    cluster = bench.cluster
    path = f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachines"
    instance = f"{KINDS['instances']}/shop"
    cluster.ask("POST", path, build_vm(bench, "shop", reporting=True))

    def is_running():
        found = cluster.client.get(instance)
        return found.is_success and found.json().get("status", {}).get("phase") == "Running"

    admin = ("--kubeconfig", str(cluster.kubeconfig))
    try:
        wait_for(is_running, 60)
        assert main(["audit", "-n", NAMESPACE, "--format", "json", *admin]) == 0
        (vm,) = json.loads(capsys.readouterr().out)["vms"]
        assert (vm["expected"], vm["real"], vm["state"]) == (True, True, "on")
        assert main(["disable", "--vm", f"{NAMESPACE}/shop", "--restart", *admin]) == 0
        assert "proved by the domain XML" in " ".join(capsys.readouterr().out.split())
        assert main(["audit", "--exec", "-n", NAMESPACE, "--format", "json", *admin]) == 0
        (vm,) = json.loads(capsys.readouterr().out)["vms"]
        assert (vm["expected"], vm["real"]) == (False, False)
        assert main(["restore", "--vm", f"{NAMESPACE}/shop", *admin]) == 0
    finally:
        cluster.client.delete(f"{path}/shop")
        wait_for(lambda: cluster.is_gone(instance), 30)


def test_a_node_that_goes_away_fails_its_trial_and_says_so(bench, tmp_path):
    out = tmp_path / "run"
    with bench.running("cycle", out, *SMALL, "--arms", "pod", "--nodes", "node-1") as process:
        bench.find_run()
        bench.cluster.fail(lose="node-1")
        process.wait(120)
    (trial,) = load_run(out).trials
    assert trial.record.status == "failed"
    assert "node-1" in trial.record.error
