"""The test cluster's nodes do what real ones do: containers, images, guests, metrics."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from freepage.fpr.domain_xml import parse_balloon
from freepage.image.guest import build_guest
from freepage.sampling.procfs import read_text
from freepage.worker.build import build_worker
from helpers.oci_layout import push_files
from lab.controllers import run_controllers
from lab.images import LAUNCHER_IMAGE, SMALL_IMAGE
from lab.kubevirt import INSTANCES, KUBEVIRTS, VMS
from lab.nodes import run_nodes
from lab.seams import NotStartedError
from lab.store import PODS, MemoryStore

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

NAMESPACE = "studies"
VIRSH = ["virsh", "-c", "qemu+unix:///session?socket=/var/run/libvirt/virtqemud-sock"]
KERNEL_ARGUMENTS = "console=ttyS0 panic=-1 cryptomgr.notests no_timer_check random.trust_cpu=on"
OPT_OUT = {"kubevirt.io/free-page-reporting-disabled": "true"}
DEADLINE_S = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory):
    store = MemoryStore()
    worker = base64.b64encode(build_worker().read_bytes()).decode()
    store.create(("", "configmaps"), {"metadata": meta("worker"), "binaryData": {"worker": worker}})
    store.create(KUBEVIRTS, {"metadata": {"name": "kubevirt", "namespace": "kubevirt"}, "spec": {}})
    async with run_nodes(store, tmp_path_factory.mktemp("cluster") / "nodes", ["one", "two"]) as nodes:
        tidying = asyncio.create_task(run_controllers(store))
        yield nodes
        tidying.cancel()


def meta(name, **more):
    return {"name": name, "namespace": NAMESPACE, **more}


def build_pod(name, command, **container):
    spec = {"name": "main", "image": SMALL_IMAGE, "command": command, **container}
    spec["volumeMounts"] = [{"name": "worker", "mountPath": "/bin"}]
    volumes = [{"name": "worker", "configMap": {"name": "worker", "defaultMode": 0o755}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(name),
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "volumes": volumes,
            "containers": [spec],
        },
    }


def build_instance(name, image, **annotations):
    boot = {"image": image, "kernelPath": "/boot/vmlinuz", "initrdPath": "/boot/initrd"}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": meta(name, annotations=annotations),
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "domain": {
                "memory": {"guest": "256Mi"},
                "devices": {"rng": {}},
                "firmware": {"kernelBoot": {"kernelArgs": KERNEL_ARGUMENTS, "container": boot}},
            },
        },
    }


async def wait_for(store, key, name, fits):
    """Return an object once it is as it should be; it is shown when it does not get there."""
    seen = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            async for change, seen in store.watch(key):
                if (
                    seen["metadata"]["name"] == name
                    and change != "DELETED"
                    and fits(seen.get("status") or {})
                ):
                    return seen
    except TimeoutError:
        pytest.fail(f"{name} is still {json.dumps(seen)}")


async def wait_until_gone(store, key, mark):
    """Wait until no object has `mark` as its name or uid."""
    async with asyncio.timeout(DEADLINE_S):
        while any(mark in (o["metadata"]["name"], o["metadata"]["uid"]) for o in store.list(key)):  # noqa: ASYNC110 - simple
            await asyncio.sleep(0.02)


@asynccontextmanager
async def opened_pod(cluster, pod, fits=lambda status: status.get("phase") != "Pending"):
    """Have a pod until the end of the block, from when its status fits; give its node and itself."""
    name = cluster.store.create(PODS, pod)["metadata"]["name"]
    try:
        found = await wait_for(cluster.store, PODS, name, lambda status: "phase" in status and fits(status))
        yield cluster.store.kubelets.get(found["spec"].get("nodeName")), found
    finally:
        cluster.store.end(PODS, NAMESPACE, name)
        await wait_until_gone(cluster.store, PODS, name)


def state_of(pod):
    return pod["status"]["containerStatuses"][0]["state"]


def has_ended(status):
    return status["phase"] in {"Succeeded", "Failed"}


async def read_all(stream):
    """Return what a command printed, and its status."""
    output = b"".join([data async for _, data in stream.output()])
    return output.decode(), await stream.wait()


async def read_log(node, pod, container, **query):
    return b"".join([line async for line in node.read_log(NAMESPACE, pod, container, **query)]).decode()


async def read_until(chunks, text):
    """Read on until what is waited for has come; give all that came."""
    said = b""
    async with asyncio.timeout(DEADLINE_S):
        async for data in chunks:
            said += data
            if text in said:
                break
    return said


async def ask_worker(node, pod, request):
    """Attach to a worker, ask, give the answer, and leave."""
    stream = await node.attach(NAMESPACE, pod, "main")
    await stream.write(json.dumps(request).encode() + b"\n")
    said = await read_until((data async for _, data in stream.output()), b'"id":%d' % request["id"])
    await stream.close()
    return json.loads(said.splitlines()[-1])


async def test_a_worker_in_a_pod_answers_over_attach_and_stays_when_its_client_goes(cluster):
    locked = {"runAsUser": 1000, "runAsNonRoot": True, "readOnlyRootFilesystem": True}
    pod = build_pod("worker", ["/bin/worker"], stdin=True, securityContext=locked)
    async with opened_pod(cluster, pod) as (node, _):
        for number in (1, 2):
            answer = await ask_worker(node, "worker", {"op": "ping", "id": number})
            assert answer["type"] == "pong"
        log = await read_log(node, "worker", "main", timestamps=True)
    assert re.match(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z \{"n":1,"type":"ready"', log)
    assert len(log.splitlines()) == 3


async def test_a_pod_sees_the_hosts_meminfo_and_its_own_memory_limit(cluster):
    pod = build_pod("limited", ["/bin/worker"], stdin=True, resources={"limits": {"memory": "64Mi"}})
    async with opened_pod(cluster, pod) as (node, found):
        answer = await ask_worker(node, "limited", {"op": "read", "id": 1, "path": "/proc/meminfo"})
    assert answer["text"].split()[1] == read_text(Path("/proc/meminfo")).split()[1]
    assert found["status"]["qosClass"] == "Burstable"


async def test_what_cannot_be_started_says_so_as_containerd_does(cluster):
    async with opened_pod(cluster, build_pod("absent", ["/bin/nothing"]), has_ended) as (_, pod):
        ended = state_of(pod)["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert "no such file or directory" in ended["message"]


async def test_an_image_that_is_not_there_is_tried_again_and_again(cluster):
    pod = build_pod("unpulled", ["/bin/worker"], image=f"{cluster.registry}/nothing:1")

    def waits(status):
        return "BackOff" in json.dumps(status)

    async with opened_pod(cluster, pod, waits) as (node, found):
        assert state_of(found)["waiting"]["reason"] == "ImagePullBackOff"
        with pytest.raises(NotStartedError, match="waiting to start"):
            node.read_log(NAMESPACE, "unpulled", "main")
    said = [
        e["message"] for e in cluster.store.list(("", "events")) if e["involvedObject"]["name"] == "unpulled"
    ]
    assert any("manifest unknown" in message for message in said)


async def test_root_is_refused_where_the_pod_says_no_root(cluster):
    pod = build_pod("rooted", ["/bin/worker"], securityContext={"runAsNonRoot": True})
    async with opened_pod(cluster, pod, lambda status: "ConfigError" in json.dumps(status)) as (_, found):
        assert state_of(found)["waiting"]["reason"] == "CreateContainerConfigError"


async def test_what_fits_no_node_waits_and_says_why(cluster):
    pod = build_pod("huge", ["/bin/worker"], resources={"requests": {"memory": "900Gi"}})
    async with opened_pod(cluster, pod, lambda status: "conditions" in status) as (_, found):
        condition = found["status"]["conditions"][0]
    assert condition["reason"] == "Unschedulable"
    assert condition["message"] == "0/2 nodes are available: 2 Insufficient memory."


async def test_a_pod_that_takes_too_long_is_ended_by_its_deadline(cluster):
    pod = build_pod("late", ["/bin/worker"], stdin=True)
    pod["spec"]["activeDeadlineSeconds"] = 1
    async with opened_pod(cluster, pod, has_ended) as (_, found):
        assert found["status"]["reason"] == "DeadlineExceeded"
        assert "terminated" in state_of(found)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(cluster, tmp_path_factory):
    guest = await asyncio.to_thread(build_guest)
    files = {"boot/vmlinuz": guest.kernel.read_bytes(), "boot/initrd": guest.initramfs.read_bytes()}
    reference = f"{cluster.registry}/freepage/guest:1"
    await asyncio.to_thread(push_files, files, reference, tmp_path_factory.mktemp("layout"))
    return reference


@asynccontextmanager
async def running_instance(cluster, instance):
    """Have a VM until the end of the block; give its node and its pod."""
    name = cluster.store.create(INSTANCES, instance)["metadata"]["name"]
    try:
        yield await find_launcher(cluster, name)
    finally:
        cluster.store.end(INSTANCES, NAMESPACE, name)
        await wait_until_gone(cluster.store, INSTANCES, name)


async def find_launcher(cluster, name):
    found = await wait_for(cluster.store, INSTANCES, name, lambda status: status.get("phase") == "Running")
    pods = [
        p
        for p in cluster.store.list(PODS)
        if p["metadata"]["labels"].get("kubevirt.io/created-by") == found["metadata"]["uid"]
    ]
    assert len(pods) == 1
    return cluster.store.kubelets[found["status"]["nodeName"]], pods[0]["metadata"]["name"]


async def read_domain(node, pod, name):
    """Return a VM's domain as libvirt has it, and as its launcher's log says it was made."""
    stream = await node.exec(
        NAMESPACE, pod, "compute", [*VIRSH, "dumpxml", f"{NAMESPACE}_{name}"], stdin=False
    )
    real, status = await read_all(stream)
    assert status == 0
    *_, dump = re.findall(
        r'"msg":"Domain XML generated\. Base64 dump ([\w+/=]+)"', await read_log(node, pod, "compute")
    )
    return real, base64.b64decode(dump).decode()


async def test_a_vm_boots_from_the_pushed_image_with_fpr_on_and_speaks_on_its_console(cluster, image):
    async with running_instance(cluster, build_instance("on", image)) as (node, pod):
        for text in await read_domain(node, pod, "on"):
            assert parse_balloon(text).reporting
        console = await node.open_console(NAMESPACE, "on")
        said = await read_until((data async for _, data in console.output()), b"Free page reporting enabled")
        assert b"Run /init" in said
        await console.close()
        log = node.read_log(NAMESPACE, pod, "guest-console-log", follow=True)
        assert b"Linux version" in await read_until(log, b"Free page reporting enabled")
        await check_metrics(cluster, pod)


async def check_metrics(cluster, pod):
    """Look for what Prometheus has of a VM: KubeVirt's numbers, its container's, its node's."""
    resident = 'kubevirt_vmi_memory_resident_bytes{name="on"}'
    assert 100e6 < await ask_prometheus(cluster, resident) < 600e6
    assert await ask_prometheus(cluster, f'container_memory_rss{{pod="{pod}",container="compute"}}') > 50e6
    assert await ask_prometheus(cluster, f'kubevirt_vmi_info{{vmi_pod="{pod}",phase="running"}}') == 1
    assert await ask_prometheus(cluster, 'node_memory_MemTotal_bytes{instance="one"}') > 1e9


async def ask_prometheus(cluster, query):
    """Return the value of an expression with one result, once Prometheus has it."""
    import httpx

    async with httpx.AsyncClient() as client, asyncio.timeout(DEADLINE_S):
        while True:
            answer = await client.get(f"{cluster.prometheus}/api/v1/query", params={"query": query})
            result = answer.json()["data"]["result"]
            if result:
                assert len(result) == 1
                return float(result[0]["value"][1])
            await asyncio.sleep(0.2)


async def test_a_vm_that_opted_out_has_fpr_off(cluster, image):
    async with running_instance(cluster, build_instance("off", image, **OPT_OUT)) as (node, pod):
        for text in await read_domain(node, pod, "off"):
            balloon = parse_balloon(text)
            assert balloon.model == "virtio-non-transitional"
            assert not balloon.reporting
            assert "freePageReporting='off'" in text.replace('"', "'")


async def test_a_vm_takes_the_clusters_choice_when_it_is_started_again(cluster, image):
    template = {"metadata": {}, "spec": build_instance("vm", image)["spec"]}
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": meta("vm")}
    cluster.store.create(VMS, {**machine, "spec": {"runStrategy": "Always", "template": template}})
    choice = {"configuration": {"virtualMachineOptions": {"disableFreePageReporting": {}}}}
    try:
        node, pod = await find_launcher(cluster, "vm")
        before = cluster.store.get(INSTANCES, NAMESPACE, "vm")["metadata"]["uid"]
        cluster.store.merge(KUBEVIRTS, "kubevirt", "kubevirt", {"spec": choice})
        assert parse_balloon((await read_domain(node, pod, "vm"))[0]).reporting
        requests = [{"action": "Stop", "uid": before}, {"action": "Start"}]
        cluster.store.merge(VMS, NAMESPACE, "vm", {"status": {"stateChangeRequests": requests}})
        await wait_until_gone(cluster.store, INSTANCES, before)
        node, pod = await find_launcher(cluster, "vm")
        assert not parse_balloon((await read_domain(node, pod, "vm"))[0]).reporting
        status = cluster.store.get(VMS, NAMESPACE, "vm")["status"]
        assert (status["printableStatus"], status["stateChangeRequests"]) == ("Running", [])
    finally:
        cluster.store.merge(KUBEVIRTS, "kubevirt", "kubevirt", {"spec": {"configuration": None}})
        cluster.store.end(VMS, NAMESPACE, "vm")
        await wait_until_gone(cluster.store, PODS, "vm")


async def test_a_vm_whose_image_is_not_there_says_so_in_its_conditions(cluster):
    cluster.store.create(INSTANCES, build_instance("unpulled", f"{cluster.registry}/nothing:1"))
    try:
        found = await wait_for(
            cluster.store, INSTANCES, "unpulled", lambda status: "ImagePull" in json.dumps(status)
        )
        conditions = {c["type"]: c for c in found["status"]["conditions"]}
        assert conditions["Synchronized"]["status"] == "False"
        assert found["status"]["phase"] == "Scheduling"
    finally:
        cluster.store.end(INSTANCES, NAMESPACE, "unpulled")
        await wait_until_gone(cluster.store, INSTANCES, "unpulled")


async def test_a_worker_in_a_vm_answers_on_the_console_and_the_vm_succeeds_when_it_quits(cluster, image):
    instance = build_instance("worker", image)
    instance["spec"]["domain"]["firmware"]["kernelBoot"]["kernelArgs"] += " quiet freepage.console=1"
    async with running_instance(cluster, instance) as (node, pod):
        console = await node.open_console(NAMESPACE, "worker")
        output = console.output()
        said = await read_until((data async for _, data in output), b"}\n")
        assert json.loads(said)["type"] == "ready"
        await console.write(b'{"op":"ping","id":7}\n')
        said = await read_until((data async for _, data in output), b"}\n")
        assert json.loads(said)["id"] == 7
        await console.write(b'{"op":"quit"}\n')
        await wait_for(cluster.store, INSTANCES, "worker", lambda status: status["phase"] == "Succeeded")
        assert cluster.store.get(PODS, NAMESPACE, pod)["status"]["phase"] == "Succeeded"


async def test_a_vm_whose_qemu_is_killed_has_failed(cluster, image):
    async with running_instance(cluster, build_instance("killed", image)) as (node, pod):
        command = ["/bin/sh", "-c", "kill -9 $(cat /var/run/libvirt/qemu/run/*_killed.pid)"]
        assert await read_all(await node.exec(NAMESPACE, pod, "compute", command, stdin=False)) == ("", 0)
        await wait_for(cluster.store, INSTANCES, "killed", lambda status: status["phase"] == "Failed")
        found = cluster.store.get(PODS, NAMESPACE, pod)
        assert state_of(found)["terminated"]["exitCode"] == 1


async def test_a_vm_has_its_disks_by_serial_and_user_data_from_a_secret(cluster, image):
    secret = base64.b64encode(b"#cloud-config\n# from a secret\n").decode()
    cluster.store.create(("", "secrets"), {"metadata": meta("user-data"), "data": {"userdata": secret}})
    instance = build_instance("disks", image)
    spec = instance["spec"]
    spec["domain"]["devices"]["disks"] = [
        {"name": name, "serial": name, "disk": {"bus": "virtio"}} for name in ("data", "init")
    ]
    spec["volumes"] = [
        {"name": "data", "emptyDisk": {"capacity": "1Gi"}},
        {"name": "init", "cloudInitNoCloud": {"secretRef": {"name": "user-data"}}},
    ]
    async with running_instance(cluster, instance) as (node, pod):
        real, _ = await read_domain(node, pod, "disks")
        assert re.findall(r"<serial>(\w+)</serial>", real) == ["data", "init"]
        disk = re.search(r"file='(\S+iso)'", real)[1]
        command = ["/bin/sh", "-c", f"grep -ac -e 'CD001.*cidata' -e '# from a secret' {disk}"]
        found = await read_all(await node.exec(NAMESPACE, pod, "compute", command, stdin=False))
        assert found == ("2\n", 0)


async def test_a_container_that_takes_more_than_its_limit_is_ended_for_it(cluster):
    limits = {"limits": {"memory": "32Mi"}}
    pod = build_pod("greedy", ["/usr/bin/tail", "/dev/zero"], image=LAUNCHER_IMAGE, resources=limits)
    pod["spec"]["containers"][0]["volumeMounts"] = []
    async with opened_pod(cluster, pod, has_ended) as (_, found):
        ended = state_of(found)["terminated"]
    assert (ended["reason"], ended["exitCode"], found["status"]["phase"]) == ("OOMKilled", 137, "Failed")


async def test_a_command_that_is_not_there_is_said_to_be_missing(cluster):
    async with opened_pod(cluster, build_pod("bare", ["/bin/worker"], stdin=True)) as (node, _):
        with pytest.raises(FileNotFoundError, match="no such file"):
            await node.exec(NAMESPACE, "bare", "main", ["/bin/sh"], stdin=False)


async def test_a_node_that_is_lost_says_nothing_of_its_pods_any_more(cluster):
    pod = build_pod("stranded", ["/bin/worker"], stdin=True)
    pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "two"}
    cluster.store.create(PODS, pod)
    await wait_for(cluster.store, PODS, "stranded", lambda status: status.get("phase") == "Running")
    await cluster.lose("two")
    with pytest.raises(ConnectionError, match="i/o timeout"):
        cluster.nodes["two"].read_log(NAMESPACE, "stranded", "main")
    assert cluster.store.get(PODS, NAMESPACE, "stranded")["status"]["phase"] == "Running"
    cluster.store.delete(PODS, NAMESPACE, "stranded")
