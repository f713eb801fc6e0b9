"""KubeVirt's rule, recorded once: freepage's reading of it and both stand-ins for KubeVirt are held to its cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freepage.fpr.domain_xml import find_domain_xml, parse_balloon
from freepage.fpr.eligibility import assess_all, assess_instance
from freepage.fpr.rule import find_exclusions, read_setting
from freepage.kube.resources import KUBEVIRTS
from helpers.fake_cluster import FakeCluster
from lab.virt import decides_for_reporting

RULE = json.loads((Path(__file__).parents[1] / "recorded/kubevirt-rule.json").read_text(encoding="utf-8"))
CASES = RULE["cases"]
CONDITIONS = {"cluster", "balloon", "dedicated CPUs", "realtime", "huge pages", "annotation"}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])


def kubevirt_of(case):
    return {
        "kind": "KubeVirt",
        "metadata": {"namespace": "kubevirt", "name": "kubevirt"},
        "spec": {"configuration": case.get("configuration", {})},
    }


def instance_of(case):
    return {
        "kind": "VirtualMachineInstance",
        "metadata": {
            "namespace": "shop",
            "name": "db",
            "labels": case.get("labels", {}),
            "annotations": case.get("annotations", {}),
        },
        "spec": case["spec"],
        "status": {"guestOSInfo": case.get("guest", {"id": "fedora", "kernelRelease": "6.8.5"})},
    }


@every_case
def test_freepage_expects_of_a_running_vm_what_kubevirt_does(case):
    setting = read_setting([kubevirt_of(case)])
    assert assess_instance(instance_of(case), setting).expected is (case["balloon"] == "on")


@every_case
def test_freepage_expects_of_a_stopped_vm_what_kubevirt_will_do(case):
    instance = instance_of(case)
    template = {"metadata": instance["metadata"], "spec": instance["spec"]}
    vm = {"kind": "VirtualMachine", "metadata": {"name": "db"}, "spec": {"template": template}}
    _, (found,) = assess_all([kubevirt_of(case), vm])
    assert found.expected is (case["balloon"] == "on")


@every_case
def test_the_test_clusters_kubevirt_decides_as_the_real_one(case):
    assert decides_for_reporting(instance_of(case), kubevirt_of(case)) is (case["balloon"] == "on")


@every_case
def test_the_fake_cluster_defines_the_domain_that_the_real_one_would(case):
    cluster = FakeCluster()
    cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")["spec"] = kubevirt_of(case)["spec"]
    template = {"metadata": {"annotations": case.get("annotations")}, "spec": case["spec"]}
    cluster.add_instance("shop", "db", template=template, labels=case.get("labels"))
    (log,) = cluster.logs.values()
    balloon = parse_balloon(find_domain_xml(log))
    assert (balloon.model == "none") is (case["balloon"] == "none")
    assert balloon.reporting is (case["balloon"] == "on")


def test_each_condition_is_recorded_both_as_met_and_as_not_met():
    met = {c["condition"] for c in CASES if c["balloon"] != "on"}
    unmet = {c["condition"] for c in CASES if c["balloon"] == "on"} - {None}
    assert met == unmet == CONDITIONS


def test_what_is_no_input_of_the_rule_excludes_nothing():
    others = [c for c in CASES if c["condition"] is None]
    assert len(others) > 10
    assert [find_exclusions(instance_of(c)) for c in others] == [()] * len(others)
