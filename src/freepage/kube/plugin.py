"""Credential plugins: programs that a kubeconfig names to get a token or a certificate."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from freepage.kube.entries import ConfigEntry
from freepage.kube.errors import LoginError
from freepage.kube.login_files import Pem, check_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.kube.resources import Object

    # A token, and a certificate with its key.
    Provided = tuple[str | None, tuple[Pem, Pem] | None]

PLUGIN_LIMIT_S = 60.0
API_GROUP = "client.authentication.k8s.io"
API_VERSIONS = (f"{API_GROUP}/v1", f"{API_GROUP}/v1beta1")
MODES = ("Never", "IfAvailable", "Always")
# The extension of a cluster that is for plugins alone.
EXTENSION = f"{API_GROUP}/exec"
SHOWN_CHARACTERS = 500


def check_plugin(plugin: ConfigEntry) -> None:
    """Raise LoginError for a plugin that kubectl would not run either, or that can do nothing without a terminal."""
    command, version, mode = plugin.text("command"), plugin.text("apiVersion"), plugin.text("interactiveMode")
    if not command:
        raise LoginError(f"{plugin.name} has no command")
    if version not in API_VERSIONS:
        raise LoginError(
            f'{plugin.name} has the apiVersion "{version or ""}", and Kubernetes takes {" and ".join(API_VERSIONS)}',
            hint="have the kubeconfig written anew (of Amazon EKS: `aws eks update-kubeconfig`)",
        )
    if mode is None and version == API_VERSIONS[0]:
        raise LoginError(f"{plugin.name} has no interactiveMode", hint="IfAvailable suits most plugins")
    if mode not in {None, *MODES}:
        raise LoginError(f'interactiveMode of {plugin.name} is "{mode}"', hint=f"one of {', '.join(MODES)}")
    if mode == "Always":
        raise LoginError(
            f"{plugin.name} asks for a terminal (interactiveMode: Always), which freepage does not give it",
            hint="use interactiveMode: IfAvailable if it can answer from an earlier login",
        )
    if any(not variable.text("name") for variable in plugin.parts("env")):
        raise LoginError(f"{plugin.name} sets a variable without a name")


def run_plugin(plugin: ConfigEntry, cluster: ConfigEntry) -> Provided:
    """Run a credential plugin and return the token, and the certificate with its key, that it provides."""
    command = plugin.text("command") or ""
    program = str(plugin.find_path(command)) if "/" in command else shutil.which(command)
    name = f"credential plugin {command} of {plugin.file}"
    arguments, environment = plugin.texts("args"), _build_environment(plugin, cluster)
    try:
        if program is None:
            raise FileNotFoundError(0, "no such program on PATH")
        done = subprocess.run(
            [program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PLUGIN_LIMIT_S,
            check=True,
        )
        return _read_answer(done.stdout, plugin, name)
    except subprocess.TimeoutExpired as error:
        reason = f"not done after {error.timeout:.0f} s{_quote(error.stderr)}"
    except subprocess.CalledProcessError as error:
        reason = f"exit status {error.returncode}{_quote(error.stderr)}"
    except OSError as error:
        reason = str(error.strerror)
    except ValueError as error:
        reason = str(error)
    hint = plugin.text("installHint")
    # From None: the cause holds what the plugin wrote, which may be the token.
    raise LoginError(f"{name}: {reason}", hint=hint and _clean(hint)) from None


def _build_environment(plugin: ConfigEntry, cluster: ConfigEntry) -> Mapping[str, str]:
    spec: Object = {"interactive": False}
    if plugin.flag("provideClusterInfo"):
        spec["cluster"] = _describe_cluster(cluster)
    info = {"apiVersion": plugin.text("apiVersion"), "kind": "ExecCredential", "spec": spec}
    own = {v.text("name") or "": v.text("value") or "" for v in plugin.parts("env")}
    return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _describe_cluster(cluster: ConfigEntry) -> Object:
    authority = cluster.read_pem("certificate-authority")
    extensions = [
        e.value.get("extension") for e in cluster.parts("extensions") if e.text("name") == EXTENSION
    ]
    told = {
        "server": cluster.text("server"),
        "tls-server-name": cluster.text("tls-server-name"),
        "insecure-skip-tls-verify": cluster.flag("insecure-skip-tls-verify"),
        "certificate-authority-data": base64.b64encode(authority.data).decode() if authority else None,
        "proxy-url": cluster.text("proxy-url"),
        "disable-compression": cluster.flag("disable-compression"),
    }
    return {k: v for k, v in told.items() if v} | {"config": extensions[0] if extensions else None}


def _read_answer(output: bytes, plugin: ConfigEntry, name: str) -> Provided:
    """Read an ExecCredential; ValueError for what is none."""
    from freepage.kube.documents import parse_document

    try:
        answer = parse_document(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ValueError("it wrote no ExecCredential")  # noqa: TRY004 - all that is wrong with an answer
    entry = ConfigEntry(answer, plugin.file, f"the answer of {name}")
    version, status = entry.text("apiVersion"), entry.part("status")
    if version != plugin.text("apiVersion"):
        raise ValueError(f"it answers in {version or 'no apiVersion'}, asked for {plugin.text('apiVersion')}")
    token = check_token(status.text("token"), entry.name) if status else None
    certificate = status.text("clientCertificateData") if status else None
    key = status.text("clientKeyData") if status else None
    if bool(certificate) != bool(key):
        raise ValueError("it wrote a certificate or a key, not both")
    if not (token or certificate):
        raise ValueError("it wrote no ExecCredential with a token or a certificate in its status")
    pair = (
        Pem((certificate or "").encode(), f"clientCertificateData of {entry.name}"),
        Pem((key or "").encode(), f"clientKeyData of {entry.name}"),
    )
    return token, pair if certificate else None


def _quote(said: bytes | None) -> str:
    text = _clean((said or b"").decode(errors="replace").strip()[-SHOWN_CHARACTERS:])
    return f": {text}" if text else ""


def _clean(text: str) -> str:
    """Return a text without what would move the cursor or colour the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
