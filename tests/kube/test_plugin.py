"""Credential plugins, as small shell programs; the wanted answers are those that kubectl 1.33 gave."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from freepage.kube import plugin as plugin_module
from freepage.kube.errors import LoginError
from freepage.kube.plugin import check_plugin, run_plugin
from helpers.kubeconfigs import entry_of

API = "client.authentication.k8s.io/v1"


def plugin_of(folder, script, *, command="./plug.sh", **keys):
    """Write a plugin that is a shell script, and return its entry."""
    program = Path(os.path.normpath(folder / command))
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    value = {"apiVersion": API, "command": command, "interactiveMode": "Never", **keys}
    return entry_of(value, folder, 'exec of user "u"')


def answer(version=API, **status):
    return f"echo '{json.dumps({'apiVersion': version, 'status': status})}'"


def run(plugin, **cluster):
    return run_plugin(plugin, entry_of(cluster, name='cluster "c"'))


@pytest.mark.parametrize("command", ["./plug.sh", "bin/plug", "bin/../plug.sh"])
def test_a_relative_plugin_is_found_from_the_folder_of_its_file(tmp_path, monkeypatch, command):
    plugin = plugin_of(tmp_path, answer(token="t"), command=command)
    monkeypatch.chdir("/")
    assert run(plugin) == ("t", None)


def test_a_plugin_beside_a_kubeconfig_that_is_named_without_a_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plugin = plugin_of(tmp_path, answer(token="t"))
    assert run(entry_of(plugin.value, Path())) == ("t", None)


def test_a_plugin_without_a_folder_is_found_on_path_and_not_beside_the_file(tmp_path, monkeypatch):
    plugin = plugin_of(tmp_path, answer(token="t"), command="plug")
    with pytest.raises(LoginError, match=r"credential plugin plug of .*: no such program on PATH"):
        run(plugin)
    own = [{"name": "PATH", "value": str(tmp_path)}]
    with pytest.raises(LoginError, match="no such program on PATH"):
        run(entry_of({**plugin.value, "env": own}))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert run(plugin) == ("t", None)


def test_a_plugin_may_answer_with_a_certificate(tmp_path):
    token, (certificate, key) = run(plugin_of(tmp_path, answer(clientCertificateData="c", clientKeyData="k")))
    assert (token, certificate.data, key.data) == (None, b"c", b"k")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("true", "wrote no ExecCredential$"),
        ("echo hidden", "wrote no ExecCredential$"),
        ("echo '[1]'", "wrote no ExecCredential$"),
        ("""echo '{"status": {"token": "hidden"}}'""", f"answers in no apiVersion, asked for {API}"),
        (answer(f"{API}beta1", token="hidden"), f"answers in {API}beta1, asked for {API}"),
        (answer(), "no ExecCredential with a token or a certificate"),
        (answer(token=""), "no ExecCredential with a token or a certificate"),
        (answer(token=5), "token of status of the answer of .* is not a text"),
        (answer(clientCertificateData="hidden"), "a certificate or a key, not both"),
        (answer(clientKeyData="hidden"), "a certificate or a key, not both"),
        (answer(token="hidden one"), "characters that no token has"),
        ("echo no session >&2; exit 3", "exit status 3: no session"),
        ("exit 3", "exit status 3$"),
    ],
)
def test_a_plugin_that_does_not_answer_says_how_and_no_secret(tmp_path, script, words):
    with pytest.raises(LoginError, match=f"(?m){words}") as caught:
        run(plugin_of(tmp_path, script, installHint="get\u001b[1m it"))
    assert "hidden" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_plugin_that_is_no_program_says_so_with_how_to_get_it(tmp_path):
    plugin = plugin_of(tmp_path, "", installHint="get\u001b[1m it")
    (tmp_path / "plug.sh").chmod(0o644)
    with pytest.raises(LoginError, match="Permission denied") as caught:
        run(plugin)
    assert caught.value.hint == "get?[1m it"
    (tmp_path / "plug.sh").unlink()
    with pytest.raises(LoginError, match="No such file"):
        run(plugin)


def test_a_plugin_that_hangs_is_ended_with_what_it_said_until_then(tmp_path, monkeypatch):
    monkeypatch.setattr(plugin_module, "PLUGIN_LIMIT_S", 0.2)
    with pytest.raises(LoginError, match=r"not done after 0 s: open https://login\.example"):
        run(plugin_of(tmp_path, "echo open https://login.example >&2; exec sleep 60"))


def test_a_plugin_is_told_of_the_cluster_where_it_asks_for_that(tmp_path):
    env = [{"name": "NAME", "value": "mine"}, {"name": "KUBERNETES_EXEC_INFO", "value": "not this"}]
    script = f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/info; [ "$1$NAME" = amine ]; {answer(token="t")}'
    plugin = plugin_of(tmp_path, f"set -e; {script}", args=["a"], env=env, provideClusterInfo=True)
    cluster = {
        "server": "https://lab.example/a/",
        "tls-server-name": "other.example",
        "certificate-authority-data": "Q0E=",
        "proxy-url": "http://proxy",
        "disable-compression": True,
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}],
    }
    assert run(plugin, **cluster) == ("t", None)
    told = json.loads((tmp_path / "info").read_text())
    shown = {k: v for k, v in cluster.items() if k != "extensions"} | {"config": {"audience": "x"}}
    assert told == {
        "apiVersion": API,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": shown},
    }
    run(entry_of({**plugin.value, "provideClusterInfo": False}, tmp_path), **cluster)
    assert json.loads((tmp_path / "info").read_text())["spec"] == {"interactive": False}


@pytest.mark.parametrize("mode", ["Never", "IfAvailable"])
def test_a_plugin_that_needs_no_terminal_is_taken(mode):
    check_plugin(entry_of({"apiVersion": API, "command": "x", "interactiveMode": mode}))
    check_plugin(entry_of({"apiVersion": f"{API}beta1", "command": "x"}))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"command": ""}, "has no command"),
        ({"apiVersion": None}, 'has the apiVersion ""'),
        ({"apiVersion": f"{API}alpha1"}, "v1alpha1"),
        ({"interactiveMode": None}, "has no interactiveMode"),
        ({"interactiveMode": "Sometimes"}, "Sometimes"),
        ({"interactiveMode": "Always"}, "asks for a terminal"),
        ({"env": [{"value": "x"}]}, "a variable without a name"),
    ],
)
def test_a_plugin_that_kubectl_would_not_run_is_refused(keys, words):
    with pytest.raises(LoginError, match=words):
        check_plugin(entry_of({"apiVersion": API, "command": "x", "interactiveMode": "Never"} | keys))


@pytest.mark.parametrize("keys", [{"args": ["a\0b"]}, {"env": [{"name": "A=B", "value": ""}]}])
def test_what_no_program_can_be_given_is_refused(tmp_path, keys):
    with pytest.raises(LoginError):
        run(plugin_of(tmp_path, answer(token="t"), **keys))
