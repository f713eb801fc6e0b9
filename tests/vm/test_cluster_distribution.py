"""A real distribution on the test cluster: its own kernel, systemd and cloud-init, started by freepage's user data."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from freepage.analysis.series import metric_series
from freepage.store import load_run
from helpers.lab_bench import NAMESPACE, USER, Bench, evidence_of, print_permissions
from helpers.oci_layout import push_disk
from lab.distribution import build_distribution
from lab.images import SMALL_IMAGE
from lab.starting import start_cluster

PROGRAMS = ("mmdebstrap", "extlinux")

pytestmark = [
    pytest.mark.cluster,
    # Under emulation it takes more than a minute from a VM's start to its worker's first line.
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not all(map(shutil.which, PROGRAMS)) and not os.environ.get("CI"),
        reason=f"needs {' and '.join(PROGRAMS)}",
    ),
]


@pytest.fixture
def bench(tmp_path):
    with start_cluster(tmp_path / "cluster") as cluster:
        reference = f"{cluster.registry}/bench/debian:12"
        push_disk(build_distribution(), reference, tmp_path)
        cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
        cluster.apply(print_permissions())
        token_file = tmp_path / "token"
        token_file.write_text(cluster.issue_token(USER, "system:authenticated"))
        yield Bench(cluster, reference, token_file)


def test_a_distribution_gives_its_console_to_the_worker_and_its_memory_back(bench, tmp_path):
    out = tmp_path / "run"
    disks = ("--vm-disk", bench.image, "--pod-image", SMALL_IMAGE)
    assert bench.run("cycle", out, "--smoke", "--arms", "vm-fpr", *disks) == 0
    stored = load_run(out)
    (trial,) = stored.trials
    assert trial.record.status == "ok", trial.record.error
    assert len(trial.events) == sum(len(p.steps) for ps in trial.schedules.values() for p in ps)
    (evidence,) = evidence_of(stored, "vm-fpr")
    assert (evidence.configured, evidence.negotiated, evidence.active) == (True, True, True)
    (process,) = trial.schedules["cycle-0"]
    _, free, again, *_ = process.steps
    resident = metric_series(trial, "cycle-0", "rss_bytes").known()
    before = resident.between(0, free.at_s + 0.5).maximum()
    assert before - resident.between(free.at_s, again.at_s).values.min() > 0.5 * free.bytes
    (console,) = out.glob("trials/*/console-*.log")
    text = console.read_text(errors="replace")
    for said in ("Linux version", "Welcome to", "Cloud-init", "login:"):
        assert said in text
    assert bench.left() == []
