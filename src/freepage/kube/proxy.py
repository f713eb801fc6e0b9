"""The proxy for a server: as Go's programs find it in the environment, kubectl among them."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from freepage.kube.address import hide_password, is_loopback, split_url
from freepage.kube.errors import LoginError

SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
PORTS = {"http": 80, "https": 443}


def find_proxy(server: str) -> str | None:
    """Find the proxy that the environment names for a server: HTTPS_PROXY or HTTP_PROXY, but for NO_PROXY.

    What is on this machine is reached without one. Raises LoginError for a proxy that is none.
    """
    parts = urlsplit(server)
    variable = f"{parts.scheme}_PROXY".upper()
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    proxy = _read_variable(variable)
    if not proxy or is_loopback(host):
        return None
    if any(_excepts(e.strip().lower(), host, port) for e in _read_variable("NO_PROXY").split(",")):
        return None
    return check_proxy(proxy if "://" in proxy else f"http://{proxy}", f"the environment ({variable})")


def check_proxy(proxy: str, source: str) -> str:
    """Return the address of a proxy; LoginError, without its password, for what is none."""
    parts = split_url(proxy)
    if parts is None or parts.scheme not in SCHEMES:
        raise LoginError(
            f'{source}: "{hide_password(proxy)}" is no address of a proxy',
            hint="as in http://HOST:3128; https and socks5 are taken too",
        )
    return proxy


def _read_variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.lower()) or ""


def _excepts(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY is about a host: *, an address or a network, or a domain, perhaps with a port."""
    name, colon, own_port = entry.rpartition(":")
    if not colon or (":" in name and not name.startswith("[")):
        name, own_port = entry, ""
    if not name or (own_port and own_port != str(port)):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        domain = name.removeprefix("*") if name.startswith("*.") else name
        inside = host.endswith(domain if domain.startswith(".") else f".{domain}")
        return name == "*" or host == domain or inside
    return name == "*" or _holds(name if "/" in name else name.strip("[]"), address)


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
