"""Addresses of servers, as client-go completes them."""

from __future__ import annotations

import pytest

from freepage.kube.address import find_address, hide_password
from freepage.kube.errors import LoginError


@pytest.mark.parametrize(
    ("text", "tls", "url"),
    [
        ("https://api.lab.example:6443", False, "https://api.lab.example:6443"),
        ("https://api.lab.example/", False, "https://api.lab.example"),
        ("https://lab.example/k8s/clusters/c-1/", False, "https://lab.example/k8s/clusters/c-1"),
        ("https://lab.example/a%2Fb?x=1#y", False, "https://lab.example/a%2Fb"),
        ("HTTPS://lab.example", False, "https://lab.example"),
        ("https://lab.example:", False, "https://lab.example"),
        ("https://[2001:db8::1]:6443", False, "https://[2001:db8::1]:6443"),
        ("api.lab.example:6443", True, "https://api.lab.example:6443"),
        ("api.lab.example:6443", False, "http://api.lab.example:6443"),
        ("192.0.2.7", True, "https://192.0.2.7"),
        ("192.0.2.7:8001", False, "http://192.0.2.7:8001"),
        ("[2001:db8::1]:6443", True, "https://[2001:db8::1]:6443"),
        ("[2001:db8::1]", False, "http://[2001:db8::1]"),
        ("localhost:8080", False, "http://localhost:8080"),
        (" https://lab.example\n", False, "https://lab.example"),
    ],
)
def test_a_server_without_a_scheme_is_https_where_the_login_brings_something_for_tls(text, tls, url):
    assert find_address(text, 'cluster "c"', tls=tls).url == url


@pytest.mark.parametrize(
    "text",
    [
        "https://",
        "https://host:port",
        "https://host:0",
        "https://host:99999",
        "ftp://host",
        "//host",
        "host/path",
        "2001:db8::1",
        "https://a b",
        "https://a\nb",
        "https://ann:hidden@host:port",
        "ann:hidden@host:port",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(text):
    with pytest.raises(LoginError, match="is no address of a server") as caught:
        find_address(text, 'cluster "c"', tls=True)
    assert "hidden" not in str(caught.value)
    assert caught.value.hint == "as in https://HOST:6443"


@pytest.mark.parametrize("text", [None, "", " "])
def test_a_cluster_without_a_server_is_named(text):
    with pytest.raises(LoginError, match='cluster "c" has no server'):
        find_address(text, 'cluster "c"', tls=False)


def test_a_user_and_a_password_in_an_address_are_taken_out_of_it():
    address = find_address("https://ann:p%40w@lab.example:6443", "", tls=False)
    assert (address.url, address.basic) == ("https://lab.example:6443", "YW5uOnBAdw==")
    assert "YW5u" not in repr(address)


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("https://lab.example", False),
        ("http://lab.example", True),
        ("http://192.0.2.7:8001", True),
        ("http://localhost:8001", False),
        ("http://127.0.0.1:8001", False),
        ("http://[::1]:8001", False),
        ("http://0.0.0.0:8001", True),
    ],
)
def test_http_is_open_to_others_unless_it_stays_on_this_machine(text, is_open):
    assert find_address(text, "", tls=False).is_open is is_open


@pytest.mark.parametrize(
    "text", ["http://ann:hidden@proxy:1", "ann:hidden@proxy:1", "http://ann:hid@den@proxy:1"]
)
def test_a_password_is_hidden_and_the_host_is_not(text):
    assert hide_password(text).endswith("proxy:1")
    assert "hid" not in hide_password(text)
