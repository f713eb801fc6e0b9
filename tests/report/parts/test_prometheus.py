"""What is made of a Prometheus' samples of a run whose truth is known: differences, figures, table."""

from __future__ import annotations

import csv
import json
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from freepage.analysis.prometheus import add_series, find_vmi, in_use_series
from freepage.analysis.results import build_results
from freepage.analysis.series import Series, metric_series
from freepage.prometheus.answers import MetricAnswer, describe_answer
from freepage.prometheus.profile import parse_profile, read_profile
from freepage.records import Arm
from freepage.report.export import export_run
from freepage.report.figures import draw_figures
from freepage.report.page import render_page
from freepage.store import PrometheusSamples, load_run, write_prometheus
from freepage.units import GIB, MIB
from helpers.modelled_run import Truth, write_run

PARTS = {
    "node_memory_MemTotal_bytes": "mem_total_bytes",
    "node_memory_MemFree_bytes": "mem_free_bytes",
    "node_memory_Cached_bytes": "mem_cached_bytes",
    "node_memory_Buffers_bytes": "mem_buffers_bytes",
    "node_memory_SReclaimable_bytes": "mem_sreclaimable_bytes",
}
AHEAD_S = 120.0
SCRAPE_S = 5.0


def write_collected(folder, *, nodes=("n1",), error_bytes=0.0, held_s=10.0):
    """Write what a Prometheus would have: its clock AHEAD_S ahead, node values plus an error, VMs' values held for a while."""
    run = load_run(folder)
    # In the modelled run all trials have the same zero: Prometheus saw the first two, one after the other.
    for n, trial in enumerate(run.trials):
        record = json.loads((trial.folder / "trial.json").read_text())
        record["wall_zero"] = datetime.fromtimestamp(1767323045 + 300 * n).astimezone().isoformat()
        (trial.folder / "trial.json").write_text(json.dumps(record))
    points = {}
    for trial in load_run(folder).trials:
        zero_s = datetime.fromisoformat(trial.record.wall_zero).timestamp() + AHEAD_S
        times = np.arange(-5.0, trial.record.planned_duration_s, SCRAPE_S)
        for theirs, ours in PARTS.items():
            series = metric_series(trial, "node", ours)
            values = np.interp(times, series.t_s, series.values)
            values -= error_bytes if ours == "mem_free_bytes" else 0
            for node in nodes:
                points.setdefault((theirs, node), []).extend(
                    zip(zero_s + times, values / len(nodes), strict=True)
                )
        for name in () if trial.record.arm is Arm.POD else trial.schedules:
            series = metric_series(trial, name, "rss_bytes")
            values = np.interp(np.floor(times / held_s) * held_s, series.t_s, series.values)
            entity = f"freepage-abc123-{trial.record.order + 1}-{name}"
            points[RESIDENT, entity] = list(zip(zero_s + times, values, strict=True))
    write_prometheus(folder, build_collected(points, nodes))


RESIDENT = "kubevirt_vmi_memory_resident_bytes"


def build_collected(points, nodes):
    rows = [(t, metric, entity, v) for (metric, entity), found in points.items() for t, v in found]
    metrics = [
        describe_answer(
            MetricAnswer(m, m.query, {e: found for (name, e), found in points.items() if name == m.id})
        )
        for m in parse_profile(read_profile())
    ]
    info = {
        "url": "https://thanos.example",
        "version": "0.35",
        "collected_at": "2026-01-02T04:00:00+00:00",
        "clock": {"offset_s": AHEAD_S, "uncertainty_s": 0.01},
        "nodes": dict.fromkeys(nodes, "10.0.0.7:9100"),
        "namespace": "fp",
        "warnings": ["a store <away>"],
        "metrics": metrics,
    }
    schema = {"wall_s": pl.Float64, "metric": pl.String, "entity": pl.String, "value": pl.Float64}
    return PrometheusSamples(info, pl.DataFrame(rows, schema=schema, orient="row"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus") / "run"
    write_run(folder, Truth(repeats=1, node_noise_bytes=0.0))
    write_collected(folder, error_bytes=64 * MIB)
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return build_results(load_run(folder))


def metric_of(results, name):
    return next(m for m in results.prometheus.metrics if m.id == name)


def test_a_known_error_is_found_as_the_difference_over_all_trials(results):
    found = metric_of(results, "node_memory_MemFree_bytes").difference
    assert found.value == pytest.approx(-64 * MIB, abs=MIB)
    assert found.low <= found.value <= found.high
    assert found.n > 40
    assert metric_of(results, "node_memory_Cached_bytes").difference.value == 0


def test_a_value_prometheus_holds_back_shows_as_slow_and_as_a_wide_difference(results):
    found = metric_of(results, RESIDENT)
    assert (found.refresh_s, found.sampled_s, found.changed_s) == (3.25, 5.0, 10.0)
    assert found.difference.high - found.difference.low > 100 * MIB


def test_where_there_is_nothing_to_compare_there_is_no_difference(results):
    assert metric_of(results, "kubevirt_vmi_memory_unused_bytes").difference is None
    assert metric_of(results, "node_cpu_util_cores").difference is None


def test_nodes_are_added_up_before_they_are_compared_with_all_of_ours(tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1, node_noise_bytes=0.0))
    write_collected(tmp_path / "run", nodes=("n1", "n2"))
    run = load_run(tmp_path / "run")
    assert metric_of(build_results(run), "node_memory_MemFree_bytes").difference.value == pytest.approx(
        0, abs=MIB
    )
    assert in_use_series(run.prometheus, run.trials[0]).values.min() == pytest.approx(2 * GIB)
    run.prometheus.info["nodes"]["n3"] = None
    assert metric_of(build_results(run), "node_memory_MemFree_bytes").difference is None


def test_series_are_added_where_all_are_there():
    one = Series(np.array([0.0, 10.0]), np.array([1.0, 1.0]))
    other = Series(np.array([5.0, 15.0]), np.array([2.0, 4.0]))
    added = add_series([one, other], 2)
    assert added.t_s.tolist() == [5.0, 10.0]
    assert added.values.tolist() == [3.0, 4.0]
    assert len(add_series([one], 2).t_s) == 0


@pytest.mark.parametrize(
    ("entity", "instance"),
    [
        ("freepage-abc123-{n}-random-0", "random-0"),
        ("virt-launcher-freepage-abc123-{n}-random-1-x7k2p/compute", "random-1"),
        ("virt-launcher-freepage-abc123-{n}-random-1-x7k2p/guest-console-log", None),
        ("freepage-abc123-{n}-random-0/worker", "random-0"),
        ("freepage-abc123-9{n}-random-0", None),
        ("somebody-elses", None),
    ],
)
def test_a_vm_or_container_is_found_among_the_trials_instances_by_its_name(folder, entity, instance):
    trial = next(t for t in load_run(folder).trials if t.record.experiment == "random")
    assert find_vmi(entity.format(n=trial.record.order + 1), trial) == instance


def test_the_figures_show_both_at_their_own_times(folder, results):
    figures = {f.id: f for f in draw_figures(load_run(folder), results)}
    node, vms = figures["prometheus-node"], figures["prometheus-vms"]
    assert node.title == "Prometheus sees the node's memory every 5 s, freepage every 500 ms"
    assert vms.title == "KubeVirt shows what VMs take of the node every 10 s"
    assert (node.arms, vms.arms) == (("pod", "vm", "vm-fpr"), ("vm", "vm-fpr"))
    (rows,) = node.spec["datasets"].values() if "datasets" in node.spec else [node.spec["data"]["values"]]
    seen = [r["t"] for r in rows if r["by"] == "Prometheus" and r["arm"] == Arm.VM]
    assert seen == pytest.approx([0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0])


@pytest.mark.long
def test_the_page_has_a_section_only_where_prometheus_was_asked(folder, results, tmp_path):
    page = render_page(load_run(folder), results)
    section = page[page.index('<section id="prometheus">') :]
    section = section[: section.index('id="tables"')]
    assert "120.00 s ahead of ours" in section
    assert "a store &lt;away&gt;" in section
    assert "Prometheus sampled nodes every 5 s, not every second" in section
    assert 'id="prometheus-node"' in section
    assert 'id="table-prometheus"' in section
    write_run(tmp_path / "run", Truth(repeats=1))
    other = load_run(tmp_path / "run")
    assert "What Prometheus saw" not in render_page(other, build_results(other))
    assert build_results(other).prometheus is None


def test_the_table_is_exported_with_the_differences_in_bytes(folder, tmp_path):
    paths = {p.stem: p for p in export_run(folder, "csv", tmp_path)}
    rows = {r["metric"]: r for r in csv.DictReader(paths["prometheus"].open())}
    row = rows["node_memory_MemFree_bytes"]
    assert float(row["difference from ours"]) == pytest.approx(-64 * MIB, abs=MIB)
    assert (row["expected"], row["samples"], row["difference from ours unit"]) == ("15 s", "5 s", "bytes")
