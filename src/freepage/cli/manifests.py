"""Prints every object a run would create in a cluster, as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.cluster.resources import Object
    from freepage.run import Prepared
    from freepage.targets.cluster.site import ClusterSite

# What stands for a run that has no name yet.
DRY_RUN = "dryrun"


def print_manifests(site: ClusterSite, prepared: Prepared) -> None:
    """Print the objects in the order they would be created; binaries are left out, with their size in their place."""
    import yaml

    for words, obj in list_manifests(site, prepared):
        print(f"---\n# {words}")
        print(yaml.safe_dump(_without_binaries(obj), sort_keys=False, width=120), end="")


def list_manifests(site: ClusterSite, prepared: Prepared) -> Iterator[tuple[str, Object]]:
    """Give each object with what it is for."""
    from freepage.cluster.manifests import build_sampler_pod, build_worker_map
    from freepage.cluster.owner import build_owner
    from freepage.targets.cluster.instances import build_instance, build_place
    from freepage.targets.cluster.nodes import node_command, sampler_name
    from freepage.worker.build import build_worker

    place = build_place(site, DRY_RUN, None, max(t.duration_s for t in prepared.trials))
    yield "owns everything below, which goes with it", build_owner(place.run, place.namespace)
    yield "the worker's binary", build_worker_map(place, build_worker().read_bytes())
    command = node_command(prepared.study.interval_s)
    for number, node in enumerate(site.node_names):
        name = sampler_name(place, number)
        pod = build_sampler_pod(place, name, node, str(site.choices.image_for_pods), command)
        yield f"samples node {node}", pod
    for trial in prepared.trials:
        for number, plan in enumerate(trial.instances):
            manifests = build_instance(place, site, number, trial, plan)
            for obj in (*manifests.secrets, manifests.main):
                yield f"trial {trial.id}", obj


def _without_binaries(obj: Object) -> Object:
    """Put its size in the place of what is not to be read."""
    shown = dict(obj)
    for key in ("binaryData", "data"):
        if obj.get("kind") in {"ConfigMap", "Secret"} and key in obj:
            shown[key] = {name: f"<{len(value)} bytes of base64>" for name, value in obj[key].items()}
    return shown
