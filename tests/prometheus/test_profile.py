"""The profile's queries, filled in for a run, and the names of nodes and series."""

from __future__ import annotations

import re

import pytest

from freepage.metrics import COUNTER, GAUGE, METRICS
from freepage.prometheus.profile import (
    Scope,
    fill_query,
    find_instances,
    name_entity,
    parse_profile,
    read_profile,
)

PROFILE = {m.id: m for m in parse_profile(read_profile())}


def test_every_metric_of_the_profile_has_words_we_know():
    placeholders = {"node": "$nodes", "container": "$pods", "vm": "$vms"}
    for metric in PROFILE.values():
        assert metric.kind in {GAUGE, COUNTER}
        assert placeholders[metric.about] in metric.query
        assert not metric.raw or re.fullmatch(r"\w*\{[^{}]*\}", metric.query), "only a selector has samples"
        assert metric.refresh_s > 0
        assert metric.ours in {None, "in use"} | METRICS.keys()
        if metric.ours in METRICS:
            assert (METRICS[metric.ours].unit, METRICS[metric.ours].kind) == (metric.unit, metric.kind)
    assert len(PROFILE) == len(parse_profile(read_profile()))


def test_matchers_are_filled_in_and_no_name_can_break_out_of_them():
    scope = Scope({"n1": "10.0.0.1:9100", "n2": 'a"b'}, 'f"p', "freepage-1-")
    node = fill_query(PROFILE["node_memory_MemFree_bytes"], scope)
    assert node == r'node_memory_MemFree_bytes{instance=~"10\\.0\\.0\\.1:9100|a\"b"}'
    vm = fill_query(PROFILE["kubevirt_vmi_memory_resident_bytes"], scope)
    assert vm == r'kubevirt_vmi_memory_resident_bytes{namespace="f\"p",name=~"freepage\\-1\\-.*"}'
    pod = fill_query(PROFILE["container_memory_rss"], scope)
    assert r'pod=~"(virt-launcher-)?freepage\\-1\\-.*"' in pod


EXPORTERS = {
    "as OpenShift names it": ([{"instance": "worker-1"}], "worker-1"),
    "by a label of its own": ([{"instance": "10.0.0.7:9100", "node": "worker-1"}], "10.0.0.7:9100"),
    "by the host's own name": (
        [
            {"instance": "10.0.0.7:9100"},
            {"__name__": "node_uname_info", "instance": "10.0.0.7:9100", "nodename": "worker-1"},
        ],
        "10.0.0.7:9100",
    ),
    "by the node's address": (
        [
            {"instance": "10.0.0.77:9100"},
            {"instance": "10.0.0.7:9100"},
            {
                "__name__": "kube_node_info",
                "instance": "10.1.1.1:8080",
                "node": "worker-1",
                "internal_ip": "10.0.0.7",
            },
        ],
        "10.0.0.7:9100",
    ),
    "by its IPv6 address": (
        [
            {"instance": "[fd00::7]:9100"},
            {"__name__": "kube_node_info", "instance": "x", "node": "worker-1", "internal_ip": "fd00::7"},
        ],
        "[fd00::7]:9100",
    ),
    "not at all": ([{"instance": "10.0.0.8:9100", "nodename": "worker-2"}], None),
}


@pytest.mark.parametrize(("seen", "instance"), EXPORTERS.values(), ids=EXPORTERS.keys())
def test_a_node_is_found_wherever_its_name_stands(seen, instance):
    series = [{"__name__": "node_memory_MemTotal_bytes"} | labels for labels in seen]
    found = find_instances(["worker-1"], series)
    assert found == ({} if instance is None else {"worker-1": instance})


def test_what_a_series_is_of_is_named_by_its_labels():
    scope = Scope({"worker-1": "10.0.0.7:9100"}, "fp")
    assert (
        name_entity(PROFILE["node_memory_MemFree_bytes"], {"instance": "10.0.0.7:9100"}, scope) == "worker-1"
    )
    labels = {"pod": "p", "container": "worker", "namespace": "fp"}
    assert name_entity(PROFILE["container_memory_rss"], labels, scope) == "p/worker"


def test_what_is_added_up_on_the_server_counts_each_cpu_once_whoever_scraped_it():
    sums = [m.query for m in parse_profile(read_profile()) if "sum" in m.query]
    assert len(sums) == 3
    assert all(query.startswith("sum by (instance) (max by (instance, cpu, mode) (irate(") for query in sums)
