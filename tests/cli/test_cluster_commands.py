"""The commands against the test cluster, over HTTPS, each with exactly the permissions its manifest gives."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
import yaml

from freepage.cli.main import main
from freepage.kube.api import Login, open_cluster
from freepage.kube.errors import ForbiddenError
from freepage.kube.resources import CONFIG_MAPS, NAMESPACES, NODES, VMS
from freepage.kubevirt.installation import find_installation
from freepage.kubevirt.setting import SAVED
from freepage.targets.cluster.owner import open_owner
from lab.fleet import ANNOTATION, VARIANT_LABEL
from lab.rights import read_granted, read_used
from lab.starting import start_cluster

pytestmark = pytest.mark.cluster

OPERATORS = {
    "kubevirt": "spec.configuration.virtualMachineOptions.disableFreePageReporting",
    "hco-v1beta1": "spec.virtualMachineOptions.disableFreePageReporting",
    "hco": "spec.virtualization.virtualMachineOptions.disableFreePageReporting",
}
# What the audit has to find of each sort of VM in the fleet.
STATES = {
    "on": "on",
    "on-agentless": "on",
    "typed": "on",
    "typed-by-cluster": "on",
    "migrated": "on",
    "restart-pending": "on",
    "off-by-annotation": "off",
    "dedicated-cpus": "off",
    "realtime": "off",
    "huge-pages": "off",
    "no-balloon": "off",
    "started-before": "off",
    "vfio": "no effect",
    "windows": "no effect",
    "old-kernel": "no effect",
    "log-rotated": "unknown",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module", params=OPERATORS)
def operator(request):
    return request.param


@pytest.fixture(scope="module")
def cluster(operator, tmp_path_factory):
    folder = tmp_path_factory.mktemp(operator)
    with start_cluster(folder, "--fleet", "32", "--no-nodes", "--operator", operator) as running:
        running.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}))
        yield running


class Person:
    """A user of the cluster who was given one manifest; `run` gives exit status, output and errors."""

    def __init__(self, cluster, folder, capsys, *manifest):
        self.cluster, self.capsys = cluster, capsys
        self.name = f"{folder.name}-{'-'.join(manifest)}".replace("--", "")
        self.token_file = folder / f"{self.name}.token"
        self.token_file.write_text(cluster.issue_token(self.name, "system:authenticated"))
        capsys.readouterr()
        assert main(["rbac", *manifest, "-n", "bench", "--user", self.name]) == 0
        self.manifest = capsys.readouterr().out
        for obj in yaml.safe_load_all(self.manifest):
            replace(cluster, obj)
        cluster.requests()

    @property
    def login(self):
        token, ca = str(self.token_file), str(self.cluster.ca_file)
        return Login(server=self.cluster.server, token_file=token, ca_file=ca, namespace="bench")

    def run(self, *arguments):
        login = ("--server", self.login.server, "--token-file", self.login.token_file)
        status = main([*arguments, *login, "--ca-file", self.login.ca_file])
        said = self.capsys.readouterr()
        return status, said.out, said.err

    def granted(self):
        """Every (verb, resource) of the manifest."""
        return read_granted(self.manifest)

    def used(self):
        """Every (verb, resource) asked for since the last time."""
        return read_used(self.cluster.requests(), self.name)


def replace(cluster, obj):
    """Do what kubectl apply does with an object that may be there."""
    group, kind = "/apis/rbac.authorization.k8s.io/v1", f"{obj['kind'].lower()}s"
    namespace = obj["metadata"].get("namespace")
    path = f"{group}/namespaces/{namespace}/{kind}" if namespace else f"{group}/{kind}"
    cluster.client.delete(f"{path}/{obj['metadata']['name']}")
    cluster.ask("POST", path, obj)


@pytest.fixture
def person(cluster, tmp_path, capsys):
    return lambda *manifest: Person(cluster, tmp_path, capsys, *manifest)


def test_every_sort_of_vm_is_found_to_be_what_it_is(cluster, person):
    auditor = person("audit")
    status, out, err = auditor.run("audit", "--format", "json")
    assert status == 0, err
    content = json.loads(out)
    vms = cluster.ask("GET", "/apis/kubevirt.io/v1/virtualmachines")["items"]
    variants = {m["metadata"]["name"]: m["metadata"]["labels"][VARIANT_LABEL] for m in vms}
    found = {vm["name"]: vm["state"] for vm in content["vms"]}
    assert found == {name: STATES[variant] for name, variant in variants.items()}
    assert content["counts"] == {**dict.fromkeys(content["counts"], 0), **Counter(found.values())}
    restarts = {variants[vm["name"]] for vm in content["vms"] if vm["restart"]}
    disagreements = {variants[vm["name"]] for vm in content["vms"] if vm["disagreement"]}
    assert (restarts, disagreements) == ({"restart-pending", "started-before"}, {"started-before"})


def test_an_auditor_is_permitted_what_the_audit_asks_for_and_no_more(operator, person):
    auditor = person("audit")
    assert auditor.run("audit")[0] == auditor.run("status")[0] == 0
    granted = auditor.granted()
    if operator == "kubevirt":
        granted.discard(("list", "hyperconvergeds"))
    assert auditor.used() == granted
    status, _, err = auditor.run("disable", "--despite-running-vms")
    assert status == 7
    assert "may not patch" in err
    assert "freepage rbac switch --" in err


def test_the_clusters_setting_goes_there_and_back_with_exactly_its_manifest(operator, person):
    switcher = person("switch")
    status, out, err = switcher.run("disable")
    assert status == 7
    assert "others have VMs running in this cluster, and nothing was written: 32 VMs" in err
    status, out, err = switcher.run("disable", "--dry-run")
    assert (status, err) == (0, "")
    assert OPERATORS[operator] in out
    assert "dry run: the server accepts it; nothing was written" in out
    assert "nothing to restore" in switcher.run("restore")[1]
    status, out, err = switcher.run("disable", "--despite-running-vms")
    assert (status, err) == (0, "")
    assert "has FPR disabled; VMs that start now follow it" in out
    assert "to be restarted: 18 VMs" in out
    assert "already; nothing was written" in switcher.run("disable")[1]
    assert f"by {switcher.name}" in person("audit").run("status")[1]
    status, out, err = switcher.run("restore")
    assert (status, err) == (0, "")
    assert "has FPR enabled" in out
    status, out, _ = person("audit").run("status")
    assert "to restore  nothing" in out
    assert "enabled for the cluster" in out


async def test_who_may_switch_may_do_what_switching_asks_for_and_no_more(operator, person):
    switcher = person("switch")
    for command in (
        "disable --despite-running-vms",
        "restore",
        "disable --vm team-0/vm-0000",
        "restore --all",
    ):
        status, _, err = await run_aside(switcher, *command.split())
        assert (status, err) == (0, "")
    async with open_cluster(switcher.login) as api:
        await api.put_subresource(VMS, "vm-0000", "restart", namespace="team-0", body={})
    used, granted = switcher.used(), switcher.granted()
    setting = "kubevirts" if operator == "kubevirt" else "hyperconvergeds"
    other = {"kubevirts", "hyperconvergeds"} - {setting}
    # Reading the setting again after a conflict is not seen here.
    possible = {("get", setting), *((verb, o) for verb in ("get", "list", "patch") for o in other)}
    assert used <= granted <= used | possible


async def run_aside(person, *arguments):
    """Run a command, which has an event loop of its own, from a test that has one."""
    return await asyncio.to_thread(person.run, *arguments)


def test_one_vm_goes_there_and_back(cluster, person):
    switcher = person("switch")
    path = "/apis/kubevirt.io/v1/namespaces/team-0/virtualmachines/vm-0000"
    before = cluster.ask("GET", path)
    status, out, err = switcher.run("disable", "--vm", "team-0/vm-0000")
    assert (status, err) == (0, "")
    assert "runs on as it started: restart it" in out
    changed = cluster.ask("GET", path)
    assert changed["spec"]["template"]["metadata"]["annotations"][ANNOTATION] == "true"
    assert json.loads(changed["metadata"]["annotations"][SAVED])["by"] == switcher.name
    status, out, err = switcher.run("restore", "--vm", "team-0/vm-0000")
    assert (status, err) == (0, "")
    assert cluster.ask("GET", path)["spec"]["template"] == before["spec"]["template"]


def test_a_setting_that_is_touched_all_the_time_is_written_all_the_same(cluster, person):
    switcher = person("switch")
    cluster.fail(method="PATCH", answer=409, times=2)
    status, _, err = switcher.run("disable", "--despite-running-vms")
    assert (status, err) == (0, "")
    cluster.fail(method="PATCH", answer=429, retry_after_s=1, times=1)
    assert switcher.run("restore")[0] == 0
    cluster.heal()


async def test_a_run_owns_cleans_and_is_cleaned_with_exactly_its_manifest(cluster, person):
    runner = person("run")
    async with open_cluster(runner.login) as api:
        async with open_owner(api, "bench", "r1"):
            status, out, err = await run_aside(runner, "clean", "-n", "bench")
            assert (status, err) == (0, "")
            assert "run r1 is alive" in out
        assert await api.list(CONFIG_MAPS, "bench", labels="freepage/run=r1") == []
        owner = open_owner(api, "bench", "r2")
        await owner.__aenter__()
        status, out, err = await run_aside(runner, "clean", "-n", "bench", "--run", "r2")
        assert (status, err) == (0, "")
        assert "removed, and gone: 1 objects of run r2" in out
        await owner.__aexit__(None, None, None)
    status, _, err = await run_aside(runner, "clean", "-n", "team-0")
    assert status == 7
    assert "in namespace team-0" in err
    assert "freepage rbac run --" in err


async def test_a_run_may_look_at_what_it_has_to_know_beforehand(person):
    async with open_cluster(person("run").login) as api:
        assert await api.get(NAMESPACES, "bench")
        assert await api.list(NODES)
        assert (await find_installation(api)).version == "v1.9.0"
        with pytest.raises(ForbiddenError):
            await api.get(NAMESPACES, "team-0")


def test_a_cluster_without_kubevirt_is_said_at_once(tmp_path, capsys):
    with start_cluster(tmp_path / "cluster", "--no-nodes", "--operator", "none") as running:
        assert main(["status", "--kubeconfig", str(running.kubeconfig)]) == 7
        assert "has no KubeVirt" in capsys.readouterr().err


def test_a_kubevirt_before_fpr_is_said_at_once(tmp_path, capsys):
    with start_cluster(tmp_path / "cluster", "--no-nodes", "--kubevirt-version", "v0.59.2") as running:
        assert main(["audit", "--kubeconfig", str(running.kubeconfig)]) == 7
        assert "KubeVirt v0.59.2 knows nothing of Free Page Reporting" in capsys.readouterr().err
