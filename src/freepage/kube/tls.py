"""TLS contexts: the CAs to trust and the client certificate to show."""

from __future__ import annotations

import ssl
import tempfile

from freepage.kube.errors import LoginError


def build_tls(
    authority: bytes | None, certificate: tuple[bytes, bytes] | None = None, *, insecure: bool = False
) -> ssl.SSLContext:
    """Trust one CA (PEM), else the system's; show a certificate and its key (PEM) where there is one."""
    if authority is not None and not authority.strip():
        raise LoginError(
            "the file of the CA is empty",
            hint="name one that holds certificates, or leave it out to trust the system's",
        )
    try:
        # Comments between certificates may be in any encoding; certificates are ASCII.
        context = ssl.create_default_context(
            cadata=authority.decode("ascii", "ignore") if authority else None
        )
        # Python 3.13 asks more of a CA than clusters' own CAs have, and more than kubectl asks.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate:
            _load_certificate(context, *certificate)
    except (ssl.SSLError, ValueError) as error:
        raise LoginError(f"the login's certificates cannot be read: {error}") from error
    return context


def _load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # OpenSSL takes a key from a file only: one that nobody else can read, and that is gone at once.
    with tempfile.NamedTemporaryFile(prefix="freepage-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
