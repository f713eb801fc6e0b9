"""Credential plugins: programs that a kubeconfig names to get a token or a certificate."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from typing import TYPE_CHECKING

from freepage.kube.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.kube.kubeconfig import ConfigEntry
    from freepage.kube.resources import Object

PLUGIN_LIMIT_S = 60.0


def run_plugin(user: ConfigEntry, cluster: ConfigEntry) -> Object:
    """Run a credential plugin and return its status (token, or certificate and key)."""
    plugin: Object = user.value["exec"] or {}
    command = str(plugin.get("command", ""))
    program = str(user.find_path(command)) if "/" in command else command
    try:
        done = subprocess.run(
            [program, *(plugin.get("args") or [])],
            env={**os.environ, **_plugin_environment(plugin, cluster)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PLUGIN_LIMIT_S,
            check=True,
        )
        return dict(json.loads(done.stdout)["status"])
    except subprocess.TimeoutExpired as error:
        reason = f"not done after {error.timeout:.0f} s"
    except subprocess.CalledProcessError as error:
        reason = f"exit status {error.returncode}: {error.stderr.decode(errors='replace').strip()[-500:]}"
    except OSError as error:
        reason = str(error.strerror)
    except (ValueError, KeyError, TypeError):
        reason = "it wrote no ExecCredential with a status"
    # From None: the cause holds what the plugin wrote, which may be the token.
    raise LoginError(
        f"credential plugin {command} of {user.file}: {reason}", hint=plugin.get("installHint")
    ) from None


def _plugin_environment(plugin: Object, cluster: ConfigEntry) -> Mapping[str, str]:
    spec: Object = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        authority = cluster.read_data("certificate-authority")
        spec["cluster"] = {
            "server": cluster.value.get("server"),
            **({"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}),
        }
    info = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    own = {str(e["name"]): str(e["value"]) for e in plugin.get("env") or []}
    return {"KUBERNETES_EXEC_INFO": json.dumps(info), **own}
