"""Logins: from a kubeconfig, a pod's service account, or a server and a token to what a connection needs."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from freepage.kube.errors import LoginError, NoLoginError
from freepage.kube.kubeconfig import ConfigEntry, Kubeconfig, read_kubeconfig
from freepage.kube.login_files import check_token, read_file, read_token
from freepage.kube.plugin import run_plugin
from freepage.kube.proxy import find_proxy
from freepage.kube.resources import Object, dig
from freepage.kube.tls import build_tls

if TYPE_CHECKING:
    import ssl

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Login:
    """The options of a login; None is what kubectl would take (KUBECONFIG, ~/.kube/config, then the pod's service account)."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    server: str | None = None
    token_file: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True)
class ResolvedLogin:
    """The server, token and certificates of a login; `source` says where it was read, and no secret is ever shown."""

    server: str
    source: str
    namespace: str
    tls: ssl.SSLContext = field(repr=False)
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    context: str | None = None
    # A proxy's address may carry a password.
    proxy: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    impersonation: tuple[tuple[str, str], ...] = ()


def resolve_login(login: Login) -> ResolvedLogin:
    """Find the login's files and read them, running the kubeconfig's credential plugin where it has one.

    Raises LoginError, which says what was looked for where. Blocks: call it in a thread.
    """
    if login.server or login.token_file or login.ca_file:
        return _resolve_token(login)
    config = _find_kubeconfig(login)
    if config and (found := config.find_context(login.context)):
        return _resolve_context(login, config, *found)
    if config and (login.context or login.kubeconfig or not _in_cluster()):
        raise LoginError(
            f"{', '.join(map(str, config.files))} has no current context", hint="name one with --context"
        )
    if _in_cluster():
        return _resolve_service_account(login)
    raise NoLoginError(
        f"no way into a cluster: KUBECONFIG is {os.environ.get('KUBECONFIG') or 'not set'}, there is no "
        f"{_default_kubeconfig()}, and no service account of a pod in {SERVICE_ACCOUNT}",
        hint="log in (`oc login`), or name a file with --kubeconfig",
    )


def _resolve_token(login: Login) -> ResolvedLogin:
    if login.kubeconfig or login.context:
        raise LoginError("a kubeconfig and a server with a token are two logins", hint="give one of them")
    if not (login.server and login.token_file):
        raise LoginError(
            "a login by token needs both a server and a token file", hint="--server URL --token-file FILE"
        )
    token = read_token(Path(login.token_file))
    return ResolvedLogin(
        server=_check_server(login.server, "the login"),
        source=f"token file {login.token_file}",
        namespace=login.namespace or "default",
        tls=build_tls(read_file(Path(login.ca_file), "CA file") if login.ca_file else None),
        token=token,
        user=_read_subject(token),
        proxy=find_proxy(login.server),
    )


def _resolve_service_account(login: Login) -> ResolvedLogin:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = read_token(SERVICE_ACCOUNT / "token")
    namespace = SERVICE_ACCOUNT / "namespace"
    return ResolvedLogin(
        server=server,
        source=f"the pod's service account in {SERVICE_ACCOUNT}",
        namespace=login.namespace or (namespace.read_text().strip() if namespace.exists() else "default"),
        tls=build_tls(read_file(SERVICE_ACCOUNT / "ca.crt", "CA file")),
        token=token,
        user=_read_subject(token),
        proxy=find_proxy(server),
    )


def _resolve_context(login: Login, config: Kubeconfig, name: str, context: ConfigEntry) -> ResolvedLogin:
    cluster, user = config.find_cluster(context), config.find_user(context)
    source = f'kubeconfig {context.file}, context "{name}"'
    server = _check_server(cluster.value.get("server"), source)
    credential = run_plugin(user, cluster) if "exec" in user.value else {}
    token = check_token(credential.get("token") or _find_token(user), source)
    return ResolvedLogin(
        server=server,
        source=source,
        namespace=login.namespace or context.value.get("namespace") or "default",
        tls=build_tls(
            cluster.read_data("certificate-authority"),
            _find_certificate(user, credential),
            insecure=bool(cluster.value.get("insecure-skip-tls-verify")),
        ),
        token=token,
        user=user.value.get("as") or _read_subject(token) or context.value.get("user"),
        context=name,
        proxy=cluster.value.get("proxy-url") or find_proxy(server),
        tls_server_name=cluster.value.get("tls-server-name"),
        impersonation=_find_impersonation(user.value),
    )


def _find_kubeconfig(login: Login) -> Kubeconfig | None:
    if login.kubeconfig:
        return read_kubeconfig([Path(login.kubeconfig).expanduser()])
    if named := os.environ.get("KUBECONFIG"):
        files = [Path(f).expanduser() for f in named.split(os.pathsep) if f]
        if not any(f.exists() for f in files):
            raise LoginError(f"KUBECONFIG names {named}, which does not exist")
        return read_kubeconfig([f for f in files if f.exists()])
    return read_kubeconfig([_default_kubeconfig()]) if _default_kubeconfig().exists() else None


def _default_kubeconfig() -> Path:
    return Path("~/.kube/config").expanduser()


def _in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and (SERVICE_ACCOUNT / "token").exists()


def _check_server(server: str | None, source: str) -> str:
    try:
        parts = urlsplit(server or "")
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise LoginError(f'{source}: "{server}" is no address of a server', hint="as in https://HOST:6443")
    return str(server).rstrip("/")


def _read_subject(token: str | None) -> str | None:
    """Read who a JSON web token speaks for, unverified; None for any other token."""
    try:
        payload = (token or "").split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _find_token(user: ConfigEntry) -> str | None:
    if token := user.value.get("token"):
        return str(token)
    if path := user.value.get("tokenFile"):
        return read_token(user.find_path(path))
    if "username" in user.value:
        raise LoginError(
            f"{user.file} logs in by user name and password, which no supported Kubernetes takes",
            hint="log in anew (`oc login`)",
        )
    token = dig(user.value, "auth-provider", "config", "id-token")
    return str(token) if token else None


def _find_certificate(user: ConfigEntry, credential: Object) -> tuple[bytes, bytes] | None:
    if certificate := credential.get("clientCertificateData"):
        return str(certificate).encode(), str(credential.get("clientKeyData", "")).encode()
    certificate, key = user.read_data("client-certificate"), user.read_data("client-key")
    return (certificate, key) if certificate and key else None


def _find_impersonation(user: Object) -> tuple[tuple[str, str], ...]:
    if not (name := user.get("as")):
        return ()
    return (("Impersonate-User", name), *(("Impersonate-Group", g) for g in user.get("as-groups") or []))
