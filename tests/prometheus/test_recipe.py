"""Configurations for samples every second: what a Prometheus, its operator and OpenShift take."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import yaml

from freepage.analysis.prometheus import describe_pace
from freepage.cache import cache_folder
from freepage.cli.main import main
from freepage.prometheus.profile import Scope, fill_query, parse_profile, read_profile
from freepage.prometheus.recipe import RecipeKind, write_recipe

PACKAGED = cache_folder() / "package-prometheus/usr/bin/promtool"
PROMTOOL = shutil.which("promtool") or (PACKAGED if PACKAGED.exists() else None)
# Which collector of node-exporter each metric of ours comes from, by how its name begins.
COLLECTORS = {
    "node_memory": "meminfo",
    "node_in_use": "meminfo",
    "node_vmstat": "vmstat",
    "node_pressure": "pressure",
    "node_ksmd": "ksmd",
    "node_cpu": "cpu",
}


def objects(kind):
    return {o["kind"]: o for o in yaml.safe_load_all(write_recipe(kind, "bench"))}


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed and not in freepage's cache"
)
def test_prometheus_own_checker_takes_the_configuration(tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(write_recipe(RecipeKind.PROMETHEUS, "bench"))
    checked = subprocess.run(
        [str(PROMTOOL), "check", "config", str(path)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed and not in freepage's cache"
)
def test_prometheus_own_checker_takes_every_query_of_the_profile(tmp_path):
    scope = Scope({"worker-1": "10.0.0.7:9100"}, "bench", "freepage-1-")
    queries = [fill_query(metric, scope) for metric in parse_profile(read_profile())]
    rules = [{"record": f"taken:{n}", "expr": query} for n, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "profile", "rules": rules}]}))
    checked = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_nodes_are_scraped_every_second_and_no_scrape_outlasts_its_interval():
    (job,) = yaml.safe_load(write_recipe(RecipeKind.PROMETHEUS, "bench"))["scrape_configs"]
    assert (job["scrape_interval"], job["scrape_timeout"]) == ("1s", "1s")
    for kind in (RecipeKind.OPERATOR, RecipeKind.OPENSHIFT):
        (endpoint,) = objects(kind)["ServiceMonitor"]["spec"]["endpoints"]
        assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("1s", "1s")


@pytest.mark.parametrize("kind", [RecipeKind.OPERATOR, RecipeKind.OPENSHIFT])
def test_a_monitor_finds_its_exporter_in_its_own_namespace_and_names_nodes(kind):
    found = objects(kind)
    daemons, service, monitor = (found[k] for k in ("DaemonSet", "Service", "ServiceMonitor"))
    assert {o["metadata"]["namespace"] for o in (daemons, service, monitor)} == {"bench"}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    pods = daemons["spec"]["template"]
    assert service["spec"]["selector"].items() <= pods["metadata"]["labels"].items()
    assert "namespaceSelector" not in monitor["spec"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {p["name"] for p in service["spec"]["ports"]}
    assert {"targetLabel": "instance", "sourceLabels": ["__meta_kubernetes_pod_node_name"]} in endpoint[
        "relabelings"
    ]


def test_the_exporter_needs_no_privileges_and_nothing_of_the_node():
    pod = objects(RecipeKind.OPENSHIFT)["DaemonSet"]["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "volumes"} & pod.keys()
    security = pod["containers"][0]["securityContext"]
    assert (security["allowPrivilegeEscalation"], security["capabilities"]) == (False, {"drop": ["ALL"]})


def test_the_exporter_has_every_number_of_a_node_that_is_asked_for():
    (container,) = objects(RecipeKind.OPERATOR)["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    asked = {m.id for m in parse_profile(read_profile()) if m.source == "node-exporter"}
    assert asked
    for id_ in asked:
        collector = next(c for start, c in COLLECTORS.items() if id_.startswith(start))
        assert f"--collector.{collector}" in container["args"]


def test_openshift_has_user_projects_monitored_and_its_platform_left_alone():
    found = objects(RecipeKind.OPENSHIFT)
    config = found["ConfigMap"]
    assert (config["metadata"]["namespace"], config["metadata"]["name"]) == (
        "openshift-monitoring",
        "cluster-monitoring-config",
    )
    assert yaml.safe_load(config["data"]["config.yaml"]) == {"enableUserWorkload": True}
    assert set(objects(RecipeKind.OPERATOR)) == set(found) - {"ConfigMap"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--recipe",), "scrape_configs:"),
        (("--recipe", "operator", "-n", "mine"), "namespace: mine"),
        (("--recipe", "openshift"), "namespace: freepage"),
    ],
)
def test_a_recipe_is_printed_without_a_run_and_without_a_cluster(capsys, arguments, words):
    assert main(["prometheus", *arguments]) == 0
    out = capsys.readouterr().out
    assert words in out
    assert list(yaml.safe_load_all(out))


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [((), "RUN"), (("--prometheus", "http://h:9090"), "RUN"), (("run",), "--prometheus URL")],
)
def test_what_is_missing_to_collect_is_named(capsys, arguments, missing):
    assert main(["prometheus", *arguments]) == 2
    assert f"{missing} is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sampled_s", "words"),
    [
        (1.0, "every 1 s."),
        (1.5, "every 1.5 s."),
        (1.6, "every 1.6 s, not every second"),
        (15.0, "every 15 s, not every second"),
        (None, ""),
    ],
)
def test_samples_further_apart_than_a_second_and_a_half_are_told(sampled_s, words):
    said = describe_pace(
        [("node_memory_MemFree_bytes", sampled_s), ("kubevirt_vmi_memory_resident_bytes", 30.0)]
    )
    assert words in said
    assert (said == "") is (sampled_s is None)
    assert ("--recipe" in said) is (sampled_s is not None and sampled_s > 1.5)
