"""Kubeconfigs of one context, and their entries alone."""

from __future__ import annotations

import json
from pathlib import Path

from freepage.kube.entries import ConfigEntry


def write_kubeconfig(path, cluster, user, **context):
    content = {
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u", **context}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def entry_of(value, folder=Path("/nowhere"), name='user "u"'):
    return ConfigEntry(value, folder / "config", name)
