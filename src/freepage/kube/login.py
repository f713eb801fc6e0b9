"""Logins: from a kubeconfig, a pod's service account, or a server and a token to what a connection needs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.kube.address import Address, find_address
from freepage.kube.credentials import find_credentials, find_impersonation, read_subject
from freepage.kube.errors import LoginError, NoLoginError
from freepage.kube.kubeconfig import Kubeconfig, read_kubeconfig
from freepage.kube.login_files import read_pem, read_token
from freepage.kube.proxy import check_proxy, find_proxy
from freepage.kube.tls import build_tls

if TYPE_CHECKING:
    import ssl

    from freepage.kube.entries import ConfigEntry

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
    """The server, credentials and certificates of a login; `source` says where it was read, and no secret is ever shown.

    trusted: where its CA was read; None for the system's. basic: "user:password" in base64, where it has no token.
    tls_server_name: what the server's certificate is for, where that is not its address. impersonation: headers.
    """

    server: str
    source: str
    namespace: str
    tls: ssl.SSLContext = field(repr=False)
    trusted: str | None = None
    token: str | None = field(default=None, repr=False)
    basic: str | None = field(default=None, repr=False)
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
    files = _find_kubeconfigs(login)
    config = read_kubeconfig(files) if files else None
    if config and (found := config.find_context(login.context)):
        return _resolve_context(login, config, *found)
    if _in_cluster() and not (login.kubeconfig or login.context):
        return _resolve_service_account(login)
    if config:
        raise LoginError(
            f"{', '.join(map(str, config.files))} has no current context", hint="name one with --context"
        )
    named = os.environ.get("KUBECONFIG")
    looked = (
        f"KUBECONFIG names {named}, which is not there"
        if named
        else f"KUBECONFIG is not set, there is no {_default_kubeconfig()}"
    )
    raise NoLoginError(
        f"no way into a cluster: {looked}, and no service account of a pod in {SERVICE_ACCOUNT}",
        hint="log in (`oc login`), or name a file with --kubeconfig",
    )


def _resolve_token(login: Login) -> ResolvedLogin:
    if login.kubeconfig or login.context:
        raise LoginError("a kubeconfig and a server with a token are two logins", hint="give one of them")
    if not (login.server and login.token_file):
        raise LoginError(
            "a login by token needs both a server and a token file", hint="--server URL --token-file FILE"
        )
    address = find_address(login.server, "the login", tls=True)
    if address.is_open:
        raise LoginError(
            f"a token is not sent to {address.url}: it could be read on the way", hint="https://"
        )
    token = read_token(Path(login.token_file))
    authority = read_pem(Path(login.ca_file), "CA file") if login.ca_file else None
    return ResolvedLogin(
        server=address.url,
        source=f"token file {login.token_file}",
        namespace=login.namespace or "default",
        tls=build_tls(authority),
        trusted=authority.source if authority else None,
        token=token,
        user=read_subject(token),
        proxy=find_proxy(address.url),
    )


def _resolve_service_account(login: Login) -> ResolvedLogin:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = read_token(SERVICE_ACCOUNT / "token")
    namespace, ca_file = SERVICE_ACCOUNT / "namespace", SERVICE_ACCOUNT / "ca.crt"
    authority = read_pem(ca_file, "CA file") if ca_file.exists() else None
    own = os.environ.get("POD_NAMESPACE") or (namespace.read_text().strip() if namespace.exists() else "")
    return ResolvedLogin(
        server=server,
        source=f"the pod's service account in {SERVICE_ACCOUNT}",
        namespace=login.namespace or own or "default",
        tls=build_tls(authority),
        trusted=authority.source if authority else None,
        token=token,
        user=read_subject(token),
        proxy=find_proxy(server),
    )


def _resolve_context(login: Login, config: Kubeconfig, name: str, context: ConfigEntry) -> ResolvedLogin:
    cluster, user = config.find_cluster(context), config.find_user(context)
    source = f'kubeconfig {context.file}, context "{name}"'
    address = _find_address(cluster, user)
    credentials = find_credentials(user, cluster, address)
    authority = None if address.is_http else cluster.read_pem("certificate-authority")
    proxy = cluster.text("proxy-url")
    return ResolvedLogin(
        server=address.url,
        source=f"{source} (without credentials: they are not sent over http)" if address.is_open else source,
        namespace=login.namespace or context.text("namespace") or "default",
        tls=build_tls(
            authority,
            credentials.certificate,
            insecure=cluster.flag("insecure-skip-tls-verify"),
            server_name=cluster.text("tls-server-name"),
        ),
        trusted=authority.source if authority else None,
        token=credentials.token,
        basic=credentials.basic,
        user=user.text("as")
        or read_subject(credentials.token)
        or user.text("username")
        or context.text("user"),
        context=name,
        proxy=check_proxy(proxy, f"proxy-url of {cluster.name}") if proxy else find_proxy(address.url),
        tls_server_name=cluster.text("tls-server-name"),
        impersonation=find_impersonation(user),
    )


def _find_address(cluster: ConfigEntry, user: ConfigEntry) -> Address:
    tls = cluster.flag("insecure-skip-tls-verify") or any(
        entry.text(key) or entry.text(f"{key}-data")
        for entry, key in ((cluster, "certificate-authority"), (user, "client-certificate"))
    )
    return find_address(cluster.text("server"), cluster.name, tls=tls)


def _find_kubeconfigs(login: Login) -> list[Path]:
    """Return the kubeconfigs to read: the one that is asked for, else those of KUBECONFIG or the one at home that are there."""
    if login.kubeconfig:
        return [_expand(login.kubeconfig)]
    named = os.environ.get("KUBECONFIG")
    files = [f for f in named.split(os.pathsep) if f] if named else [str(_default_kubeconfig())]
    return [path for path in map(_expand, files) if not _is_missing(path)]


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # Reading it says why.
        return False
    return False


def _expand(text: str) -> Path:
    """Return a path with its ~ expanded, as far as there is such a home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _default_kubeconfig() -> Path:
    """Return where a user's own kubeconfig would be; without a home, the ~ remains."""
    return _expand("~/.kube/config")


def _in_cluster() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()
