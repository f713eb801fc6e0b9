"""The address of an API server, completed as client-go does it."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from freepage.kube.errors import LoginError

HINT = "as in https://HOST:6443"


@dataclass(frozen=True)
class Address:
    """A server's URL without a slash at its end, and the user and password that stood in it ("user:password" in base64)."""

    url: str
    basic: str | None = field(default=None, repr=False)

    @property
    def is_http(self) -> bool:
        return self.url.startswith("http:")

    @property
    def is_open(self) -> bool:
        """Whether what is sent there can be read on the way: kubectl sends no credentials over http either."""
        return self.is_http and not is_loopback(urlsplit(self.url).hostname or "")


def find_address(server: str | None, source: str, *, tls: bool) -> Address:
    """Complete the address of a server: https for one without a scheme if a login brings something for TLS, else http.

    Raises LoginError, which names the source, for what is no address. Its query and fragment are dropped.
    """
    text = (server or "").strip()
    if not text:
        raise LoginError(f"{source} has no server", hint=HINT)
    bare = "://" not in text
    parts = split_url(f"{'https' if tls else 'http'}://{text}" if bare else text)
    if parts is None or parts.scheme not in {"http", "https"} or (bare and parts.path.strip("/")):
        raise LoginError(f'{source}: "{hide_password(text)}" is no address of a server', hint=HINT)
    login, at, host = parts.netloc.rpartition("@")
    return Address(
        f"{parts.scheme}://{host.rstrip(':')}{parts.path}".rstrip("/"), _encode_login(login) if at else None
    )


def split_url(text: str) -> SplitResult | None:
    """Split a URL; None for what has no host, no usable port or white space in it."""
    try:
        parts = urlsplit(text)
        usable = parts.hostname and parts.port != 0 and not any(c.isspace() for c in text)
    except ValueError:
        return None
    return parts if usable and text.isprintable() else None


def hide_password(url: str) -> str:
    """Return a URL without the user and the password in it."""
    scheme, slashes, rest = url.partition("//")
    return scheme + slashes + rest.rpartition("@")[2] if slashes else url.rpartition("@")[2]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _encode_login(login: str) -> str:
    user, _, password = login.partition(":")
    return base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
