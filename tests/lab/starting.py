"""Starting the test cluster from a test, and speaking to it."""

from __future__ import annotations

import re
import select
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.seams import Object

MAIN = Path(__file__).with_name("main.py")
START_DEADLINE_S = 60.0
END_DEADLINE_S = 30.0


@dataclass(frozen=True)
class RunningCluster:
    """A test cluster; `ask` speaks to it as its admin."""

    folder: Path
    server: str
    client: httpx.Client
    process: subprocess.Popen[bytes]

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def registry(self) -> str:
        """Where images are pushed to (host:port, plain HTTP); real nodes only."""
        return (self.folder / "registry").read_text()

    @property
    def prometheus(self) -> str:
        """The address of the cluster's Prometheus; real nodes only."""
        return (self.folder / "prometheus").read_text()

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Object:
        """Send one request and return the object that answers it; AssertionError where it is refused."""
        response = self.client.request(method, path, json=body, **options)
        assert response.is_success, response.text
        return response.json() if response.content else {}

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> Object:
        """Send one request and return the Status it is refused with."""
        response = self.client.request(method, path, json=body, **options)
        status = response.json()
        assert status["kind"] == "Status", status
        assert status["code"] == response.status_code >= 400
        return status

    def patch(self, path: str, body: Any, **query: Any) -> httpx.Response:
        """Send a merge patch."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self.client.patch(path, json=body, params=query, headers=headers)

    def is_gone(self, path: str) -> bool:
        return self.client.get(path).status_code == 404

    def fail(self, **fault: Any) -> Object:
        """Cause a fault; see faults.py."""
        return self.ask("POST", "/-/faults", fault)

    def heal(self) -> None:
        self.ask("DELETE", "/-/faults")

    def requests(self) -> list[Object]:
        """Return the requests since the last time this was asked."""
        found = self.ask("GET", "/-/requests")
        self.ask("DELETE", "/-/requests")
        return found

    def issue_token(self, user: str, *groups: str, lasts_s: float = 3600) -> str:
        body = {"user": user, "groups": groups, "lasts_s": lasts_s}
        return self.ask("POST", "/-/tokens", body)["token"]

    def apply(self, manifests: str) -> None:
        """Create the objects of a YAML text; each says its namespace itself."""
        for manifest in filter(None, yaml.safe_load_all(manifests)):
            self.ask("POST", find_path(manifest), manifest)


def wait_for(find: Callable[[], Any], deadline_s: float = 10.0) -> Any:
    """Wait until `find` gives something, and return that."""
    end = time.monotonic() + deadline_s
    while not (found := find()):
        assert time.monotonic() < end, "the deadline has passed"
        time.sleep(0.05)
    return found


def find_path(manifest: Object) -> str:
    """Return where an object is to be posted."""
    version, kind = manifest["apiVersion"], manifest["kind"].lower()
    namespace = manifest["metadata"].get("namespace")
    within = f"/namespaces/{namespace}" if namespace else ""
    plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return f"/{'apis' if '/' in version else 'api'}/{version}{within}/{plural}"


@contextmanager
def start_cluster(folder: Path, *options: str) -> Iterator[RunningCluster]:
    """Run a test cluster to the end of the block, which must have been without an error of its own.

    `options` as main.py takes them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(MAIN), str(folder), *options]
    with (folder / "cluster.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    try:
        _wait_until_ready(process, folder)
        with _log_in(folder) as (server, client):
            yield RunningCluster(folder, server, client, process)
    finally:
        _end(process)
    said = (folder / "cluster.log").read_text()
    assert "Traceback" not in said, said[-3000:]


@contextmanager
def _log_in(folder: Path) -> Iterator[tuple[str, httpx.Client]]:
    kubeconfig = yaml.safe_load((folder / "kubeconfig").read_text())
    server = kubeconfig["clusters"][0]["cluster"]["server"]
    headers = {"Authorization": f"Bearer {(folder / 'token').read_text()}"}
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    with httpx.Client(base_url=server, headers=headers, verify=context, timeout=30) as client:
        yield server, client


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + START_DEADLINE_S
    said = b""
    while not re.search(rb"^ready .*\n", said, re.MULTILINE):
        left = end - time.monotonic()
        if left > 0 and select.select([process.stdout], [], [], left)[0]:
            part = process.stdout.read1()
            said += part
            if part:
                continue
        raise AssertionError(
            f"the test cluster did not start: {(folder / 'cluster.log').read_text()[-3000:]}"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.stdin.close()
    try:
        process.wait(END_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
