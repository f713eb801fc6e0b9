"""The proxy that the environment names for a server."""

from __future__ import annotations

import ipaddress
import urllib.request
from urllib.parse import urlsplit


def find_proxy(server: str) -> str | None:
    """Find the proxy that the environment names for a server."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    if urllib.request.proxy_bypass(host) or _bypasses_network(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _bypasses_network(host: str) -> bool:
    """Return whether no_proxy has a network (10.0.0.0/8) with this address: clusters set it so in pods."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for name in urllib.request.getproxies().get("no", "").split(","):
        try:
            if "/" in name and address in ipaddress.ip_network(name.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
