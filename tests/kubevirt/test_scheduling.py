"""Why a VM has no node."""

from __future__ import annotations

from freepage.kubevirt.scheduling import find_unscheduled


def test_a_pod_no_node_takes_says_why():
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    assert find_unscheduled({"status": {"conditions": [condition]}}) == "0/2 nodes are available"
    assert find_unscheduled({"status": {"conditions": [condition | {"status": "True"}]}}) is None
    assert find_unscheduled({}) is None


def test_a_vm_whose_launcher_was_refused_says_why():
    words = 'pods "virt-launcher-x" is forbidden: exceeded quota: small'
    condition = {"type": "Synchronized", "status": "False", "reason": "FailedCreate", "message": words}
    assert find_unscheduled({"status": {"phase": "Pending", "conditions": [condition]}}) == words
