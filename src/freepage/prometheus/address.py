"""The address of a Prometheus as a person gives it."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from freepage.prometheus.errors import ADDRESS_HINT, PrometheusError


def clean_url(text: str) -> tuple[str, tuple[str, str] | None]:
    """Return the address without the part of its API or its page that was copied along, and the user and password in it; PrometheusError for what is no address."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _has_valid_port(parts):
        raise PrometheusError(f"{_without_login(text)} is not an address of Prometheus", hint=ADDRESS_HINT)
    if parts.query or parts.fragment:
        raise PrometheusError(
            f"the address of Prometheus ends with a query: {_without_login(text)}", hint=ADDRESS_HINT
        )
    path = re.sub(r"/+(graph|vmui|api(/v1(/query(_range)?)?)?)?/*$", "", parts.path)
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username is not None else None
    return plain, login


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _without_login(text: str) -> str:
    """Return an address without its user, its password and its query, which may be secret."""
    before, slashes, rest = text.partition("//")
    host, slash, path = rest.split("?")[0].partition("/")
    return f"{before}{slashes}{host.rpartition('@')[2]}{slash}{path}"
