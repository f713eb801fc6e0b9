"""Proxies from the environment; the wanted answers are those that kubectl 1.33 gave."""

from __future__ import annotations

import pytest

from freepage.kube.errors import LoginError
from freepage.kube.proxy import check_proxy, find_proxy

PROXY = "http://proxy.example:3128"
NAME, IPV4, IPV6 = "https://api.lab.example:6443", "https://192.0.2.7:6443", "https://[2001:db8::1]:6443"


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("server", "no_proxy"),
    [
        (NAME, "api.lab.example"),
        (NAME, "lab.example"),
        (NAME, ".lab.example"),
        (NAME, "*.lab.example"),
        (NAME, "*"),
        (NAME, "EXAMPLE"),
        (NAME, "api.lab.example:6443"),
        (NAME, ".lab.example:6443"),
        (NAME, " other , lab.example "),
        ("https://api.lab.example", "lab.example:443"),
        (IPV4, "192.0.2.7"),
        (IPV4, "192.0.2.7:6443"),
        (IPV4, "broken/x,192.0.2.0/24"),
        (IPV4, "192.0.2.99/24"),
        (IPV4, "*"),
        (IPV6, "2001:db8::1"),
        (IPV6, "2001:db8::/32"),
        (IPV6, "[2001:db8::1]:6443"),
        ("https://localhost:6443", ""),
        ("https://127.9.9.9:6443", ""),
        ("https://[::1]:6443", ""),
    ],
)
def test_a_server_is_reached_without_a_proxy_where_no_proxy_or_its_address_says_so(
    monkeypatch, server, no_proxy
):
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert find_proxy(server) is None


@pytest.mark.parametrize(
    ("server", "no_proxy"),
    [
        (NAME, ""),
        (NAME, "b.example"),
        (NAME, "api.lab.example:443"),
        (NAME, "api.lab.example."),
        (NAME, "*lab.example"),
        (NAME, "other lab.example"),
        (NAME, "other;lab.example"),
        (NAME, "lab.*"),
        (NAME, ":6443,,"),
        ("https://lab.example:6443", ".lab.example"),
        (IPV4, "192.0.2.7:443"),
        (IPV4, "192.0.2"),
        (IPV4, "192.0.2."),
        (IPV4, "0.2.7"),
        (IPV6, "[2001:db8::1]"),
        ("https://0.0.0.0:6443", ""),
        ("https://x.localhost:6443", ""),
    ],
)
def test_any_other_server_is_reached_through_the_proxy(monkeypatch, server, no_proxy):
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert find_proxy(server) == PROXY


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({"https_proxy": PROXY}, PROXY),
        ({"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, PROXY),
        ({"HTTPS_PROXY": "", "https_proxy": PROXY}, PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ({"HTTPS_PROXY": "socks5://proxy.example"}, "socks5://proxy.example"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "", "no_proxy": "example"}, None),
        ({"HTTP_PROXY": PROXY}, None),
        ({"ALL_PROXY": PROXY}, None),
        ({}, None),
    ],
)
def test_a_variable_in_capitals_comes_first_and_is_of_the_servers_own_scheme(monkeypatch, environment, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(NAME) == proxy


def test_a_server_by_http_has_a_variable_of_its_own(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    assert find_proxy("http://api.lab.example:8001") == PROXY


@pytest.mark.parametrize(
    "proxy", ["ftp://ann:hidden@proxy", "http://ann:hidden@proxy:x", "http://", "proxy:3128", "//proxy"]
)
def test_what_is_no_proxy_is_refused_without_its_password(proxy):
    with pytest.raises(LoginError, match=r'^proxy-url of cluster "c": .* is no address of a proxy') as caught:
        check_proxy(proxy, 'proxy-url of cluster "c"')
    assert "hidden" not in str(caught.value)
