"""Which of a user's credentials are shown; the wanted answers are those that kubectl 1.33 gave."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from freepage.kube import credentials
from freepage.kube.address import Address
from freepage.kube.credentials import find_credentials, find_impersonation, read_subject
from freepage.kube.errors import LoginError
from helpers.kubeconfigs import entry_of

HTTPS = Address("https://lab.example")
ANN = base64.b64encode(b"ann:secret").decode()
PEM = base64.b64encode(b"pem").decode()
CERTIFICATE = {"client-certificate-data": PEM, "client-key-data": PEM}
PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "interactiveMode": "Never"}


def json_web_token(**claims):
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{payload}.signature"


@pytest.fixture
def _plugin(monkeypatch):
    monkeypatch.setattr(credentials, "run_plugin", lambda *_: ("of-plugin", None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    (folder / "fresh").write_text("of-file\n")
    (folder / "empty").write_text("\n")
    return folder


@pytest.mark.parametrize(
    ("user", "token", "basic", "certificate"),
    [
        ({}, None, None, False),
        ({"token": "", "tokenFile": None, "exec": None, "auth-provider": None}, None, None, False),
        ({"token": "inline"}, "inline", None, False),
        ({"token": " inline\n"}, "inline", None, False),
        ({"tokenFile": "fresh"}, "of-file", None, False),
        ({"token": "inline", "tokenFile": "fresh"}, "of-file", None, False),
        ({"token": "inline", "tokenFile": "gone"}, "inline", None, False),
        ({"token": "inline", "tokenFile": "empty"}, "inline", None, False),
        ({"token": "inline", **CERTIFICATE}, "inline", None, True),
        (CERTIFICATE, None, None, True),
        ({"username": "ann", "password": "secret"}, None, ANN, False),
        ({"username": "ann", "password": "secret", **CERTIFICATE}, None, ANN, True),
        ({"username": "ann"}, None, base64.b64encode(b"ann:").decode(), False),
        ({"password": "secret"}, None, None, False),
        ({"client-key-data": PEM}, None, None, False),
        ({"exec": PLUGIN}, "of-plugin", None, False),
        ({"exec": PLUGIN, "token": "inline"}, "inline", None, False),
        ({"exec": PLUGIN, "tokenFile": "fresh"}, "of-file", None, False),
        ({"exec": PLUGIN, "username": "ann", "password": "secret"}, None, ANN, False),
        ({"exec": PLUGIN, **CERTIFICATE}, None, None, True),
    ],
)
@pytest.mark.usefixtures("_plugin")
def test_of_several_credentials_those_are_shown_that_kubectl_shows(folder, user, token, basic, certificate):
    found = find_credentials(entry_of(user, folder), entry_of({}), HTTPS)
    assert (found.token, found.basic, found.certificate is not None) == (token, basic, certificate)


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"token": "t", "username": "ann"}, "both a token and a password"),
        ({"tokenFile": "fresh", "username": "ann"}, "both a token and a password"),
        ({"tokenFile": "gone"}, r"token file .*/gone: No such file"),
        ({"tokenFile": "."}, r"token file .*: Is a directory"),
        ({"client-certificate-data": PEM}, "client-certificate without its client-key"),
        ({"client-certificate": "gone", "client-key": "gone"}, r"client-certificate .*/gone: No such file"),
        ({"exec": {}}, "exec of user .* has no command"),
        ({"exec": PLUGIN, "auth-provider": {"name": "oidc"}}, "both exec and auth-provider"),
        (
            {"auth-provider": {"name": "gcp", "config": {"access-token": "t"}}},
            'auth-provider "gcp", which Kubernetes',
        ),
        ({"auth-provider": {"name": "azure"}, "token": "t"}, 'auth-provider "azure"'),
        ({"auth-provider": {"name": "oidc"}}, "its id-token is not there"),
    ],
)
def test_credentials_that_kubectl_refuses_are_refused_with_the_reason(folder, user, words):
    with pytest.raises(LoginError, match=words):
        find_credentials(entry_of(user, folder), entry_of({}), HTTPS)


@pytest.mark.parametrize("in_s", [3600, -3600])
def test_the_token_of_openid_connect_is_taken_until_it_expires(in_s):
    token = json_web_token(exp=time.time() + in_s)
    user = entry_of({"auth-provider": {"name": "oidc", "config": {"id-token": token}}})
    if in_s > 0:
        assert find_credentials(user, entry_of({}), HTTPS).token == token
    else:
        with pytest.raises(LoginError, match="its id-token is out of date") as caught:
            find_credentials(user, entry_of({}), HTTPS)
        assert "kubectl renews it" in caught.value.hint


@pytest.mark.usefixtures("_plugin")
def test_nothing_is_shown_to_a_server_that_is_reached_in_the_open(folder):
    user = entry_of({"tokenFile": "gone", "exec": PLUGIN, **CERTIFICATE}, folder)
    assert find_credentials(user, entry_of({}), Address("http://lab.example")) == credentials.Credentials()


def test_a_password_in_the_address_comes_before_a_token():
    found = find_credentials(
        entry_of({"token": "t"}), entry_of({}), Address("https://lab.example", "in-address")
    )
    assert (found.token, found.basic) == (None, "in-address")


def test_who_is_impersonated_is_said_whole():
    user = {
        "as": "bob",
        "as-uid": "7",
        "as-groups": ["g1", "g2"],
        "as-user-extra": {"example.org/Scopes": ["a", "b"], "ä%": ["c"], "none": []},
    }
    assert find_impersonation(entry_of(user)) == (
        ("Impersonate-User", "bob"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "g1"),
        ("Impersonate-Group", "g2"),
        ("Impersonate-Extra-example.org%2FScopes", "a"),
        ("Impersonate-Extra-example.org%2FScopes", "b"),
        ("Impersonate-Extra-%C3%A4%25", "c"),
    )


@pytest.mark.parametrize(
    "user", [{}, {"as": ""}, {"as": None, "as-uid": "", "as-groups": [], "as-user-extra": {}}]
)
def test_nobody_is_impersonated_where_nobody_is_named(user):
    assert find_impersonation(entry_of(user)) == ()


@pytest.mark.parametrize("user", [{"as-uid": "7"}, {"as-groups": ["g"]}, {"as-user-extra": {"a": ["b"]}}])
def test_an_impersonation_without_a_user_is_refused_as_by_kubectl(user):
    with pytest.raises(LoginError, match='and no "as"'):
        find_impersonation(entry_of(user))


@pytest.mark.parametrize(
    "user", [{"as": "a\r\nb"}, {"as": "a", "as-groups": ["b\n"]}, {"as": "a", "as-user-extra": {1: []}}]
)
def test_an_impersonation_that_fits_no_header_is_refused(user):
    with pytest.raises(LoginError, match=r"fits no header|is not a text"):
        find_impersonation(entry_of(user))


@pytest.mark.parametrize(
    ("token", "subject"),
    [
        (json_web_token(sub="system:serviceaccount:ns:sa"), "system:serviceaccount:ns:sa"),
        (json_web_token(sub=5), None),
        (json_web_token(sub="a\nb"), None),
        ("a.W10.c", None),
        ("a.***.c", None),
        ("sha256~opaque", None),
        (None, None),
    ],
)
def test_who_a_token_speaks_for_is_read_where_it_says_so(token, subject):
    assert read_subject(token) == subject


def test_no_credential_is_ever_shown():
    found = find_credentials(entry_of({"token": "hidden", **CERTIFICATE}, Path("/x")), entry_of({}), HTTPS)
    assert "hidden" not in repr(found)
    assert "pem" not in repr(found.certificate)
