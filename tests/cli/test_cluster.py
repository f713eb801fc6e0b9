"""The commands that speak with a cluster, as a person sees them."""

from __future__ import annotations

import json

import pytest
import yaml

from freepage.cli.main import main
from freepage.fpr.rule import ANNOTATION, JSON_PATCH
from freepage.kube.errors import SilentError
from freepage.kube.resources import HYPERCONVERGED_V1, KUBEVIRTS, VMS, dig
from freepage.kubevirt.permissions import find_manifest
from freepage.kubevirt.setting import SAVED
from helpers.crashed_run import add_crashed_run, names_left
from helpers.fake_cluster import FakeCluster, serve

HUGE = {"memory": {"hugepages": {"pageSize": "2Mi"}}}


@pytest.fixture
def use(monkeypatch, capsys):
    """Run a command against a cluster; returns exit status, output and errors."""

    monkeypatch.setenv("COLUMNS", "160")

    def run(cluster, *arguments):
        serve(monkeypatch, cluster)
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def template_annotations(cluster, namespace="shop", name="db"):
    vm = cluster.peek(VMS, namespace, name)
    return dig(vm, "spec", "template", "metadata", "annotations")


def patches(cluster):
    return [plural for verb, plural in cluster.calls if verb == "patch"]


def test_status_shows_the_cluster_its_switch_and_its_vms(use):
    cluster = FakeCluster(hyperconverged=("v1", "v1beta1"), disabled=True)
    cluster.add_vm("shop", "db")
    status, out, _ = use(cluster, "status")
    assert status == 0
    assert "https://cluster.example:6443, Kubernetes v1.31.2" in out
    assert "KubeVirt    v1.9.0" in out
    assert "HyperConverged, served in v1, v1beta1" in out
    assert "disabled for the cluster (KubeVirt kubevirt/kubevirt)" in out
    assert "changed in HyperConverged kubevirt/kubevirt-hyperconverged (v1), spec.virtualization" in out
    assert "1 running: FPR expected on in 0, off in 1" in out
    assert "nothing: freepage has no change of its own here" in out


def test_status_notices_an_override_and_a_kubevirt_that_does_not_follow(use):
    cluster = FakeCluster(hyperconverged=("v1",))
    obj = cluster.peek(HYPERCONVERGED_V1, "kubevirt", "kubevirt-hyperconverged")
    obj["spec"]["virtualization"]["virtualMachineOptions"]["disableFreePageReporting"] = True
    assert "which says disabled: KubeVirt has not followed" in use(cluster, "status")[1]
    obj["metadata"]["annotations"] = {JSON_PATCH: "... virtualMachineOptions ..."}
    assert f"the annotation {JSON_PATCH} overrides that" in use(cluster, "status")[1]


def test_status_shows_what_waits_to_be_restored_and_to_be_restarted(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    use(cluster, "disable", "--vm", "shop/db")
    use(cluster, "disable", "--despite-running-vms")
    use(cluster, "enable", "--despite-running-vms")
    out = use(cluster, "status")[1]
    assert "the cluster's setting, changed 20" in out
    assert "by alice: freepage restore" in out
    assert "1 VM (shop/db): freepage restore --all" in out
    assert "of another template than they run with: 1 VM (shop/db)" in out


def test_disabling_shows_the_change_writes_it_and_says_what_it_is_worth(use):
    cluster = FakeCluster(hyperconverged=("v1",))
    status, out, _ = use(cluster, "disable")
    assert status == 0
    assert "spec.virtualization.virtualMachineOptions.disableFreePageReporting\n  - false\n  + true\n" in out
    assert "KubeVirt kubevirt/kubevirt has FPR disabled; VMs that start now follow it" in out
    assert "no running VM has to be restarted" in out
    assert "not proved: no VM has started since" in out
    assert cluster.disabled


def test_disabling_twice_writes_once(use):
    cluster = FakeCluster()
    use(cluster, "disable")
    status, out, _ = use(cluster, "disable")
    assert (status, patches(cluster)) == (0, ["kubevirts"])
    assert "FPR is disabled for the cluster already; nothing was written" in out


def test_a_dry_run_shows_all_and_writes_nothing(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    status, out, _ = use(cluster, "disable", "--dry-run")
    assert status == 0
    assert "  - (nothing)\n  + {}\n" in out
    assert "dry run: the server accepts it; nothing was written" in out
    assert not cluster.disabled


def test_vms_of_others_are_not_changed_without_being_asked(use):
    cluster = FakeCluster()
    for number in range(7):
        cluster.add_vm("shop", f"vm-{number}")
    cluster.add_instance("bench", "ours", labels={"app.kubernetes.io/managed-by": "freepage"})
    status, _, err = use(cluster, "disable")
    assert status == 7
    assert (
        "others have VMs running in this cluster, and nothing was written: 7 VMs (shop/vm-0, shop/vm-1" in err
    )
    assert "and 2 more)\n" in err
    assert "--despite-running-vms" in err
    assert (cluster.disabled, patches(cluster)) == (False, [])
    status, out, _ = use(cluster, "disable", "--despite-running-vms")
    assert status == 0
    assert "to be restarted: 8 VMs (bench/ours, shop/vm-0" in out


def test_the_clusters_change_is_proved_by_a_vm_that_was_named(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    status, out, _ = use(cluster, "disable", "--despite-running-vms", "--prove", "shop/db")
    assert status == 0
    assert "restarting shop/db ..." in out
    assert "proved by the domain XML of shop/db (the log of virt-launcher-db-" in out


def test_a_vm_that_could_not_tell_is_refused_before_anything_is_written(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db", domain=HUGE)
    cluster.add_vm("shop", "stopped", running=False)
    for name, words in (("db", "off whatever the cluster says"), ("stopped", "does not run")):
        status, _, err = use(cluster, "disable", "--despite-running-vms", "--prove", f"shop/{name}")
        assert status == 7
        assert f"shop/{name}" in err
        assert words in err
    assert patches(cluster) == []


def test_a_vm_that_starts_otherwise_is_an_error(use, monkeypatch):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    monkeypatch.setattr(FakeCluster, "_has_reporting", lambda self, vmi: True)
    status, _, err = use(cluster, "disable", "--vm", "shop/db", "--restart")
    assert status == 7
    assert "shop/db has started, and FPR is on in the log of virt-launcher-db-" in err


def test_one_vm_is_disabled_and_restarted_with_proof(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    cluster.add_vm("shop", "other")
    status, out, _ = use(cluster, "disable", "--vm", "shop/db", "--restart")
    assert status == 0
    assert f'spec.template.metadata.annotations.{ANNOTATION}\n  - (nothing)\n  + "true"\n' in out
    assert "proved by the domain XML of shop/db" in out
    assert template_annotations(cluster) == {ANNOTATION: "true"}
    assert template_annotations(cluster, name="other") == {}


def test_one_vm_runs_on_until_it_is_restarted(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    cluster.add_vm("shop", "stopped", running=False)
    status, out, _ = use(cluster, "disable", "--vm", "shop/db", "--vm", "shop/stopped")
    assert status == 0
    assert "shop/db runs on as it started: restart it, or use --restart" in out
    assert "shop/stopped does not run: it counts from its next start on" in out


def test_a_vm_cannot_be_enabled_where_the_cluster_is_disabled(use):
    cluster = FakeCluster(disabled=True)
    cluster.add_vm("shop", "db", annotations={ANNOTATION: "true"})
    status, _, err = use(cluster, "enable", "--vm", "shop/db")
    assert status == 7
    assert "FPR cannot be enabled for shop/db: it is disabled for the whole cluster" in err
    assert "a VM can opt out, none can opt in" in err
    assert patches(cluster) == []


def test_what_keeps_fpr_off_whatever_the_annotation_says_is_said(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db", domain=HUGE, annotations={ANNOTATION: "true"})
    status, out, _ = use(cluster, "enable", "--vm", "shop/db")
    assert status == 0
    assert "shop/db has FPR off whatever its annotation says: huge pages" in out


@pytest.mark.parametrize(
    ("name", "words"),
    [("nobody", "there is no VM shop/nobody"), ("bare", "without a VirtualMachine: it cannot be changed")],
)
def test_what_is_no_virtualmachine_cannot_be_changed(use, name, words):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    cluster.add_instance("shop", "bare")
    status, _, err = use(cluster, "disable", "--vm", "shop/db", "--vm", f"shop/{name}")
    assert status == 7
    assert words in err
    assert patches(cluster) == []


@pytest.mark.parametrize(
    "arguments", [("--restart",), ("--vm", "a/b", "--prove", "a/b")], ids=["restart", "prove"]
)
def test_options_that_do_not_go_together_are_refused(use, arguments):
    assert use(FakeCluster(), "disable", *arguments)[0] == 2


@pytest.mark.parametrize("text", ["db", "/db", "shop/", "a/b/c"])
def test_a_vm_has_a_namespace_and_a_name(use, text):
    with pytest.raises(SystemExit):
        use(FakeCluster(), "disable", "--vm", text)


def test_restoring_puts_the_clusters_setting_back(use):
    cluster = FakeCluster(hyperconverged=("v1beta1",))
    use(cluster, "disable")
    status, out, _ = use(cluster, "restore")
    assert status == 0
    assert "  - true\n  + false\n" in out
    assert "when alice changed it" in out
    assert not cluster.disabled
    assert "nothing to restore" in use(cluster, "restore")[1]


def test_restoring_everything_finds_the_vms_by_themselves(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    cluster.add_vm("lab", "db")
    use(cluster, "disable", "--vm", "shop/db", "--vm", "lab/db")
    status, out, _ = use(cluster, "restore")
    assert status == 0
    assert "--all restores single VMs too: 2 VMs (lab/db, shop/db)" in out
    assert "nothing to restore" in out
    use(cluster, "restore", "--vm", "lab/db", "--dry-run")
    assert template_annotations(cluster, "lab") == {ANNOTATION: "true"}
    use(cluster, "restore", "--all")
    assert template_annotations(cluster) == template_annotations(cluster, "lab") == {}
    assert SAVED not in cluster.peek(VMS, "shop", "db")["metadata"]["annotations"]


def test_a_restoration_that_changes_nothing_asks_for_no_restart(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    use(cluster, "disable", "--vm", "shop/db")
    assert "to be restarted, where they run: 1 VM (shop/db)" in use(cluster, "restore", "--vm", "shop/db")[1]
    use(cluster, "disable", "--vm", "shop/db")
    use(cluster, "enable", "--vm", "shop/db")
    assert "to be restarted" not in use(cluster, "restore", "--vm", "shop/db")[1]


def test_the_live_audit_begins_with_its_summary(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    cluster.add_vm("shop", "out", annotations={ANNOTATION: "true"})
    cluster.add_vm("lab", "win", status={"guestOSInfo": {"id": "mswindows"}})
    status, out, _ = use(cluster, "audit")
    assert status == 0
    assert out.startswith("3 VMs: 1 on, 1 off, 1 on without effect, 0 unknown\n")
    assert out.splitlines()[1] == "Free Page Reporting in the cluster: enabled (KubeVirt kubevirt/kubevirt)"
    assert "shop/db" in out
    status, out, _ = use(cluster, "audit", "-n", "shop", "--format", "json")
    content = json.loads(out)
    assert content["counts"] == {"on": 1, "off": 1, "no effect": 0, "unknown": 0}
    assert [(vm["name"], vm["real"], vm["state"]) for vm in content["vms"]] == [
        ("db", True, "on"),
        ("out", False, "off"),
    ]
    assert cluster.login.namespace == "shop"


def test_vms_of_a_node_that_does_not_answer_are_counted(use):
    cluster = FakeCluster()
    for name in ("db", "web", "mail"):
        cluster.add_vm("shop", name)
    for pod in cluster.objects["", "pods"].values():
        cluster.logs["shop", pod["metadata"]["name"]] = SilentError("it does not answer")
    status, out, _ = use(cluster, "audit")
    assert status == 0
    assert out.splitlines()[0] == "3 VMs: 0 on, 0 off, 0 on without effect, 3 unknown"
    assert "not read: 3 VMs on node node-a, which does not answer" in out
    content = json.loads(use(cluster, "audit", "--format", "json")[1])
    assert content["unread"] == {"node-a": 3}
    assert {vm["silent_node"] for vm in content["vms"]} == {"node-a"}


def test_a_dry_run_tells_what_the_change_itself_would_be_refused_for(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    status, out, _ = use(cluster, "disable", "--dry-run")
    assert status == 0
    assert "dry run: the server accepts it; nothing was written" in out
    assert "without --dry-run this is refused: others have VMs running: 1 VM (shop/db)" in out
    assert "--despite-running-vms" in out
    assert "refused" not in use(cluster, "disable", "--dry-run", "--despite-running-vms")[1]


def test_a_vm_that_cannot_be_restarted_holds_up_no_other(use):
    cluster = FakeCluster()
    cluster.add_vm("shop", "job", strategy="Once")
    cluster.add_vm("shop", "db")
    status, out, err = use(cluster, "disable", "--restart", "--vm", "shop/job", "--vm", "shop/db")
    assert status == 7
    assert "shop/job is not changed, for it could not be restarted" in out
    assert "proved by the domain XML of shop/db" in out
    assert "1 of 2 VMs are not as asked for" in err
    status, out, err = use(cluster, "disable", "--restart", "--vm", "shop/job")
    assert (status, out) == (7, "")
    assert "run strategy is Once" in err
    assert template_annotations(cluster, name="job") == {}


def test_an_empty_cluster_has_nothing_to_audit(use):
    status, out, _ = use(FakeCluster(), "audit")
    assert (status, out.splitlines()[0]) == (0, "0 VMs: 0 on, 0 off, 0 on without effect, 0 unknown")
    assert use(FakeCluster(), "audit", "-n", "shop")[1].startswith("0 VMs in namespace shop: 0 on")


def test_metrics_are_asked_once_for_all_vms(use, monkeypatch):
    cluster = FakeCluster()
    cluster.add_vm("shop", "out", annotations={ANNOTATION: "true"})
    gib = 2**30

    async def read_vm_memory(settings, notes):
        assert settings.url == "http://prometheus.example:9090"
        return {("shop", "out"): {"resident": 8 * gib, "available": 8 * gib, "unused": 6 * gib}}

    monkeypatch.setattr("freepage.cli.audit.read_vm_memory", read_vm_memory)
    _, out, _ = use(cluster, "audit", "--prometheus", "http://prometheus.example:9090")
    assert "2.49 GiB to 6.00 GiB" in out
    assert "FPR would give back between 2.49 GiB and 6.00 GiB of the VMs that have it off" in out


def test_files_and_a_cluster_are_not_audited_at_once(use, tmp_path):
    status, _, err = use(FakeCluster(), "audit", str(tmp_path / "x.json"), "--exec")
    assert status == 2
    assert "files were given" in err


@pytest.mark.parametrize(
    ("arguments", "denied", "manifest"),
    [
        (("status",), ("list", "kubevirts"), "audit"),
        (("audit",), ("get", "pods/log"), "audit"),
        (("disable", "--despite-running-vms"), ("patch", "kubevirts"), "switch"),
        (("disable", "--vm", "shop/db", "--restart"), ("update", "virtualmachines/restart"), "switch"),
        (("restore",), ("list", "kubevirts"), "switch"),
        (("clean",), ("list", "configmaps"), "run"),
    ],
)
def test_what_is_forbidden_names_the_manifest_that_permits_it(use, arguments, denied, manifest):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    cluster.forbidden.add(denied)
    status, _, err = use(cluster, *arguments)
    assert status == 7
    assert f"alice may not {denied[0]} {denied[1]}" in err
    where = f" --namespace {cluster.namespace}" if manifest == "run" else ""
    assert f"hint: freepage rbac {manifest} --user alice{where} | kubectl apply -f -" in err


def test_a_service_account_is_granted_what_it_lacks_where_it_is(use):
    cluster = FakeCluster()
    cluster.user = "system:serviceaccount:bench:freepage"
    cluster.forbidden.add(("list", "kubevirts"))
    _, _, err = use(cluster, "status")
    assert (
        "hint: freepage rbac audit --namespace bench --service-account freepage | kubectl apply -f -" in err
    )


@pytest.mark.parametrize("command", ["plan", "run"])
def test_options_of_a_cluster_are_refused_without_one(tmp_path, capsys, command):
    out = ("--out", str(tmp_path / "run")) if command == "run" else ()
    assert main([command, "quick", "--image", "registry.example/freepage:1", *out]) != 0
    assert (
        "--image is about a cluster, and the target is this host\n  hint: --target cluster"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("command", ["status", "audit", "enable", "disable", "disable --vm a/b", "restore"])
def test_a_cluster_without_kubevirt_is_said_at_once(use, command):
    cluster = FakeCluster(kubevirt=None)
    status, _, err = use(cluster, *command.split())
    assert status == 7
    assert "has no KubeVirt" in err


def test_cleaning_leaves_runs_that_are_alive(use):
    cluster = FakeCluster()
    add_crashed_run(cluster, "dead")
    add_crashed_run(cluster, "alive", silent_s=10)
    status, out, _ = use(cluster, "clean", "--dry-run")
    assert status == 0
    assert "run dead in namespace bench\n  VirtualMachineInstance dead-vm\n  Pod dead-pod\n" in out
    assert "run alive is alive" in out
    assert "dry run: nothing was removed" in out
    status, out, _ = use(cluster, "clean")
    assert "removed, and gone: 4 objects of run dead" in out
    assert all("alive" in name for name in names_left(cluster))
    assert "removed, and gone: 4 objects of run alive" in use(cluster, "clean", "--run", "alive")[1]
    assert "holds nothing of freepage's; nothing was removed" in use(cluster, "clean")[1]


@pytest.mark.parametrize("command", ["clean", "clean --run r1", "audit"])
def test_a_namespace_that_does_not_exist_is_said(use, command):
    cluster = FakeCluster()
    cluster.absent_namespaces.add("nosuch")
    status, out, err = use(cluster, *command.split(), "-n", "nosuch")
    assert (status, out) == (7, "")
    assert "there is no namespace nosuch in the cluster https://cluster.example:6443" in err
    assert "hint: kubectl get namespaces" in err


@pytest.mark.parametrize("command", ["clean", "audit"])
def test_a_namespace_that_may_not_be_looked_at_is_taken_as_it_is(use, command):
    cluster = FakeCluster()
    cluster.absent_namespaces.add("nosuch")
    cluster.forbidden.add(("get", "namespaces"))
    assert use(cluster, command, "-n", "nosuch")[0] == 0


def test_all_runs_can_be_removed(use):
    cluster = FakeCluster()
    add_crashed_run(cluster, "alive", silent_s=10)
    use(cluster, "clean", "--all")
    assert names_left(cluster) == []


def build_manifest(use, *arguments):
    status, out, _ = use(FakeCluster(), "rbac", *arguments)
    assert status == 0
    return list(yaml.safe_load_all(out))


@pytest.mark.parametrize("command", ["audit", "switch", "run"])
def test_a_manifest_permits_it_to_a_service_account_that_it_makes(use, command):
    account, *others = build_manifest(use, command, "-n", "bench", "--service-account", "123")
    assert account["kind"] == "ServiceAccount"
    assert account["metadata"] == {"name": "123", "namespace": "bench"}
    bindings = [o for o in others if o["kind"].endswith("Binding")]
    assert all(
        b["subjects"] == [{"kind": "ServiceAccount", "name": "123", "namespace": "bench"}] for b in bindings
    )
    roles = {(o["kind"], o["metadata"]["name"]) for o in others}
    assert {(b["roleRef"]["kind"], b["roleRef"]["name"]) for b in bindings} <= roles


def test_a_manifest_for_a_user_makes_no_account_and_takes_it_from_nobody_else(use):
    name = 'o\'neil "x" #1: {a}'
    _, binding = build_manifest(use, "audit", "--user", name)
    assert binding["subjects"] == [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}]
    assert binding["metadata"]["name"] == f"freepage-audit:{name}"


def test_only_runs_and_who_asks_for_it_may_execute_in_pods(use):
    def may_exec(*arguments):
        return any(
            "pods/exec" in rule["resources"]
            for o in build_manifest(use, *arguments)
            for rule in o.get("rules", ())
        )

    assert [may_exec(c) for c in ("audit", "switch", "run")] == [False, False, True]
    assert may_exec("audit", "--exec")
    assert may_exec("switch", "--exec")


def test_a_refusal_names_a_manifest_that_really_permits_it(use):
    permits = {
        command: {
            (verb, resource)
            for o in build_manifest(use, command)
            for rule in o.get("rules", ())
            for verb in rule["verbs"]
            for resource in rule["resources"]
        }
        for command in ("audit", "switch", "run")
    }
    for verb, resource in set().union(*permits.values()):
        assert (verb, resource) in permits[find_manifest(verb, resource)], (verb, resource)


def test_no_manifest_permits_everything_of_anything(use):
    for command in ("audit", "switch", "run"):
        for obj in build_manifest(use, command):
            for rule in obj.get("rules", ()):
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_a_run_may_write_in_its_namespace_only(use):
    for obj in build_manifest(use, "run", "-n", "bench"):
        if obj["kind"] == "ClusterRole":
            assert {v for rule in obj["rules"] for v in rule["verbs"]} == {"get", "list", "watch"}
        if obj["kind"] in {"Role", "RoleBinding"}:
            assert obj["metadata"]["namespace"] == "bench"


@pytest.mark.parametrize("name", ["Bench", "-a", "a_b", "x" * 64])
def test_names_that_cannot_be_are_refused(use, name):
    with pytest.raises(SystemExit):
        use(FakeCluster(), "rbac", "run", f"--namespace={name}")


def test_the_kubevirt_object_of_a_plain_cluster_is_edited_itself(use):
    cluster = FakeCluster()
    use(cluster, "disable")
    options = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")["spec"]["configuration"]
    assert options == {"virtualMachineOptions": {"disableFreePageReporting": {}}}
