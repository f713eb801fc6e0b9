"""What a cluster's objects say, and what freepage creates there: pure functions."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from freepage.errors import HostError
from freepage.fpr.eligibility import assess_instance
from freepage.fpr.rule import ANNOTATION, ReportingSetting
from freepage.image.architecture import AMD64, ARM64, S390X
from freepage.kube.login import Login
from freepage.kube.quantities import parse_quantity
from freepage.kube.resources import dig
from freepage.records import NODE
from freepage.sampling.node_lines import NodeLine
from freepage.targets.cluster.choices import ClusterChoices
from freepage.targets.cluster.facts import choose_nodes, read_accelerator, read_facts
from freepage.targets.cluster.instances import build_instance, build_scope
from freepage.targets.cluster.latest import LatestValues
from freepage.targets.cluster.launcher import build_loop, parse_tick
from freepage.targets.cluster.manifests import (
    PodShape,
    RunScope,
    build_sampler_pod,
    build_secret,
    build_worker_map,
    build_worker_pod,
)
from freepage.targets.cluster.nodes import AGE, Nodes, NodeSampler, sum_nodes
from freepage.targets.cluster.readiness import (
    describe_conditions,
    describe_events,
    find_failure,
    is_launcher_of,
    is_node_ready,
    is_started,
)
from freepage.targets.cluster.vmi_manifests import VmiShape, build_vmi
from freepage.units import GIB, MIB
from helpers.outlines import node, outline_of, plan_of, trial_of

OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "freepage-run-abc", "uid": "u-1"}}
SCOPE = RunScope("bench", "abc", "freepage-abc", OWNER, 65534, 1200, 7200, AMD64)
POD = PodShape("freepage-abc-1-0", "cycle-0", "worker-0", "registry/small:1", 512 * MIB)
VM = VmiShape("freepage-abc-1-1", "cycle-0", "worker-0", True, GIB, 1, image="registry/freepage:1")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("16Gi", 16 * GIB),
        ("500m", 0.5),
        ("3", 3.0),
        (2, 2.0),
        ("1e3", 1000.0),
        ("16384516Ki", 16384516 * 1024),
        ("1.5G", 1.5e9),
        ("many", None),
        ("5Xi", None),
        (None, None),
    ],
)
def test_quantities_are_read(text, number):
    assert parse_quantity(text) == number


def test_everything_a_run_creates_carries_its_labels_and_goes_with_its_owner():
    objects = [
        build_worker_map(SCOPE, b"binary"),
        build_worker_pod(SCOPE, POD),
        build_vmi(SCOPE, VM),
        build_secret(SCOPE, "seed", {"userdata": b"#cloud-config"}),
    ]
    for obj in objects:
        assert obj["metadata"]["namespace"] == "bench"
        assert obj["metadata"]["labels"]["freepage/run"] == "abc"
        assert obj["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "freepage"
        (owner,) = obj["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("ConfigMap", "u-1")


def test_a_dry_run_has_no_owner_yet():
    assert "ownerReferences" not in build_worker_pod(replace(SCOPE, owner=None), POD)["metadata"]


def test_pods_are_restricted_and_end_by_themselves():
    pod = build_worker_pod(SCOPE, POD)
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["activeDeadlineSeconds"] == 1200
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["runAsUser"] == 65534
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["stdin"] is True
    assert container["stdinOnce"] is False
    assert "runAsUser" not in build_worker_pod(replace(SCOPE, user=None), POD)["spec"]["securityContext"]


def test_a_sampler_may_live_as_long_as_all_trials_and_an_instance_as_long_as_the_longest():
    outline = outline_of(node("worker-0"))
    short, long, crowded = (
        SimpleNamespace(duration_s=seconds, instances=range(instances))
        for seconds, instances in ((60.0, 1), (600.0, 1), (60.0, 200))
    )
    scope = build_scope(outline, "abc", OWNER, [short, long, short])
    assert scope.trial_deadline_s == 600 + 300 + 600
    assert scope.run_deadline_s == 2 * (60 + 300 + 600) + 1500
    assert build_scope(outline, "abc", OWNER, [crowded]).trial_deadline_s == 60 + 7 * 300 + 600
    sampler = build_sampler_pod(scope, "freepage-abc-sampler-0", "worker-0", "small:1", ["sample"])
    assert sampler["spec"]["activeDeadlineSeconds"] == scope.run_deadline_s


def test_a_distribution_may_take_longer_to_its_workers_ready():
    own = ClusterChoices(Login(), image="registry/freepage:1")
    distribution = ClusterChoices(Login(), vm_disk="registry/fedora:41", pod_image="registry/small:1")
    assert (own.ready_deadline_s, distribution.ready_deadline_s) == (300, 600)


def test_a_node_is_chosen_by_its_label_where_that_is_not_its_name():
    cloud = node("ip-10-0-0-7.example.net", labels={"kubernetes.io/hostname": "ip-10-0-0-7"})
    built = build_instance(SCOPE, outline_of(cloud), 0, trial_of(), plan_of("vm-0", memory_bytes=GIB))
    assert built.main["spec"]["nodeSelector"]["kubernetes.io/hostname"] == "ip-10-0-0-7"


@pytest.mark.parametrize(
    ("architecture", "console"), [(AMD64, "ttyS0"), (ARM64, "ttyAMA0"), (S390X, "ttysclp0")]
)
def test_pods_and_vms_are_of_their_nodes_architecture_and_guests_have_its_console(architecture, console):
    scope = replace(SCOPE, architecture=architecture)
    vm, pod = build_vmi(scope, VM), build_worker_pod(scope, POD)
    assert vm["spec"]["architecture"] == architecture.name
    for obj in (vm, pod, build_sampler_pod(scope, "sampler", "worker-0", "small:1", ["sample"])):
        assert obj["spec"]["nodeSelector"]["kubernetes.io/arch"] == architecture.name
    arguments = dig(vm, "spec", "domain", "firmware", "kernelBoot", "kernelArgs").split()
    assert [a for a in arguments if a.startswith("console=")] == [f"console={console}"]


def test_a_vms_arm_is_its_own_annotation_and_kubevirts_rule_agrees():
    on, off = (build_vmi(SCOPE, replace(VM, reporting=reporting)) for reporting in (True, False))
    assert "annotations" not in on["metadata"]
    assert off["metadata"]["annotations"] == {ANNOTATION: "true"}
    enabled = ReportingSetting(True, "KubeVirt")
    assert assess_instance(on, enabled).expected is True
    assert assess_instance(off, enabled).expected is False


def test_a_vm_has_no_more_memory_than_it_is_given_and_a_deadline_of_its_own():
    vm = build_vmi(SCOPE, VM)
    assert vm["spec"]["domain"]["memory"] == {"guest": "1024Mi", "maxGuest": "1024Mi"}
    assert "freepage.deadline=1200" in vm["spec"]["domain"]["firmware"]["kernelBoot"]["kernelArgs"]
    assert vm["spec"]["volumes"] == []


def test_a_vm_with_programs_has_their_disk_and_one_to_work_on():
    vm = build_vmi(SCOPE, replace(VM, tools=True, data="xfs", data_bytes=2 * GIB))
    tools, data = vm["spec"]["volumes"]
    assert tools["containerDisk"] == {"image": "registry/freepage:1", "path": "/disk/tools.img"}
    assert data["emptyDisk"] == {"capacity": "2048Mi"}
    assert [d["serial"] for d in vm["spec"]["domain"]["devices"]["disks"]] == ["tools", "data"]
    arguments = vm["spec"]["domain"]["firmware"]["kernelBoot"]["kernelArgs"].split()
    assert {"freepage.tools=ext4", "freepage.data=xfs", "freepage.format=1"} <= set(arguments)


def test_a_vm_from_any_disk_starts_by_cloud_init():
    vm = build_vmi(SCOPE, replace(VM, image=None, disk_image="registry/fedora:41", secret="seed"))
    assert "firmware" not in vm["spec"]["domain"]
    system, seed = vm["spec"]["volumes"]
    assert system["containerDisk"] == {"image": "registry/fedora:41"}
    assert seed["cloudInitNoCloud"] == {"secretRef": {"name": "seed"}}


def test_images_are_pulled_by_the_secret_that_was_named():
    scope = replace(SCOPE, pull_secret="pull")
    vm = build_vmi(scope, replace(VM, tools=True))
    assert dig(vm, "spec", "domain", "firmware", "kernelBoot", "container", "imagePullSecret") == "pull"
    assert dig(vm, "spec", "volumes", 0, "containerDisk", "imagePullSecret") == "pull"
    assert build_worker_pod(scope, POD)["spec"]["imagePullSecrets"] == [{"name": "pull"}]


def test_a_pod_that_cannot_pull_its_image_has_failed_and_one_that_creates_its_container_has_not():
    def waiting(reason):
        state = {"waiting": {"reason": reason, "message": "no such image"}}
        return {"status": {"phase": "Pending", "containerStatuses": [{"name": "worker", "state": state}]}}

    assert find_failure(waiting("ImagePullBackOff")) == "ImagePullBackOff: no such image"
    assert find_failure(waiting("ContainerCreating")) is None
    assert find_failure({}) is None


def test_pods_ask_for_what_they_allocate_and_a_little_more():
    assert POD.request_bytes < 1.1 * POD.memory_bytes
    assert replace(POD, programs=True).request_bytes > POD.request_bytes
    (container,) = build_worker_pod(SCOPE, POD)["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "538Mi"}


def test_a_pod_whose_io_is_measured_has_no_limit_that_its_page_cache_would_meet():
    (container,) = build_worker_pod(SCOPE, replace(POD, programs=True))["spec"]["containers"]
    assert "limits" not in container["resources"]


def test_what_ended_says_why():
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    pod = {"status": {"phase": "Failed", "containerStatuses": [{"name": "worker", "state": ended}]}}
    assert "OOMKilled" in find_failure(pod)
    assert find_failure({"status": {"phase": "Failed", "reason": "Evicted"}}) == "it failed (Evicted)"
    assert "deleted" in find_failure({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})


def launcher(phase, compute, **init):
    """A launcher's pod whose init containers are in these states, as those of KubeVirt with image volumes."""
    states = [{"name": name.replace("_", "-"), "state": state} for name, state in init.items()]
    statuses = {"initContainerStatuses": states, "containerStatuses": [{"name": "compute", "state": compute}]}
    return {"status": {"phase": phase, **statuses}}


def test_a_launcher_whose_init_container_cannot_pull_an_image_has_failed():
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    pod = launcher("Pending", {"waiting": {"reason": "PodInitializing"}}, volumekernel_boot_volume=waiting)
    assert find_failure(pod) == "ErrImagePull: no such image"


def test_a_launcher_ended_by_its_guest_and_not_by_what_it_began_with():
    done, stopped = ({"terminated": {"exitCode": code, "reason": "Error"}} for code in (0, 143))
    crashed = {"terminated": {"exitCode": 1, "reason": "Error"}}
    init = {"volumekernel_boot_volume": done, "volumetools": done, "guest_console_log": stopped}
    assert "its container compute ended: exit status 1" in find_failure(launcher("Failed", crashed, **init))
    assert "its container compute ended: exit status 0" in find_failure(
        launcher("Succeeded", done, volumetools=done)
    )
    initialising = {"waiting": {"reason": "PodInitializing"}}
    failed = launcher("Failed", initialising, volumekernel_boot_volume=done, volumetools=crashed)
    assert "its container volumetools ended: exit status 1" in find_failure(failed)


def test_an_init_container_that_goes_on_has_started_when_it_runs():
    pod = launcher("Running", {"running": {}}, guest_console_log={"running": {}})
    assert is_started(pod, "guest-console-log")


def test_conditions_and_events_are_told_in_words():
    vmi = {"status": {"conditions": [
        {"type": "Ready", "status": "False", "reason": "GuestNotRunning", "message": "not yet"},
        {"type": "LiveMigratable", "status": "True", "reason": "x"},
    ]}}  # fmt: skip
    assert describe_conditions(vmi) == ["Ready is False: GuestNotRunning not yet"]
    events = [
        {"type": "Normal", "reason": "Pulled", "message": "fine", "lastTimestamp": "3"},
        {"type": "Warning", "reason": "Failed", "message": "second", "lastTimestamp": "2"},
        {"type": "Warning", "reason": "Failed", "message": "first", "lastTimestamp": "1"},
    ]
    assert describe_events(events) == ["Failed: first", "Failed: second"]


def test_a_launcher_is_that_of_the_vm_where_it_runs_now():
    vmi = {"metadata": {"uid": "u"}, "status": {"nodeName": "b"}}

    def pod(uid, where, phase):
        labels = {"kubevirt.io/created-by": uid}
        return {"metadata": {"labels": labels}, "spec": {"nodeName": where}, "status": {"phase": phase}}

    assert is_launcher_of(vmi, pod("u", "b", "Running"))
    assert not is_launcher_of(vmi, pod("u", "a", "Running"))
    assert not is_launcher_of(vmi, pod("u", "b", "Succeeded"))
    assert not is_launcher_of(vmi, pod("other", "b", "Running"))
    assert not is_launcher_of({}, pod("u", "b", "Running"))


def test_a_container_has_started_when_it_runs():
    pod = {"status": {"containerStatuses": [{"name": "worker", "state": {"running": {}}}]}}
    assert is_started(pod, "worker")
    assert not is_started(pod, "other")
    assert not is_started({}, "worker")


def test_the_largest_worker_is_measured_unless_one_is_named():
    control = node("control", memory="64Gi", labels={"node-role.kubernetes.io/control-plane": ""})
    nodes = [node("a"), node("b", memory="32Gi"), control]
    assert [n["metadata"]["name"] for n in choose_nodes(nodes, (), with_vms=True, architecture="amd64")] == [
        "b"
    ]
    chosen = choose_nodes(nodes, ("a", "control"), with_vms=True, architecture="amd64")
    assert [n["metadata"]["name"] for n in chosen] == ["a", "control"]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (node("a", unschedulable=True), "cordoned"),
        (node("a", taints=[{"key": "gpu", "effect": "NoSchedule"}]), "taint gpu"),
        (node("a", labels={"kubevirt.io/schedulable": "false"}), "takes no VMs"),
    ],
)
def test_a_node_that_takes_no_work_is_refused_by_name(broken, words):
    with pytest.raises(HostError, match=words):
        choose_nodes([broken], ("a",), with_vms=True, architecture="amd64")
    with pytest.raises(HostError) as refusal:
        choose_nodes([broken], (), with_vms=True, architecture="amd64")
    assert words in refusal.value.hint


def test_a_node_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(HostError) as refusal:
        choose_nodes([node("a")], ("c",), with_vms=False, architecture="amd64")
    assert "no node c" in refusal.value.message
    assert "a" in refusal.value.hint


def test_a_node_without_vms_will_do_for_pods():
    plain = node("a", labels={"kubevirt.io/schedulable": "false"})
    assert choose_nodes([plain], (), with_vms=False, architecture="amd64") == (plain,)


def test_facts_of_several_nodes_are_added_up():
    seen = {"a": {"mem_total_bytes": 16.0 * GIB, "mem_available_bytes": 4.0 * GIB}}
    facts = read_facts([node("a"), node("b")], seen)
    assert facts["hostname"] == "a, b"
    assert facts["kernel"] == "5.14.0"
    assert facts["cpus_logical"] == 6
    assert facts["memory_total_bytes"] == 16 * GIB + 17 * GIB
    assert facts["memory_available_bytes"] == 4 * GIB + 16 * GIB
    assert facts["swap_total_bytes"] is None


def test_kubevirt_says_what_guests_are_executed_by():
    assert read_accelerator(None).name == "kvm"
    assert read_accelerator({"spec": {"configuration": {}}}).name == "kvm"
    developer = {"developerConfiguration": {"useEmulation": True}}
    assert read_accelerator({"spec": {"configuration": developer}}).name == "tcg"


def test_a_node_that_says_nothing_of_itself_counts_as_ready():
    assert is_node_ready({})
    assert is_node_ready(node("a"))
    lost = node("a")
    lost["status"]["conditions"][0]["status"] = "Unknown"
    assert not is_node_ready(lost)


TASK = "{pid} ({name}) S 1 1 1 0 -1 0 {minor} 0 3 0 {user} {system} 0 0 20 0 1 0 5"


def test_a_launchers_tick_is_read_by_metric():
    text = "\n".join([
        "== /sys/fs/cgroup/memory.current", "1000000",
        "== /sys/fs/cgroup/memory.stat", "anon 700000\nfile 200000\ninactive_file 150000",
        "== status", "VmRSS:\t 1000 kB\nRssAnon:\t 900 kB\nVmSwap:\t 0 kB",
        "== stat", TASK.format(pid=7, name="qemu-kvm", minor=11, user=300, system=100),
        "== tasks",
        TASK.format(pid=7, name="qemu-kvm", minor=1, user=50, system=50),
        TASK.format(pid=9, name="CPU 0/KVM", minor=10, user=250, system=50),
    ])  # fmt: skip
    values = parse_tick(text)
    assert values["cgroup_working_set_bytes"] == 850000
    assert values["rss_bytes"] == 1000 * 1024
    assert values["cpu_total_s"] == 4.0
    assert values["cpu_vcpu_s"] == 3.0
    assert values["cpu_main_loop_s"] == 1.0
    assert values["minor_faults"] == 11


def test_a_launcher_with_nothing_to_read_has_nothing_to_say():
    values = parse_tick("")
    assert set(values.values()) == {None}
    assert "rss_bytes" not in values


def test_the_loop_in_a_launcher_is_plain_shell():
    import subprocess

    command = build_loop(0.05)
    command[-1] = command[-1].replace("sleep 0.05 || exit", "exit 0")
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.endswith("==\n")
    assert parse_tick(said.removesuffix("\n==\n")).keys() >= {"cgroup_usage_bytes"}


def test_numbers_that_are_too_old_are_a_gap():
    latest = LatestValues(1.0, "usage_age_s")
    assert latest.read() == {}
    latest.update({"rss_bytes": 5.0})
    assert latest.read()["rss_bytes"] == 5.0
    assert 0 <= latest.read()["usage_age_s"] < 1
    latest.update({"rss_bytes": 6.0}, read_s=time.monotonic() - 4)
    assert latest.read() == {}


def test_nodes_are_summed_and_a_sum_lacks_what_one_of_them_lacks():
    first = {"mem_free_bytes": 1.0, "swap_free_bytes": None, AGE: 0.1}
    second = {"mem_free_bytes": 2.0, "swap_free_bytes": 5.0, AGE: 0.4, "ksm_pages_sharing": 1.0}
    assert sum_nodes([first, second]) == {"mem_free_bytes": 3.0, "swap_free_bytes": None, AGE: 0.4}


def test_a_nodes_clock_is_taken_from_its_quickest_line():
    sampler = NodeSampler("pod", 1.0)
    now_s = time.monotonic()
    texts = {"/proc/meminfo": "MemTotal:  2048 kB\n"}
    sampler.take_line(NodeLine(1, now_s - 100.0, 0.0, 4096, texts))
    time.sleep(0.05)
    sampler.take_line(NodeLine(2, now_s - 100.0 + 0.01, 0.0, 4096, texts))
    read = Nodes(None, {"a": sampler}).read()
    assert list(read) == [NODE]
    assert read[NODE]["mem_total_bytes"] == 2048 * 1024
    assert 0.03 < read[NODE][AGE] < 0.5
