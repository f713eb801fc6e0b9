"""TLS: the CAs to trust and the client certificate to show, and what a failed handshake means."""

from __future__ import annotations

import re
import ssl
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from freepage.kube.errors import LoginError

if TYPE_CHECKING:
    from freepage.kube.login_files import Pem

CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# OpenSSL's numbers (X509_verify_cert_error_string): why a certificate is not trusted.
NOT_YET_VALID, EXPIRED = 9, 10
OTHER_NAMES = frozenset({62, 64})
# What a server says of a client's certificate (RFC 8446, 6.2).
REFUSED = re.compile(r"ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")
NO_CA_HINT = "name the CA that signed it: certificate-authority of the kubeconfig's cluster, or --ca-file beside --server"
CLOCK_HINT = "it is its owner's to renew, unless the clock of this machine is wrong"


class TlsContext(ssl.SSLContext):
    """A context that verifies by a name of its own (tls-server-name) instead of the address's, within a proxy's tunnel too."""

    server_name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        name = self.server_name or server_hostname
        return super().wrap_bio(incoming, outgoing, server_side, name, session)


def build_tls(
    authority: Pem | None,
    certificate: tuple[Pem, Pem] | None = None,
    *,
    insecure: bool = False,
    server_name: str | None = None,
) -> ssl.SSLContext:
    """Trust one CA, else the system's; show a certificate and its key where there is one.

    server_name: what to verify a server by, instead of its address. Raises LoginError, which names what cannot be used.
    """
    context = TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = server_name
    # As Go does: what is trusted need not be signed by itself, nor be as strict as Python 3.13 has it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if authority and insecure:
        raise LoginError(
            f"{authority.source} is given together with insecure-skip-tls-verify",
            hint="kubectl refuses that as well: take one of them out",
        )
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority:
        _trust(context, authority)
    else:
        context.load_default_certs()
    if certificate:
        _load_certificate(context, *certificate)
    return context


def explain_failure(error: ssl.SSLError, trusted: str | None) -> tuple[str, str]:
    """Return what a failure of TLS with a server means and what to do; trusted: where the CA was read, None for the system's."""
    code = getattr(error, "verify_code", 0)
    reason = str(getattr(error, "verify_message", None) or error.reason or error)
    if code in OTHER_NAMES:
        return (
            reason,
            "is the address right? tls-server-name of a kubeconfig's cluster is the name that its certificate has",
        )
    if code in {NOT_YET_VALID, EXPIRED}:
        return reason, CLOCK_HINT
    if code:
        return reason, f"is its CA the one in {trusted}?" if trusted else NO_CA_HINT
    if REFUSED.search(reason):
        return f"it refuses the certificate of this login: {reason}", "log in anew, or renew the certificate"
    if reason == "WRONG_VERSION_NUMBER":
        return f"it does not speak TLS: {reason}", "is its address one of http://, or another port?"
    return reason, "is a proxy or another server at this address?"


def _trust(context: ssl.SSLContext, authority: Pem) -> None:
    """Trust the certificates among a text, which may have comments in any encoding, and some that cannot be read."""
    if not authority.data.strip():
        raise LoginError(
            f"{authority.source} is empty",
            hint="name one that holds certificates, or leave it out to trust the system's",
        )
    for block in CERTIFICATE.findall(authority.data):
        with suppress(ssl.SSLError, ValueError):
            context.load_verify_locations(cadata=block.decode("ascii"))
    if not context.cert_store_stats()["x509"]:
        raise LoginError(
            f"{authority.source} holds no certificate",
            hint='one is a text (PEM) that begins with "-----BEGIN CERTIFICATE-----"',
        )


def _load_certificate(context: ssl.SSLContext, certificate: Pem, key: Pem) -> None:
    if not CERTIFICATE.search(certificate.data):
        raise LoginError(f"{certificate.source} holds no certificate")
    if b"PRIVATE KEY-----" not in key.data:
        raise LoginError(f"{key.source} holds no private key")
    try:
        # OpenSSL takes a key from a file only: one that nobody else can read, and that is gone at once.
        with tempfile.NamedTemporaryFile(prefix="freepage-") as file:
            file.write(certificate.data + b"\n" + key.data)
            file.flush()
            # Without a password OpenSSL would ask the terminal for one.
            context.load_cert_chain(file.name, password="")
    except (OSError, ValueError) as error:
        locked = (
            " (it has a passphrase, which kubectl does not take either)" if b"ENCRYPTED" in key.data else ""
        )
        raise LoginError(f"{certificate.source} and {key.source}{locked} cannot be used: {error}") from error
