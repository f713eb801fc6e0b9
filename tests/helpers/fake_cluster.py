"""A cluster in memory behind the signatures of ClusterApi: objects, launchers with logs, KubeVirt's rule at a VM's start."""

from __future__ import annotations

import base64
import copy
import json
from contextlib import asynccontextmanager
from itertools import count

from freepage.fpr.rule import ANNOTATION
from freepage.kube.api import ExecResult, WatchEvent
from freepage.kube.errors import (
    ConflictError,
    Denial,
    ExistsError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from freepage.kube.resources import (
    CONFIG_MAPS,
    HYPERCONVERGED_V1,
    HYPERCONVERGED_V1BETA1,
    KUBEVIRTS,
    NAMESPACES,
    PODS,
    VMIS,
    VMS,
    dig,
    name_of,
    namespace_of,
)

OPTION = "disableFreePageReporting"


def domain_xml(name, balloon='model="virtio-non-transitional" freePageReporting="on"'):
    return (
        f'<domain type="kvm" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">\n\t<name>{name}</name>\n'
        f'\t<memory unit="b">1073741824</memory>\n\t<devices>\n\t\t<memballoon {balloon}>\n'
        '\t\t\t<stats period="10"></stats>\n\t\t</memballoon>\n\t</devices>\n</domain>'
    )


def launcher_log(xml, before=20):
    """What a launcher logs: lines of JSON, one of them with the domain it defines."""
    words = "Domain XML generated. Base64 dump " + base64.b64encode(xml.encode()).decode()
    lines = ["Connecting to libvirt daemon: qemu+unix:///session"] * before + [words, "Domain defined."]
    return "".join(
        json.dumps({"component": "virt-launcher", "level": "info", "msg": m, "pos": "x.go:1"}) + "\n"
        for m in lines
    )


def merge(target, patch):
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def key_of(resource):
    return resource.group, resource.plural


class FakeCluster:
    """`calls` is every call made, as (verb, plural); `forbidden` those of them that are refused.

    Every namespace is there but for those in `absent_namespaces`.

    `before_patch` is called with each object about to be patched, as somebody else who is faster.
    """

    def __init__(self, *, kubevirt="v1.9.0", hyperconverged=(), disabled=False):
        self.server, self.namespace, self.user = "https://cluster.example:6443", "bench", "alice"
        self.served = {"kubevirt.io": ["v1", "v1alpha3"]} if kubevirt else {}
        self.objects = {}
        self.logs = {}
        self.domains = {}
        self.calls = []
        self.forbidden = set()
        self.absent_namespaces = set()
        self.before_patch = lambda obj: None
        self.follows = True
        self._numbers = count(1)
        if kubevirt:
            self._install(kubevirt, hyperconverged, disabled)

    def _install(self, version, hyperconverged, disabled):
        options = {"virtualMachineOptions": {OPTION: {}}} if disabled else {}
        labels = {"app.kubernetes.io/managed-by": "hco-operator"} if hyperconverged else {}
        self.add(
            KUBEVIRTS,
            {
                "metadata": {"name": "kubevirt", "namespace": "kubevirt", "labels": labels},
                "spec": {"configuration": options},
                "status": {"observedKubeVirtVersion": version},
            },
        )
        if hyperconverged:
            self.served["hco.kubevirt.io"] = list(hyperconverged)
            spec = {"virtualization": {"virtualMachineOptions": {OPTION: disabled}}}
            self.add(
                HYPERCONVERGED_V1,
                {"metadata": {"name": "kubevirt-hyperconverged", "namespace": "kubevirt"}, "spec": spec},
            )

    # What a test does to the cluster.

    def add(self, resource, obj):
        kept = {"apiVersion": resource.api_version, "kind": resource.kind, **copy.deepcopy(obj)}
        number = next(self._numbers)
        kept["metadata"] = {
            "uid": f"uid-{number}",
            "creationTimestamp": f"2026-01-01T00:00:{number % 60:02}Z",
            **kept["metadata"],
            "resourceVersion": str(number),
        }
        self.objects.setdefault(key_of(resource), {})[namespace_of(kept), name_of(kept)] = kept
        return copy.deepcopy(kept)

    def peek(self, resource, namespace, name):
        return self.objects.get(key_of(resource), {}).get((namespace, name))

    @property
    def disabled(self):
        kubevirt = next(iter(self.objects[key_of(KUBEVIRTS)].values()))
        return dig(kubevirt, "spec", "configuration", "virtualMachineOptions", OPTION) is not None

    def add_vm(
        self, namespace, name, *, annotations=None, domain=None, running=True, strategy="Always", **instance
    ):
        """Make a VirtualMachine, and start it."""
        template = {
            "metadata": {"annotations": annotations or {}},
            "spec": {"domain": {"devices": {}, **(domain or {})}},
        }
        metadata = {"name": name, "namespace": namespace}
        self.add(VMS, {"metadata": metadata, "spec": {"runStrategy": strategy, "template": template}})
        if running:
            self.start(namespace, name, **instance)

    def start(self, namespace, name, **instance):
        """Start a VM from its VirtualMachine, with KubeVirt's rule; `instance` is merged into it."""
        template = self.peek(VMS, namespace, name)["spec"]["template"]
        return self.add_instance(namespace, name, template=template, **instance)

    def add_instance(self, namespace, name, *, template=None, labels=None, **changed):
        template = template or {"metadata": {}, "spec": {"domain": {"devices": {}}}}
        guest = {"id": "fedora", "kernelRelease": "6.8.5"}
        vmi = {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": labels or {},
                "annotations": dict(template["metadata"].get("annotations") or {}),
            },
            "spec": template["spec"],
            "status": {"phase": "Running", "nodeName": "node-a", "guestOSInfo": guest},
        }
        vmi = self.add(VMIS, merge(vmi, changed))
        pod = self.add_launcher(vmi, "node-a")
        reporting = "on" if self._has_reporting(vmi) else "off"
        has_balloon = dig(vmi, "spec", "domain", "devices", "autoattachMemBalloon") is not False
        balloon = f'model="virtio" freePageReporting="{reporting}"' if has_balloon else 'model="none"'
        xml = domain_xml(f"{namespace}_{name}", balloon)
        self.logs[namespace, name_of(pod)] = launcher_log(xml)
        return vmi

    def add_launcher(self, vmi, node, phase="Running"):
        labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": vmi["metadata"]["uid"]}
        return self.add(
            PODS,
            {
                "metadata": {
                    "name": f"virt-launcher-{name_of(vmi)}-{next(self._numbers)}",
                    "namespace": namespace_of(vmi),
                    "labels": {**vmi["metadata"].get("labels", {}), **labels},
                    "ownerReferences": [{"uid": vmi["metadata"]["uid"], "name": name_of(vmi)}],
                },
                "spec": {"nodeName": node},
                "status": {"phase": phase},
            },
        )

    def _has_reporting(self, vmi):
        domain = vmi["spec"]["domain"]
        return not (
            self.disabled
            or dig(domain, "devices", "autoattachMemBalloon") is False
            or dig(domain, "cpu", "dedicatedCpuPlacement")
            or dig(domain, "cpu", "realtime") is not None
            or dig(domain, "memory", "hugepages") is not None
            or dig(vmi, "metadata", "annotations", ANNOTATION) == "true"
        )

    # What freepage asks of it.

    def _allow(self, verb, resource, subresource=""):
        plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
        self.calls.append((verb, plural))
        if (verb, plural) in self.forbidden:
            denial = Denial(self.user, verb, plural, self.namespace)
            raise ForbiddenError(
                f"{self.user} may not {verb} {plural}", hint="ask", status=403, denial=denial
            )
        return self.objects.setdefault(key_of(resource), {})

    async def get(self, resource, name, namespace=None):
        held_in = (namespace or self.namespace) if resource.namespaced else ""
        found = self._allow("get", resource).get((held_in, name))
        if resource == NAMESPACES and found is None and name not in self.absent_namespaces:
            found = {"metadata": {"name": name}}
        if found is None:
            raise NotFoundError(f"{resource.plural} {name} not found", status=404)
        return _as_served(resource, found)

    async def list(self, resource, namespace=None, *, labels=None, fields=None):
        return [
            _as_served(resource, o)
            for (held_in, _), o in sorted(self._allow("list", resource).items())
            if namespace in {None, held_in} and _selects(labels, dig(o, "metadata", "labels") or {})
        ]

    async def watch(self, resource, namespace=None, *, labels=None, fields=None):
        for obj in await self.list(resource, namespace, labels=labels):
            yield WatchEvent("ADDED", obj)

    async def create(self, resource, obj, *, namespace=None, dry_run=False):
        if (namespace or namespace_of(obj), name_of(obj)) in self._allow("create", resource):
            raise ExistsError(f"{resource.plural} {name_of(obj)} already exists", status=409)
        return copy.deepcopy(obj) if dry_run else self.add(resource, obj)

    async def patch(self, resource, name, patch, *, namespace=None, dry_run=False):
        objects = self._allow("patch", resource)
        key = namespace or self.namespace, name
        if key not in objects:
            raise NotFoundError(f"{resource.plural} {name} not found", status=404)
        self.before_patch(objects[key])
        before = _as_served(resource, objects[key])
        version = dig(patch, "metadata", "resourceVersion")
        if version not in {None, before["metadata"]["resourceVersion"]}:
            raise ConflictError(f"{name}: the object has been modified", status=409)
        after = merge(before, patch)
        _check_option(resource, after)
        if dry_run:
            return after
        after["metadata"]["resourceVersion"] = str(next(self._numbers))
        objects[key] = _as_stored(resource, after)
        self._follow(resource)
        return copy.deepcopy(after)

    def _follow(self, resource):
        """Do what HyperConverged's operator does."""
        if resource.plural != HYPERCONVERGED_V1.plural or not self.follows:
            return
        hyperconverged = next(iter(self.objects[key_of(HYPERCONVERGED_V1)].values()))
        kubevirt = next(iter(self.objects[key_of(KUBEVIRTS)].values()))
        disabled = dig(hyperconverged, "spec", "virtualization", "virtualMachineOptions", OPTION)
        kubevirt["spec"]["configuration"] = {"virtualMachineOptions": {OPTION: {}}} if disabled else {}

    async def delete(self, resource, name, *, namespace=None, grace_s=None, propagation="Background"):
        self._allow("delete", resource)
        self._remove(resource, namespace or self.namespace, name)

    def _remove(self, resource, namespace, name):
        obj = self.objects.get(key_of(resource), {}).get((namespace, name))
        if obj is None or dig(obj, "metadata", "finalizers"):
            return
        del self.objects[key_of(resource)][namespace, name]
        for kind in (PODS, VMIS, CONFIG_MAPS):
            for owned in list(self.objects.get(key_of(kind), {}).values()):
                owners = dig(owned, "metadata", "ownerReferences") or ()
                if any(o["uid"] == obj["metadata"]["uid"] for o in owners):
                    self._remove(kind, namespace_of(owned), name_of(owned))

    async def served_versions(self, group):
        return self.served.get(group, [])

    async def server_version(self):
        return "v1.31.2"

    async def may(self, verb, resource, *, namespace, subresource=""):
        plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
        return (verb, plural) not in self.forbidden

    async def put_subresource(self, resource, name, subresource, *, namespace, body=None):
        self._allow("update", resource, subresource)
        strategy = self.peek(VMS, namespace, name)["spec"].get("runStrategy")
        if strategy in {"Halted", "Once"}:
            why = f"RunStategy {strategy} does not support manual restart requests"
            raise ConflictError(f"update virtualmachines/restart {name}: {why}", status=409)
        self._remove(VMIS, namespace, name)
        self.start(namespace, name)

    async def read_log(self, pod, *, namespace, container, tail_lines=None, limit_bytes=None, limit_s=None):
        self._allow("get", PODS, "log")
        log = self.logs.get((namespace, pod), "")
        if isinstance(log, Exception):
            raise log
        return log.encode()[:limit_bytes].decode()

    async def run(self, pod, command, *, namespace, container, timeout_s=30.0):
        self._allow("create", PODS, "exec")
        xml = self.domains.get((namespace, pod), {}).get(command[:2][-1] == "-c")
        if xml is None:
            return ExecResult(b"", b"error: failed to get domain\n", 1)
        return ExecResult(xml.encode(), b"", 0)


def _selects(selector, labels):
    """Whether a label selector of the kinds "key=value" and "key" selects an object with these labels."""
    wanted = [pair.partition("=") for pair in selector.split(",")] if selector else []
    return all(key in labels and (not equals or labels[key] == value) for key, equals, value in wanted)


def _as_served(resource, obj):
    """Return a copy in the version that was asked for: HyperConverged's two hold the option under different keys."""
    obj = copy.deepcopy(obj)
    if resource == HYPERCONVERGED_V1BETA1:
        obj["spec"] = obj["spec"].get("virtualization", {})
        obj["apiVersion"] = resource.api_version
    return obj


def _as_stored(resource, obj):
    obj = copy.deepcopy(obj)
    if resource == HYPERCONVERGED_V1BETA1:
        obj["spec"] = {"virtualization": obj["spec"]}
        obj["apiVersion"] = HYPERCONVERGED_V1.api_version
    return obj


def _check_option(resource, obj):
    """Refuse another type than the schema has."""
    paths = {
        KUBEVIRTS: (dict, "spec", "configuration"),
        HYPERCONVERGED_V1BETA1: (bool, "spec"),
        HYPERCONVERGED_V1: (bool, "spec", "virtualization"),
    }
    if resource not in paths:
        return
    kind, *path = paths[resource]
    value = dig(obj, *path, "virtualMachineOptions", OPTION)
    if value is not None and not isinstance(value, kind):
        raise InvalidError(f"{OPTION}: Invalid value: {value!r}", status=422)


def serve(monkeypatch, cluster):
    """Have every command find this cluster, whatever it logs in with."""

    @asynccontextmanager
    async def open_cluster(login, **_):
        cluster.login = login
        if login.namespace:
            cluster.namespace = login.namespace
        yield cluster

    for module in ("cli.cluster_options", "targets.cluster.survey"):
        monkeypatch.setattr(f"freepage.{module}.open_cluster", open_cluster)
