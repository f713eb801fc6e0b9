"""Manifests of earlier schemas, brought to the present one a step at a time: stored runs stay readable for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# A run of schema 1 was judged by this where its study did not say otherwise, and below this scale it decided nothing.
SCHEMA_1_RULE = {
    "min_given_back_fraction": 0.5,
    "max_given_back_fraction_without": 0.1,
    "max_reallocation_penalty": 2.0,
    "max_extra_cpu_s_per_gib": 1.0,
    "max_extra_cpu_cores_per_vm": 0.2,
    "min_io_ratio": 0.9,
}
SCHEMA_1_SMOKE_SCALE = 0.015
# Limits that the rule of a run of schema 2 did not have: it is not judged by them.
LIMITS_OF_SCHEMA_3 = ("min_saved_of_possible_fraction", "max_added_peak_fraction")


def upgrade_manifest(content: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest's content in the present schema; one of an unknown schema comes back as it is."""
    while (upgrade := UPGRADES.get(content.get("schema", 0))) is not None:
        content = upgrade(content)
    return content


def _from_1_to_2(content: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest that did not yet say how it is judged, with what judged it then."""
    tools = {
        "vm_disk" if name == "machine_disk" else name: version for name, version in content["tools"].items()
    }
    upgraded = content | {
        "schema": 2,
        "tools": tools,
        "smoke": content["scale"] < SCHEMA_1_SMOKE_SCALE,
        "verdict_rule": SCHEMA_1_RULE | content["verdict_rule"],
    }
    return upgraded | (_describe_cluster(content["tools"]) if content["target"] == "cluster" else {})


def _from_2_to_3(content: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest whose rule did not yet limit the peak, and what must be saved of the possible, judged as it was then."""
    rule = dict.fromkeys(LIMITS_OF_SCHEMA_3) | content["verdict_rule"]
    return content | {"schema": 3, "verdict_rule": rule}


def _describe_cluster(tools: dict[str, str]) -> dict[str, Any]:
    """Return the words of a cluster, from its versions, that a manifest of schema 1 left to its reader."""
    versions = [
        f"{name} {tools[name.lower()]}" for name in ("KubeVirt", "Kubernetes") if name.lower() in tools
    ]
    title = f"a cluster ({', '.join(versions)})" if versions else "a cluster"
    return {"target_noun": "nodes", "target_title": title, "node_is_fixed": True}


# By the schema that each begins with; it ends with the next.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1_to_2, 2: _from_2_to_3}
