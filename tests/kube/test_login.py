"""Logins: kubeconfigs, plugins, service accounts, certificates, proxies, and what is renewed of them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging

import pytest

from freepage.kube import connection, login
from freepage.kube.api import Login, open_cluster
from freepage.kube.errors import (
    ForbiddenError,
    LoginError,
    UnreachableError,
)
from freepage.kube.proxy import find_proxy
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
        f'printf \'{{"status": {{"token": "%s"}}}}\' "$(cat {tmp_path}/$NAME)"\n'
    )
    plugin.chmod(0o755)
    (tmp_path / "now").write_text(TOKEN)
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
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
    assert info["spec"] == {"interactive": False, "cluster": {"server": server.url}}


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


async def test_a_credential_plugin_that_fails_says_what_it_said(tmp_path):
    command = {"command": "sh", "args": ["-c", "echo no session >&2; exit 3"], "installHint": "get it"}
    path = write_kubeconfig(tmp_path / "config", {"server": "https://192.0.2.1"}, {"exec": command})
    with pytest.raises(LoginError, match=r"credential plugin sh .*exit status 3: no session") as caught:
        await version_through(Login(kubeconfig=str(path)))
    assert caught.value.hint == "get it"


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


async def test_no_login_at_all_says_where_one_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", tmp_path / "account")
    with pytest.raises(LoginError) as caught:
        await version_through(Login())
    for looked_at in ("KUBECONFIG is not set", f"{tmp_path}/home/.kube/config", f"{tmp_path}/account"):
        assert looked_at in str(caught.value)
    assert "--kubeconfig" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("users: [{user: {token: hidden", "is no YAML"),
        ("- 1", "is no kubeconfig"),
        ("", "has no current context"),
        ("current-context: x", 'no context "x"'),
    ],
)
async def test_a_kubeconfig_that_is_none_is_refused_without_quoting_it(tmp_path, content, words):
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(LoginError, match=words) as caught:
        await version_through(Login(kubeconfig=str(path)))
    assert "hidden" not in str(caught.value)


async def test_a_token_that_fits_no_header_is_refused_without_being_shown(server, tmp_path):
    (tmp_path / "token").write_text("two\nlines")
    with pytest.raises(LoginError, match="characters that no token has") as caught:
        await version_through(Login(server=server.url, token_file=str(tmp_path / "token")))
    assert "two" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "cluster:6443", "https://", "https://host:port"])
async def test_a_server_without_an_address_is_refused(tmp_path, address):
    path = write_kubeconfig(tmp_path / "config", {"server": address}, {"token": TOKEN})
    with pytest.raises(LoginError, match="is no address of a server"):
        await version_through(Login(kubeconfig=str(path)))


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
        assert caught.value.hint == f"is its CA the one in {other[0]}?"
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
    user = {"token": TOKEN, "as": "bob", "as-groups": ["g1", "g2"]}
    path = write_kubeconfig(tmp_path / "config", {"server": server.url}, user)
    assert (await version_through(Login(kubeconfig=str(path))))[1].user == "bob"
    assert server.asked[-1].headers["Impersonate-User"] == "bob"


async def proxy(seen):
    """Start a proxy that opens tunnels, and give its address."""

    async def pump(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader, writer):
        line = (await reader.readuntil(b"\r\n\r\n")).decode().split()
        seen.append(tuple(line[:2]))
        host, port = line[1].split(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize("by", ["kubeconfig", "environment"])
async def test_a_proxy_is_used_for_calls_and_streams(tmp_path, monkeypatch, by):
    seen = []
    certificate = make_certificate(tmp_path, "right")
    tunnel = await proxy(seen)
    address = f"http://127.0.0.1:{tunnel.sockets[0].getsockname()[1]}"
    async with ApiServer().serve(certificate) as server:
        cluster = {"server": server.url, "certificate-authority": str(certificate[0])}
        if by == "kubeconfig":
            cluster["proxy-url"] = address
        else:
            monkeypatch.setenv("https_proxy", address)
        path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
        server.script(f"{POD}/attach", websocket(echo))
        async with (
            open_cluster(Login(kubeconfig=str(path))) as api,
            api.open_attach("p", namespace="ns", container="c") as stream,
        ):
            await stream.write(b"through")
            assert await stream.read() == b"through"
    tunnel.close()
    assert {verb for verb, _ in seen} == {"CONNECT"}


async def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(server, tmp_path):
    cluster = {"server": server.url, "proxy-url": "ftp://ann:hidden@proxy:21"}
    path = write_kubeconfig(tmp_path / "config", cluster, {"token": TOKEN})
    with pytest.raises(LoginError, match=r"the proxy for .* cannot be used") as caught:
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


def test_no_proxy_may_name_a_network(monkeypatch):
    monkeypatch.setenv("https_proxy", "proxy:3128")
    monkeypatch.setenv("no_proxy", "example.com,172.30.0.0/16,broken/x")
    assert find_proxy("https://172.30.0.1:443") is None
    assert find_proxy("https://api.example.com") is None
    assert find_proxy("https://172.31.0.1:443") == "http://proxy:3128"
