"""The test cluster's own CA, its server's certificate, and a client's."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

LASTS = timedelta(days=2)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def make_authority() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("freepage test cluster CA")
    builder = _builder(name, name, key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def make_server(authority: Pair) -> Pair:
    """Make a certificate for 127.0.0.1, localhost and the name pods know the API server by."""
    names = [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.DNSName("localhost"),
        x509.DNSName("kubernetes.default.svc"),
    ]
    alternatives = x509.SubjectAlternativeName(names)
    return _issue(authority, _name("kube-apiserver"), ExtendedKeyUsageOID.SERVER_AUTH, alternatives)


def make_client(authority: Pair, user: str, group: str) -> Pair:
    """Make a client's certificate, which says who they are."""
    return _issue(authority, _name(user, group), ExtendedKeyUsageOID.CLIENT_AUTH)


def _issue(
    authority: Pair, name: x509.Name, usage: x509.ObjectIdentifier, *extensions: x509.ExtensionType
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate.subject
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = _builder(name, issuer, key)
    for extension in (x509.ExtendedKeyUsage([usage]), signer, *extensions):
        builder = builder.add_extension(extension, critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LASTS)
    )


def _name(common: str, organisation: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def server_context(authority: Pair, server: Pair, folder: Path) -> ssl.SSLContext:
    """Build the server's side of TLS; a client's certificate is welcome, not needed."""
    file = folder / "apiserver.pem"
    file.touch(mode=0o600)
    file.write_bytes(server.certificate_pem + server.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    context.load_verify_locations(cadata=authority.certificate_pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
