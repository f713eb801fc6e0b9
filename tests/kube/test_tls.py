"""The CAs that a login trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from freepage.kube.errors import LoginError
from freepage.kube.tls import build_tls

BUNDLE = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")


def first_certificate():
    """Return the first certificate that this machine trusts, as PEM."""
    end = b"-----END CERTIFICATE-----\n"
    head, _, _ = BUNDLE.read_bytes().partition(end)
    return head[head.index(b"-----BEGIN") :] + end


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_comments_between_certificates_may_be_in_any_encoding(encoding):
    bundle = "# Autorité de certification\n".encode(encoding) + first_certificate()
    assert build_tls(bundle).cert_store_stats()["x509"] == 1


def test_an_empty_file_of_a_ca_is_refused_rather_than_taken_for_the_systems():
    with pytest.raises(LoginError, match="the file of the CA is empty"):
        build_tls(b" \n")
