"""Configurations by which a Prometheus sees nodes every second, as the article's did."""

from __future__ import annotations

from enum import StrEnum
from importlib.resources import files
from string import Template


class RecipeKind(StrEnum):
    """The system that a configuration is for."""

    PROMETHEUS = "prometheus"
    OPERATOR = "operator"
    OPENSHIFT = "openshift"


# The files that make each of them up, in their order.
_PARTS = {
    RecipeKind.PROMETHEUS: ("prometheus",),
    RecipeKind.OPERATOR: ("operator", "exporter"),
    RecipeKind.OPENSHIFT: ("openshift", "exporter"),
}


def write_recipe(kind: RecipeKind, namespace: str) -> str:
    """Return a configuration as YAML: prometheus.yml, or objects for kubectl apply in a namespace."""
    folder = files("freepage.prometheus") / "recipes"
    text = "".join((folder / f"{part}.yaml").read_text(encoding="utf-8") for part in _PARTS[kind])
    return Template(text).substitute(namespace=namespace)
