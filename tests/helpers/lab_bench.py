"""A user of the test cluster who runs studies on it, with a run's permissions and no more."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.cli.main import main
from lab.starting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

NAMESPACE = "bench"
ACCOUNT = "runner"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
SMALL = ("--smoke",)
OURS = "app.kubernetes.io/managed-by=freepage"
KINDS = {
    "pods": f"/api/v1/namespaces/{NAMESPACE}/pods",
    "configmaps": f"/api/v1/namespaces/{NAMESPACE}/configmaps",
    "secrets": f"/api/v1/namespaces/{NAMESPACE}/secrets",
    "instances": f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachineinstances",
}


@dataclass
class Bench:
    """A cluster with nodes, freepage's image in its registry, and a service account that may run studies and nothing else."""

    cluster: object
    image: str
    token_file: Path

    @property
    def login(self):
        return (
            "--server", self.cluster.server, "--token-file", str(self.token_file),
            "--ca-file", str(self.cluster.ca_file), "-n", NAMESPACE,
        )  # fmt: skip

    def run(self, study, out, *options):
        """Run a study and return its exit status."""
        return main(["run", *self._arguments(study, out, *options)])

    @contextmanager
    def running(self, study, out, *options):
        """Run a study in a process of its own, which is killed if it is still there at the end."""
        command = [sys.executable, "-m", "freepage.cli.main", "run", *self._arguments(study, out, *options)]
        with (out.parent / "said").open("wb") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _arguments(self, study, out, *options):
        place = ("--target", "cluster", "--image", self.image)
        return (study, *place, *self.login, "--out", str(out), *options)

    def left(self):
        """Return the names of everything of freepage's in the namespace."""
        found = {
            kind: self.cluster.ask("GET", path, params={"labelSelector": OURS})
            for kind, path in KINDS.items()
        }
        return [(kind, o["metadata"]["name"]) for kind, objects in found.items() for o in objects["items"]]

    def find_run(self):
        """Return the name of the run that is under way, once an instance of it runs."""

        def find():
            pods = self.cluster.ask(
                "GET", KINDS["pods"], params={"labelSelector": f"{OURS},freepage/role=pod"}
            )
            vms = self.cluster.ask("GET", KINDS["instances"], params={"labelSelector": OURS})
            started = [o for o in pods["items"] + vms["items"] if o["status"].get("phase") == "Running"]
            return started and started[0]["metadata"]["labels"]["freepage/run"]

        return wait_for(find, 60)


def print_permissions():
    options = ["rbac", "run", "-n", NAMESPACE, "--service-account", ACCOUNT]
    command = [sys.executable, "-m", "freepage.cli.main", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def evidence_of(stored, arm):
    return [e for t in stored.trials if t.record.arm == arm for e in t.record.evidence]
