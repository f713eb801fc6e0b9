"""What a run that was killed leaves in a (fake) cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from freepage.kube.resources import CONFIG_MAPS, PODS, SECRETS, VMIS
from freepage.targets.cluster.leftovers import ALIVE
from freepage.targets.cluster.manifests import build_labels, build_owner_reference
from freepage.targets.cluster.owner import build_owner


def add_pod(cluster, run, name, owned_by=None, **metadata):
    made = {"name": name, "namespace": "bench", "labels": build_labels(run, "pod"), **metadata}
    if owned_by is not None:
        made["ownerReferences"] = [build_owner_reference(owned_by)]
    return cluster.add(PODS, {"metadata": made, "spec": {}, "status": {"phase": "Running"}})


def add_crashed_run(cluster, run="r1", silent_s=3600):
    """Leave what a run that was killed leaves: its owner, a VM with its launcher, a pod, a Secret."""
    made = build_owner(run, "bench")
    last = datetime.now(UTC) - timedelta(seconds=silent_s)
    made["metadata"]["annotations"][ALIVE] = last.isoformat(timespec="seconds")
    owning = cluster.add(CONFIG_MAPS, made)
    add_pod(cluster, run, f"{run}-pod", owning)
    labels = build_labels(run, "vm")
    reference = [build_owner_reference(owning)]
    cluster.add_instance("bench", f"{run}-vm", labels=labels, metadata={"ownerReferences": reference})
    secret = {"name": f"{run}-seed", "namespace": "bench", "labels": build_labels(run, "user-data")}
    cluster.add(SECRETS, {"metadata": secret})


def names_left(cluster):
    kinds = (CONFIG_MAPS, PODS, VMIS, SECRETS)
    return [name for k in kinds for _, name in cluster.objects.get((k.group, k.plural), {})]
