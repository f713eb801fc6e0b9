"""Logins: kubeconfigs, plugins, service accounts, certificates, proxies, and what is renewed of them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from contextlib import suppress
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freepage.kube import connection, login
from freepage.kube.api import Login, open_cluster
from freepage.kube.errors import (
    ForbiddenError,
    LoginError,
    UnreachableError,
)
from freepage.kube.login import resolve_login
from freepage.kube.resources import PODS
from helpers.api_server import (
    DENIED,
    POD,
    TOKEN,
    ApiServer,
    echo,
    make_certificate,
    pod,
    websocket,
)
from helpers.kubeconfigs import write_kubeconfig

EXEC = "client.authentication.k8s.io/v1beta1"


async def test_a_token_that_expired_is_renewed_once_for_all_and_cuts_no_stream(server, api, tmp_path):
    server.script(f"{POD}/attach", websocket(echo))
    server.script(POD, pod("p"))
    async with api.open_attach("p", namespace="ns", container="c") as stream:
        (tmp_path / "token").write_text("second-secret-token")
        server.tokens = {"second-secret-token"}
        await asyncio.gather(*(api.get(PODS, "p", "ns") for _ in range(20)))
        await stream.write(b"still here")
        assert await stream.read() == b"still here"
    assert len(server.calls(POD)) <= 40
    await api.get(PODS, "p", "ns")
    assert server.asked[-1].headers["Authorization"] == "Bearer second-secret-token"


async def test_a_token_that_stays_refused_is_a_login_error_without_it(server, api, caplog):
    caplog.set_level(logging.DEBUG)
    server.tokens = set()
    with pytest.raises(LoginError, match="does not accept the login from token file") as caught:
        await api.get(PODS, "p", "ns")
    shown = f"{caught.value} {caught.value!r} {caplog.text} {api._connection._resolved!r}"
    assert TOKEN not in shown
    assert len(server.calls(POD)) == 1


async def test_a_403_asks_for_no_new_login(server, api, monkeypatch):
    server.script(POD, server.answer_with(403, "Forbidden", DENIED))
    monkeypatch.setattr(connection, "resolve_login", None)
    with pytest.raises(ForbiddenError):
        await api.get(PODS, "p", "ns")


async def version_through(login):
    async with open_cluster(login) as api:
        return await api.server_version(), api


async def test_a_kubeconfig_s_context_names_server_user_and_namespace(server, tmp_path, monkeypatch):
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"token": TOKEN}, namespace="mine")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{path}")
    version, api = await version_through(Login())
    assert (version, api.server, api.namespace, api.user) == ("v1.31.2", server.url, "mine", "u")
    assert (await version_through(Login(namespace="other")))[1].namespace == "other"


async def test_the_kubeconfig_at_home_is_found(server, tmp_path):
    write_kubeconfig(tmp_path / "home/.kube/config", {"server": server.url}, {"token": TOKEN})
    assert (await version_through(Login()))[0] == "v1.31.2"


async def test_another_context_brings_its_own_namespace(server, tmp_path):
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"token": TOKEN}, namespace="mine")
    content = json.loads(path.read_text())
    content["contexts"].append(
        {"name": "second", "context": {"cluster": "c", "user": "u", "namespace": "two"}}
    )
    path.write_text(json.dumps(content))
    assert (await version_through(Login(kubeconfig=str(path), context="second")))[1].namespace == "two"
    with pytest.raises(LoginError, match='no context "third"') as caught:
        await version_through(Login(kubeconfig=str(path), context="third"))
    assert caught.value.hint == "it has main, second"


async def test_kubeconfigs_are_merged_and_relative_paths_start_at_their_file(server, tmp_path, monkeypatch):
    users = write_kubeconfig(tmp_path / "a/config", {"server": "https://192.0.2.1"}, {"tokenFile": "token"})
    content = json.loads(users.read_text())
    del content["clusters"]
    users.write_text(json.dumps(content))
    (tmp_path / "a/token").write_text(TOKEN)
    clusters = write_kubeconfig(tmp_path / "b/config", {"server": server.url}, {"token": "wrong"})
    monkeypatch.setenv("KUBECONFIG", f"{users}:{clusters}")
    assert (await version_through(Login()))[0] == "v1.31.2"


async def test_a_credential_plugin_is_run_and_run_again_when_its_token_expires(server, tmp_path):
    plugin = tmp_path / "plugin"
    plugin.write_text(
        "#!/bin/sh\n"
        f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info\n'
        f'printf \'{{"apiVersion": "{EXEC}", "status": {{"token": "%s"}}}}\' "$(cat {tmp_path}/$NAME)"\n'
    )
    plugin.chmod(0o755)
    (tmp_path / "now").write_text(TOKEN)
    command = {
        "apiVersion": EXEC,
        "command": "./plugin",
        "env": [{"name": "NAME", "value": "now"}],
        "provideClusterInfo": True,
    }
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"exec": command})
    async with open_cluster(Login(kubeconfig=str(path))) as api:
        (tmp_path / "now").write_text("next-secret")
        server.tokens = {"next-secret"}
        assert await api.server_version() == "v1.31.2"
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"] == {"interactive": False, "cluster": {"server": server.url, "config": None}}


async def test_a_login_is_renewed_in_the_context_it_was_made_in(server, tmp_path):
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"token": TOKEN})
    async with open_cluster(Login(kubeconfig=str(path))) as api:
        content = json.loads(path.read_text())
        content["users"] = [{"name": "u", "user": {"token": "next"}}, {"name": "v", "user": {"token": "v"}}]
        content["clusters"].append({"name": "d", "cluster": {"server": "https://192.0.2.1"}})
        content["contexts"].append({"name": "other", "context": {"cluster": "d", "user": "v"}})
        content["current-context"] = "other"
        path.write_text(json.dumps(content))
        server.tokens = {"next"}
        assert await api.server_version() == "v1.31.2"


async def test_a_login_that_names_another_server_by_now_is_not_shown_to_this_one(server, tmp_path):
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, {"token": TOKEN})
    async with open_cluster(Login(kubeconfig=str(path))) as api:
        write_kubeconfig(path, {"server": "https://192.0.2.1"}, {"token": "not-for-you"})
        server.tokens = {"not-for-you"}
        with pytest.raises(LoginError):
            await api.server_version()


async def test_a_pod_s_service_account_is_found(server, tmp_path, monkeypatch):
    certificate = make_certificate(tmp_path, "ca")
    claims = base64.urlsafe_b64encode(b'{"sub": "system:serviceaccount:ns:sa"}').decode().rstrip("=")
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(f"head.{claims}.signature")
    (account / "namespace").write_text("ns")
    (account / "ca.crt").write_bytes(certificate[0].read_bytes())
    tls_server = ApiServer(tokens={f"head.{claims}.signature"})
    async with tls_server.serve(certificate):
        host, port = tls_server.url.removeprefix("https://").split(":")
        monkeypatch.setattr(login, "SERVICE_ACCOUNT", account)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        version, api = await version_through(Login())
    assert (version, api.namespace, api.user) == ("v1.31.2", "ns", "system:serviceaccount:ns:sa")


@pytest.fixture
def _account(tmp_path, monkeypatch):
    """Be in a pod, whose service account has no CA: then the system's are trusted."""
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("of-account")
    (account / "namespace").write_text("own\n")
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", account)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "2001:db8::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "")


@pytest.mark.usefixtures("_account")
@pytest.mark.parametrize("named", ["", "/nowhere/config", ":"])
def test_in_a_pod_its_service_account_is_the_last_resort(monkeypatch, named):
    monkeypatch.setenv("KUBECONFIG", named)
    found = resolve_login(Login())
    assert (found.server, found.token, found.namespace) == ("https://[2001:db8::1]:443", "of-account", "own")
    monkeypatch.setenv("POD_NAMESPACE", "told")
    assert resolve_login(Login()).namespace == "told"
    assert resolve_login(Login(namespace="asked")).namespace == "asked"


@pytest.mark.usefixtures("_account")
@pytest.mark.parametrize(
    ("login", "words"),
    [
        (Login(context="main"), "no way into a cluster"),
        (Login(kubeconfig="/nowhere/config"), "kubeconfig /nowhere/config: No such file"),
    ],
)
def test_in_a_pod_what_was_asked_for_is_not_replaced_by_its_service_account(login, words):
    with pytest.raises(LoginError, match=words):
        resolve_login(login)


def test_no_login_at_all_says_where_one_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", tmp_path / "account")
    with pytest.raises(LoginError) as caught:
        resolve_login(Login())
    for looked_at in ("KUBECONFIG is not set", f"{tmp_path}/home/.kube/config", f"{tmp_path}/account"):
        assert looked_at in str(caught.value)
    assert "--kubeconfig" in caught.value.hint


@pytest.mark.parametrize("named", ["/nowhere/a:/nowhere/b", "::", "~nobody-by-this-name/config"])
def test_kubeconfigs_that_are_not_there_are_named(tmp_path, monkeypatch, named):
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", tmp_path / "account")
    monkeypatch.setenv("KUBECONFIG", named)
    with pytest.raises(LoginError, match=f"KUBECONFIG names {named}, which is not there"):
        resolve_login(Login())


def test_a_kubeconfig_that_may_not_be_read_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}:{tmp_path}/absent")
    with pytest.raises(LoginError, match="Is a directory"):
        resolve_login(Login())


def test_a_token_is_not_sent_in_the_open(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    with pytest.raises(LoginError, match="could be read on the way"):
        resolve_login(Login(server="http://lab.example", token_file=str(tmp_path / "token")))
    path = write_kubeconfig(tmp_path / "config", {"server": "lab.example:8001"}, {"token": TOKEN})
    found = resolve_login(Login(kubeconfig=str(path)))
    assert (found.server, found.token) == ("http://lab.example:8001", None)
    assert "not sent over http" in found.source


def test_a_ca_of_a_server_by_http_is_not_read(tmp_path):
    cluster = {
        "server": "http://lab.example",
        "certificate-authority": "gone",
        "insecure-skip-tls-verify": True,
    }
    path = write_kubeconfig(tmp_path / "config", cluster, {})
    assert resolve_login(Login(kubeconfig=str(path))).trusted is None


@pytest.mark.parametrize("brings", ["ca", "certificate", "insecure"])
def test_a_server_without_a_scheme_is_spoken_to_by_tls_where_the_login_brings_something_for_it(
    tmp_path, brings
):
    certificate, key = make_certificate(tmp_path, "lab")
    cluster = {
        "ca": {"certificate-authority": certificate.name},
        "insecure": {"insecure-skip-tls-verify": True},
    }.get(brings, {})
    user = {"client-certificate": certificate.name, "client-key": key.name} if brings == "certificate" else {}
    path = write_kubeconfig(tmp_path / "config", {"server": "lab.example:6443", **cluster}, user)
    assert resolve_login(Login(kubeconfig=str(path))).server == "https://lab.example:6443"


ODD = (
    "",
    None,
    5,
    True,
    1.5,
    "x",
    "https://lab.example",
    "é",
    "\ud800",
    "a\0b",
    "a b\n",
    [],
    ["x"],
    [5],
    ["\0"],
    {},
    {"x": ["x"]},
    {"\0": ["x"]},
    {"\ud800": ["x"]},
)
CLUSTER_KEYS = (
    "server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify", "tls-server-name",
    "proxy-url", "extensions",
)  # fmt: skip
USER_KEYS = (
    "token", "tokenFile", "client-certificate", "client-certificate-data", "client-key", "client-key-data", "username",
    "password", "as", "as-uid", "as-groups", "as-user-extra", "auth-provider", "exec",
)  # fmt: skip
PLUGIN_KEYS = ("apiVersion", "command", "args", "env", "installHint", "interactiveMode", "provideClusterInfo")
PLUGIN = {"apiVersion": EXEC, "command": "no-such-program"}
VALUES = st.recursive(
    st.sampled_from(ODD),
    lambda v: (
        st.lists(v, max_size=2) | st.dictionaries(st.sampled_from(["x", "name", "é", ""]), v, max_size=2)
    ),
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return tmp_path_factory.mktemp("odd") / "config"


def resolve_or_refuse(path, cluster, user, **context):
    write_kubeconfig(path, {"server": "http://localhost", **cluster}, user, **context)
    with suppress(LoginError):
        assert isinstance(resolve_login(Login(kubeconfig=str(path))), login.ResolvedLogin)


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_no_field_whatever_it_holds_gives_anything_but_a_login_or_its_refusal(odd, monkeypatch, value):
    monkeypatch.setattr(login, "build_tls", lambda *_, **__: None)
    for key in CLUSTER_KEYS:
        resolve_or_refuse(odd, {key: value}, {"exec": {**PLUGIN, "provideClusterInfo": True}})
    for key in USER_KEYS:
        resolve_or_refuse(odd, {}, {"as": "bob", key: value})
    for key in PLUGIN_KEYS:
        resolve_or_refuse(odd, {}, {"exec": {**PLUGIN, key: value}})
    resolve_or_refuse(odd, {}, {}, namespace=value)


@settings(max_examples=50)
@given(
    cluster=st.dictionaries(st.sampled_from(CLUSTER_KEYS), VALUES, max_size=2),
    user=st.dictionaries(st.sampled_from(USER_KEYS), VALUES, max_size=3),
)
def test_no_fields_together_give_anything_but_a_login_or_its_refusal(odd, cluster, user):
    resolve_or_refuse(odd, cluster, user)


async def test_a_token_that_fits_no_header_is_refused_without_being_shown(server, tmp_path):
    (tmp_path / "token").write_text("two\nlines")
    with pytest.raises(LoginError, match="characters that no token has") as caught:
        await version_through(Login(server=server.url, token_file=str(tmp_path / "token")))
    assert "two" not in str(caught.value)


async def test_a_server_is_trusted_by_its_own_ca_only(tmp_path):
    certificate, other = make_certificate(tmp_path, "right"), make_certificate(tmp_path, "wrong")
    async with ApiServer().serve(certificate) as server:
        async with server.log_in(tmp_path, ca_file=str(certificate[0])) as api:
            server.script(f"{POD}/attach", websocket(echo))
            async with api.open_attach("p", namespace="ns", container="c") as stream:
                await stream.write(b"over TLS")
                assert await stream.read() == b"over TLS"
        with pytest.raises(UnreachableError, match=rf"{server.url}.*certificate") as caught:
            async with server.log_in(tmp_path, ca_file=str(other[0])):
                pass
        assert caught.value.hint == f"is its CA the one in CA file {other[0]}?"
        with pytest.raises(UnreachableError, match="certificate") as caught:
            async with server.log_in(tmp_path):
                pass
        assert "--ca-file" in caught.value.hint


async def test_a_server_may_go_unverified_or_by_another_name_as_the_kubeconfig_says(tmp_path):
    certificate = make_certificate(tmp_path, "right")
    async with ApiServer().serve(certificate) as server:
        cluster = {"server": server.url, "insecure-skip-tls-verify": True}
        path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
        assert (await version_through(Login(kubeconfig=str(path))))[0] == "v1.31.2"
        authority = base64.b64encode(certificate[0].read_bytes()).decode()
        cluster = {
            "server": server.url.replace("127.0.0.1", "localhost"),
            "certificate-authority-data": authority,
        }
        path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
        with pytest.raises(UnreachableError, match="certificate"):
            await version_through(Login(kubeconfig=str(path)))
        path = write_kubeconfig(
            tmp_path / "config", cluster | {"tls-server-name": "127.0.0.1"}, {"token": TOKEN}
        )
        assert (await version_through(Login(kubeconfig=str(path))))[0] == "v1.31.2"


async def test_a_client_certificate_is_shown_and_its_key_stays_nowhere(tmp_path, monkeypatch):
    files = tmp_path / "temporary"
    files.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(files))
    server_certificate, own = make_certificate(tmp_path, "server"), make_certificate(tmp_path, "ann")
    async with ApiServer().serve(server_certificate, client_ca=own[0]) as server:
        cluster = {"server": server.url, "certificate-authority": "server.crt"}
        user = {
            "client-certificate": "ann.crt",
            "client-key-data": base64.b64encode(own[1].read_bytes()).decode(),
            "token": TOKEN,
        }
        path = write_kubeconfig(tmp_path / "config", cluster, user)
        assert (await version_through(Login(kubeconfig=str(path))))[0] == "v1.31.2"
        with pytest.raises(UnreachableError):
            await version_through(Login(kubeconfig=str(write_kubeconfig(tmp_path / "config", cluster, {}))))
    assert not list(files.iterdir())


async def test_impersonation_is_honoured(server, tmp_path):
    user = {"token": TOKEN, "as": "bö", "as-groups": ["g1", "g2"], "as-uid": "7"}
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, user)
    assert (await version_through(Login(kubeconfig=str(path))))[1].user == "bö"
    headers = server.asked[-1].headers
    assert headers["Impersonate-User"].encode(errors="surrogateescape").decode() == "bö"
    assert headers["Impersonate-Uid"] == "7"


async def test_a_user_name_and_a_password_are_sent(tmp_path):
    # As `kubectl proxy` or a gateway has it, which may take them or not.
    async with ApiServer(basic="YTpi").serve() as server:
        path = write_kubeconfig(
            tmp_path / "config", {"server": server.url}, {"username": "a", "password": "b"}
        )
        version, api = await version_through(Login(kubeconfig=str(path)))
    assert (version, api.user) == ("v1.31.2", "a")
    assert "YTpi" not in repr(api._connection._resolved)


async def proxy(seen, server_url, certificate=None):
    """Start a proxy that opens tunnels to one server, whatever its name, and return it with its address.

    certificate: that of a proxy which is spoken to by TLS.
    """
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    server_port = int(server_url.rsplit(":", 1)[1])

    async def pump(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader, writer):
        line = (await reader.readuntil(b"\r\n\r\n")).decode().split()
        seen.append(tuple(line[:2]))
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server_port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    return listener, f"http{'s' if certificate else ''}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("by", ["kubeconfig", "kubeconfig, by TLS", "environment"])
async def test_a_proxy_is_used_for_calls_and_streams_and_its_tunnel_has_the_name_that_is_given(
    tmp_path, monkeypatch, by
):
    seen = []
    certificate = make_certificate(tmp_path, "right")
    async with ApiServer().serve(certificate) as server:
        # It is trusted as the server is.
        tunnel, address = await proxy(seen, server.url, certificate if "TLS" in by else None)
        cluster = {
            "server": "https://api.lab.example:6443",
            "certificate-authority": str(certificate[0]),
            "tls-server-name": "127.0.0.1",
        }
        if by == "environment":
            monkeypatch.setenv("HTTPS_PROXY", address)
        else:
            cluster["proxy-url"] = address
        path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
        server.script(f"{POD}/attach", websocket(echo))
        async with (
            open_cluster(Login(kubeconfig=str(path))) as api,
            api.open_attach("p", namespace="ns", container="c") as stream,
        ):
            await stream.write(b"through")
            assert await stream.read() == b"through"
    tunnel.close()
    assert set(seen) == {("CONNECT", "api.lab.example:6443")}


@pytest.mark.skipif(find_spec("socksio") is not None, reason="socksio is installed")
async def test_a_proxy_that_speaks_socks_says_what_it_takes(tmp_path):
    cluster = {"server": "http://127.0.0.1:1", "proxy-url": "socks5://ann:hidden@127.0.0.1:1080"}
    path = write_kubeconfig(tmp_path / "config", cluster, {})
    with pytest.raises(LoginError, match=r"socks5://127\.0\.0\.1:1080 speaks SOCKS.*socksio") as caught:
        await version_through(Login(kubeconfig=str(path)))
    assert "hidden" not in str(caught.value)


async def test_a_proxy_that_is_not_there_is_named_without_its_password(tmp_path, monkeypatch):
    cluster = {"server": "http://127.0.0.1:1", "proxy-url": "http://ann:hidden@127.0.0.1:9"}
    path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
    with pytest.raises(
        UnreachableError, match=r"through the proxy http://127\.0\.0\.1:9: .*refused"
    ) as caught:
        await version_through(Login(kubeconfig=str(path)))
    assert "hidden" not in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value)
