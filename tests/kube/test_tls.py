"""The CAs that a login trusts, the certificate that it shows, and failed handshakes."""

from __future__ import annotations

import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from freepage.kube.errors import LoginError
from freepage.kube.login_files import Pem
from freepage.kube.tls import CLOCK_HINT, NO_CA_HINT, build_tls, explain_failure
from helpers.api_server import make_certificate

BUNDLE = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
BROKEN = b"-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"


def first_certificate():
    """Return the first certificate that this machine trusts, as PEM."""
    end = b"-----END CERTIFICATE-----\n"
    head, _, _ = BUNDLE.read_bytes().partition(end)
    return head[head.index(b"-----BEGIN") :] + end


def pem(data, source="CA file ca.crt"):
    return Pem(data, source)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make certificates by name: of 127.0.0.1, of another one, and one that has expired."""
    folder = tmp_path_factory.mktemp("certificates")
    made = {name: make_certificate(folder, name) for name in ("ann", "bob")}
    own = ["-key", str(made["ann"][1])]
    request = subprocess.run(
        ["openssl", "req", "-new", *own, "-subj", "/CN=old", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    old = folder / "old.crt"
    command = ["openssl", "x509", "-req", "-days", "-1", "-signkey", *own[1:], "-copy_extensions", "copy"]
    subprocess.run([*command, "-out", str(old)], check=True, capture_output=True, input=request.stdout)
    return made | {"old": (old, made["ann"][1])}


def read_pair(files):
    return tuple(pem(f.read_bytes(), f.name) for f in files)


def shake_hands(client, certificate, name="127.0.0.1"):
    """Have a client meet a server with a certificate, in memory; the client's error is raised."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        context.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0].version()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_comments_between_certificates_may_be_in_any_encoding(encoding):
    bundle = "# Autorité de certification\n".encode(encoding) + first_certificate()
    assert build_tls(pem(bundle)).cert_store_stats()["x509"] == 1


def test_a_certificate_that_cannot_be_read_does_not_take_the_others_with_it():
    assert build_tls(pem(BROKEN + first_certificate())).cert_store_stats()["x509"] == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b" \n", "CA file ca.crt is empty"),
        (b"hello", "CA file ca.crt holds no certificate"),
        (BROKEN, "CA file ca.crt holds no certificate"),
        (b"\x30\x82\x01", "CA file ca.crt holds no certificate"),
    ],
)
def test_a_ca_that_is_none_is_named_rather_than_taken_for_the_systems(data, words):
    with pytest.raises(LoginError, match=words):
        build_tls(pem(data))


def test_a_ca_beside_the_wish_to_verify_nothing_is_refused_as_by_kubectl():
    with pytest.raises(LoginError, match=r"CA file ca\.crt is given together with insecure-skip-tls-verify"):
        build_tls(pem(first_certificate()), insecure=True)


def test_a_server_is_trusted_by_its_own_certificate_and_by_the_name_that_is_given(made):
    trusted = read_pair(made["bob"])[0]
    assert shake_hands(build_tls(trusted), made["bob"]) == "TLSv1.3"
    assert shake_hands(build_tls(trusted, server_name="127.0.0.1"), made["bob"], "lab.example") == "TLSv1.3"
    assert shake_hands(build_tls(None, insecure=True), made["bob"], "lab.example") == "TLSv1.3"


@pytest.mark.parametrize(
    ("trusted", "shown", "name", "words", "hint"),
    [
        ("ann", "bob", "127.0.0.1", "self-signed certificate", "is its CA the one in CA file ca.crt?"),
        ("bob", "bob", "lab.example", "Hostname mismatch", "tls-server-name"),
        ("bob", "bob", "192.0.2.7", "IP address mismatch", "tls-server-name"),
        ("old", "old", "127.0.0.1", "certificate has expired", CLOCK_HINT),
    ],
)
def test_a_ca_that_is_not_known_a_wrong_name_and_an_expired_certificate_are_told_apart(
    made, trusted, shown, name, words, hint
):
    client = build_tls(read_pair(made[trusted])[0])
    with pytest.raises(ssl.SSLError) as caught:
        shake_hands(client, made[shown], name)
    reason, told = explain_failure(caught.value, "CA file ca.crt")
    assert words in reason
    assert hint in told
    assert ("is its CA" in told) == (trusted == "ann")


def test_a_server_whose_ca_nobody_named_asks_for_it(made):
    client = build_tls(None)
    with pytest.raises(ssl.SSLError) as caught:
        shake_hands(client, made["bob"])
    assert explain_failure(caught.value, None)[1] == NO_CA_HINT


def test_a_server_that_speaks_no_tls_is_told_from_one_that_is_not_trusted():
    to_client = ssl.MemoryBIO()
    to_client.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        build_tls(None, insecure=True).wrap_bio(to_client, ssl.MemoryBIO()).do_handshake()
    reason, hint = explain_failure(caught.value, "CA file ca.crt")
    assert "does not speak TLS" in reason
    assert "http://" in hint


@pytest.mark.parametrize(
    "reason", ["TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE"]
)
def test_a_server_that_refuses_our_certificate_is_told_from_one_that_we_do_not_trust(reason):
    error = ssl.SSLError(1, reason)
    error.reason = reason
    told, hint = explain_failure(error, "CA file ca.crt")
    assert "refuses the certificate of this login" in told
    assert "is its CA" not in hint


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        (b"hello", None, "client-certificate holds no certificate"),
        (None, b"hello", "client-key holds no private key"),
        (None, "bob", "client-certificate and client-key cannot be used: .*values mismatch"),
        (None, "locked", "it has a passphrase"),
    ],
)
def test_a_client_certificate_that_cannot_be_used_is_named(made, certificate, key, words):
    own, own_key = read_pair(made["ann"])
    if key == "locked":
        command = ["openssl", "pkey", "-in", str(made["ann"][1]), "-aes128", "-passout", "pass:secret"]
        key = subprocess.run(command, check=True, capture_output=True).stdout
    elif key == "bob":
        key = read_pair(made["bob"])[1].data
    pair = (pem(certificate or own.data, "client-certificate"), pem(key or own_key.data, "client-key"))
    with pytest.raises(LoginError, match=words):
        build_tls(read_pair(made["bob"])[0], pair)
