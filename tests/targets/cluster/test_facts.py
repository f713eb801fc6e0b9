"""Nodes of several architectures and systems: which are measured, and what is told of the others."""

from __future__ import annotations

import pytest

from freepage.errors import HostError
from freepage.image.architecture import find_host_architecture
from freepage.targets.cluster.facts import architecture_of, choose_nodes, describe_left_out
from helpers.outlines import node

CONTROL = {"node-role.kubernetes.io/control-plane": ""}
MIXED = [
    node("amd-1", memory="128Gi"),
    node("amd-2", memory="128Gi"),
    node("arm-1", memory="256Gi", architecture="arm64"),
]


def names(nodes):
    return [n["metadata"]["name"] for n in nodes]


@pytest.mark.parametrize("with_vms", [True, False])
@pytest.mark.parametrize(("architecture", "chosen"), [("amd64", "amd-2"), ("arm64", "arm-1")])
def test_the_largest_node_of_the_workers_architecture_is_measured(with_vms, architecture, chosen):
    assert names(choose_nodes(MIXED, (), with_vms=with_vms, architecture=architecture)) == [chosen]


@pytest.mark.skipif(
    find_host_architecture() is None, reason="a host of an architecture freepage does not know"
)
def test_the_architecture_is_this_hosts_where_none_is_named():
    (chosen,) = choose_nodes(MIXED, (), with_vms=True)
    assert architecture_of(chosen) == find_host_architecture().name


def test_a_control_plane_is_measured_where_no_worker_has_the_architecture():
    nodes = [node("control", labels=CONTROL), *(node(f"arm-{n}", architecture="arm64") for n in range(3))]
    assert names(choose_nodes(nodes, (), with_vms=True, architecture="amd64")) == ["control"]


def test_a_node_of_another_architecture_is_refused_by_name_with_what_would_do():
    with pytest.raises(HostError) as refusal:
        choose_nodes(MIXED, ("arm-1",), with_vms=True, architecture="amd64")
    assert refusal.value.message == "node arm-1 is arm64, and what runs on nodes is built here for amd64"
    assert "run freepage on arm64" in refusal.value.hint


def test_a_cluster_without_a_node_of_the_architecture_is_refused_with_those_it_has():
    with pytest.raises(HostError, match="no node of the cluster takes this work") as refusal:
        choose_nodes(MIXED, (), with_vms=True, architecture="s390x")
    assert "arm-1 is arm64, and what runs on nodes is built here for s390x" in refusal.value.hint
    with pytest.raises(HostError) as refusal:
        choose_nodes([], (), with_vms=True, architecture="amd64")
    assert refusal.value.hint == "it has none"


def test_a_node_that_does_not_say_its_architecture_is_not_taken_for_one_that_fits():
    silent = node("silent", architecture=None)
    with pytest.raises(HostError) as refusal:
        choose_nodes([silent], (), with_vms=True, architecture="amd64")
    assert "silent does not say its architecture" in refusal.value.hint
    old = node("old")
    del old["metadata"]["labels"]["kubernetes.io/arch"]
    assert choose_nodes([old], (), with_vms=True, architecture="amd64") == (old,)


def test_a_node_that_runs_windows_takes_nothing():
    windows = node("win-1", memory="512Gi", labels={"kubernetes.io/os": "windows"})
    assert names(choose_nodes([windows, *MIXED], (), with_vms=False, architecture="amd64")) == ["amd-2"]
    with pytest.raises(HostError, match="node win-1 runs windows"):
        choose_nodes([windows], ("win-1",), with_vms=False, architecture="amd64")


def test_nodes_left_out_by_their_architecture_are_named():
    cordoned = node("arm-2", architecture="arm64", unschedulable=True)
    words = describe_left_out([*MIXED, cordoned], with_vms=True, architecture="amd64")
    expected = "left out by their architecture: arm-1 (arm64); what runs on nodes is built here for amd64"
    assert words == expected
    assert describe_left_out(MIXED[:2], with_vms=True, architecture="amd64") is None
    many = [node(f"arm-{n}", architecture="arm64") for n in range(7)]
    assert "arm-4 (arm64) and 2 more;" in describe_left_out(many, with_vms=True, architecture="amd64")
