"""Who a login is: the token, name and password or certificate of a kubeconfig's user, chosen among several as kubectl does."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from freepage.kube.errors import LoginError
from freepage.kube.login_files import Pem, check_token, read_token
from freepage.kube.plugin import check_plugin, run_plugin

if TYPE_CHECKING:
    from freepage.kube.address import Address
    from freepage.kube.entries import ConfigEntry

# What may stand unencoded in the name of a header, beside letters, digits and "_.-~", which always may.
HEADER_CHARACTERS = "!#$&'*+^`|"
NO_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True)
class Credentials:
    """A login's proof of who it is: a bearer token, or "user:password" in base64; and a certificate with its key."""

    token: str | None = field(default=None, repr=False)
    basic: str | None = field(default=None, repr=False)
    certificate: tuple[Pem, Pem] | None = field(default=None, repr=False)


def find_credentials(user: ConfigEntry, cluster: ConfigEntry, address: Address) -> Credentials:
    """Find the credentials of a user for a server, none for one to which they would go in the open.

    The user's plugin is run if nothing else stands there.

    Raises LoginError for what cannot be read, and for two ways to log in of which kubectl takes neither.
    """
    if address.is_open:
        return Credentials()
    certificate = _read_certificate(user)
    if address.basic:
        return Credentials(basic=address.basic, certificate=certificate)
    token, basic = _find_token(user), _encode_basic(user)
    if token and basic:
        raise LoginError(
            f"{user.name} has both a token and a password", hint="kubectl refuses that as well: take one out"
        )
    found = Credentials(token, basic, certificate)
    plugin, provider = user.part("exec"), user.part("auth-provider")
    if plugin and provider:
        raise LoginError(f"{user.name} has both exec and auth-provider", hint="take the auth-provider out")
    if provider:
        provided = _find_provided(user, provider)
        return found if token or basic else replace(found, token=provided)
    if plugin:
        check_plugin(plugin)
    if plugin and found == Credentials():
        token, certificate = run_plugin(plugin, cluster)
        return Credentials(token, certificate=certificate)
    return found


def find_impersonation(user: ConfigEntry) -> tuple[tuple[str, str], ...]:
    """Build the headers that ask the server to take the user for another; () where it does not say so."""
    name, uid, groups = user.text("as"), user.text("as-uid"), user.texts("as-groups")
    extra = user.part("as-user-extra")
    values = [(key, extra.texts(key)) for key in extra.names()] if extra else []
    if not name:
        if uid or groups or values:
            raise LoginError(
                f'{user.name} has as-uid, as-groups or as-user-extra, and no "as"',
                hint="kubectl refuses that as well: say whom to impersonate",
            )
        return ()
    headers = [("Impersonate-User", name)]
    headers += [("Impersonate-Uid", uid)] if uid else []
    headers += [("Impersonate-Group", group) for group in groups]
    headers += [
        (f"Impersonate-Extra-{quote(key, safe=HEADER_CHARACTERS)}", value)
        for key, several in values
        for value in several
    ]
    if any(NO_HEADER.search(value) for _, value in headers):
        raise LoginError(f"{user.name} impersonates by a text that fits no header")
    return tuple((header, value.strip()) for header, value in headers)


def read_subject(token: str | None) -> str | None:
    """Read who a JSON web token speaks for, unverified; None for any other token."""
    subject = _read_claims(token).get("sub")
    return subject if isinstance(subject, str) and subject.isprintable() else None


def _read_certificate(user: ConfigEntry) -> tuple[Pem, Pem] | None:
    if (certificate := user.read_pem("client-certificate")) is None:
        return None
    if (key := user.read_pem("client-key")) is None:
        raise LoginError(f"{user.name} has a client-certificate without its client-key")
    return certificate, key


def _find_token(user: ConfigEntry) -> str | None:
    """Find the token: a file that is there comes first, since it may have been renewed."""
    token, path = check_token(user.text("token"), user.name), user.text("tokenFile")
    if not path:
        return token
    try:
        return read_token(user.find_path(path)) or token
    except LoginError:
        if token is None:
            raise
        return token


def _encode_basic(user: ConfigEntry) -> str | None:
    name, password = user.text("username"), user.text("password")
    return base64.b64encode(f"{name}:{password or ''}".encode()).decode() if name else None


def _find_provided(user: ConfigEntry, provider: ConfigEntry) -> str | None:
    """Return the token that an auth-provider holds (of OpenID Connect: the others are gone from Kubernetes)."""
    name, config = provider.text("name"), provider.part("config")
    if name != "oidc":
        raise LoginError(
            f'{user.name} logs in by the auth-provider "{name}", which Kubernetes takes no more',
            hint="have the kubeconfig written anew with a credential plugin (exec), such as gke-gcloud-auth-plugin or kubelogin",
        )
    token = check_token(config.text("id-token") if config else None, user.name)
    expiry = _read_claims(token).get("exp")
    if token is None or (isinstance(expiry, int | float) and expiry < time.time()):
        raise LoginError(
            f"{user.name} logs in by the auth-provider oidc, and its id-token is {'not there' if token is None else 'out of date'}",
            hint="any command of kubectl renews it; a credential plugin (exec), such as kubelogin, is asked by freepage too",
        )
    return token


def _read_claims(token: str | None) -> dict[str, Any]:
    try:
        payload = (token or "").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
