"""The queries to a Prometheus (profile.toml), filled in for one run's nodes, pods and VMs."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# KubeVirt runs a VM in a pod whose name begins so.
LAUNCHER = "virt-launcher-"
DAY_S = 86400


@dataclass(frozen=True)
class ProfileMetric:
    """One metric to ask for; profile.toml explains the fields.

    step_s: None for samples at their own times. before_s: None for the span of the run itself.
    """

    id: str
    source: str
    about: str
    entity: tuple[str, ...]
    query: str
    unit: str
    kind: str
    meaning: str
    refresh_s: float
    refresh_why: str
    step_s: float | None = None
    before_s: int | None = None
    ours: str | None = None

    @property
    def raw(self) -> bool:
        """True where the samples come as they are stored."""
        return self.step_s is None


@dataclass(frozen=True)
class Scope:
    """The subject of one run: its nodes by name with their `instance` label, its namespace, how its names begin."""

    nodes: Mapping[str, str]
    namespace: str | None = None
    names: str = ""

    def covers(self, about: str) -> bool:
        """Return whether there is anything of this kind to ask about."""
        return bool(self.nodes) if about == "node" else self.namespace is not None


def read_profile() -> str:
    """Return the profile's text."""
    return (resources.files("freepage.prometheus") / "profile.toml").read_text(encoding="utf-8")


def parse_profile(text: str) -> list[ProfileMetric]:
    """Read every metric of a profile, in its order."""
    return [
        ProfileMetric(**_common(source), **metric)
        for source in tomllib.loads(text)["source"]
        for metric in source["metric"]
    ]


def _common(source: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that all metrics of a source share."""
    shared = {key: value for key, value in source.items() if key not in {"name", "metric"}}
    return shared | {"source": source["name"], "entity": tuple(source["entity"])}


def fill_query(metric: ProfileMetric, scope: Scope) -> str:
    """Return a metric's query with the run's label matchers in it."""
    namespace, names = f"namespace={json.dumps(scope.namespace)}", re.escape(scope.names) + ".*"
    return Template(metric.query).substitute(
        nodes=_matcher("instance", "|".join(re.escape(i) for i in scope.nodes.values())),
        pods=f"{namespace},{_matcher('pod', f'({LAUNCHER})?{names}')}",
        vms=f"{namespace},{_matcher('name', names)}",
    )


def _matcher(label: str, regex: str) -> str:
    # PromQL's strings have JSON's escapes.
    return f"{label}=~{json.dumps(regex)}"


def name_entity(metric: ProfileMetric, labels: Mapping[str, str], scope: Scope) -> str:
    """Return the entity of a series: the node's own name, "POD/CONTAINER", or the VM's name."""
    name = "/".join(labels.get(label, "") for label in metric.entity)
    by_instance = {instance: node for node, instance in scope.nodes.items()}
    return by_instance.get(name, name) if metric.about == "node" else name


def find_instances(names: Iterable[str], seen: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Find the `instance` label of each node, from the series of node-exporter and kube-state-metrics there are.

    It is the node's name on OpenShift, and an address elsewhere: then the host's own name (node_uname_info) or the
    node's address (kube_node_info) tells. A node without any is left out.
    """
    series = list(seen)
    addresses = {s.get("node"): s.get("internal_ip") for s in series if s["__name__"] == "kube_node_info"}
    exporters = [s for s in series if s["__name__"] != "kube_node_info" and s.get("instance")]
    found: dict[str, str] = {}
    for name in names:
        wanted = {name, addresses.get(name)} - {None, ""}
        for label in ("instance", "host", "node", "nodename"):
            matching = (s["instance"] for s in exporters if _with_host(s).get(label) in wanted)
            if name not in found and (instance := next(matching, None)) is not None:
                found[name] = instance
    return found


def _with_host(series: Mapping[str, str]) -> dict[str, str]:
    """Add the host part of an instance's ADDRESS:PORT."""
    return {**series, "host": series["instance"].rpartition(":")[0].strip("[]")}


def describe_profile() -> str:
    """Return the section of docs/metrics.md on Prometheus."""
    head = (
        "\n## Prometheus\n\n"
        "With `--prometheus`; made from `src/freepage/prometheus/profile.toml`, which has the queries. Entities: the node's name,\n"
        "`POD/CONTAINER`, the VM's name. Samples come as they are stored, at their own times; expressions are evaluated at steps.\n"
    )
    parts = [head]
    profile = parse_profile(read_profile())
    for source in dict.fromkeys(m.source for m in profile):
        metrics = [m for m in profile if m.source == source]
        first = metrics[0]
        rows = "".join(_describe(m) for m in metrics)
        parts.append(
            f"\n### {source}\n\nAbout: {first.about}. Expected to be new every {first.refresh_s:g} s: {first.refresh_why}.\n\n"
            f"| id | unit | kind | asked for | meaning | freepage's own |\n|---|---|---|---|---|---|\n{rows}"
        )
    return "".join(parts)


def _describe(metric: ProfileMetric) -> str:
    asked = "samples" if metric.step_s is None else f"expression, every {metric.step_s:g} s"
    asked += f" of the {metric.before_s / DAY_S:g} days before" if metric.before_s else ""
    own = "" if metric.ours is None else metric.ours if " " in metric.ours else f"`{metric.ours}`"
    return f"| `{metric.id}` | {metric.unit} | {metric.kind} | {asked} | {metric.meaning} | {own} |\n"
