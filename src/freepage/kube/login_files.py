"""Files that a login names: certificates, keys and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.kube.errors import LoginError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Pem:
    """Certificates or a key (PEM), and where they were read ("CA file ca.crt")."""

    data: bytes = field(repr=False)
    source: str


def read_file(path: Path, what: str) -> bytes:
    """Read a file; LoginError says what it was to hold."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoginError(f"{what} {path}: {error.strerror}") from error


def read_pem(path: Path, what: str) -> Pem:
    """Read a file of certificates or of a key."""
    return Pem(read_file(path, what), f"{what} {path}")


def read_token(path: Path) -> str | None:
    """Read a bearer token; None for an empty file, LoginError for what is no token."""
    return check_token(read_file(path, "token file").decode(errors="replace"), f"token file {path}")


def check_token(token: str | None, source: str) -> str | None:
    """Return a token without the white space around it; LoginError for one that could not stand in a header.

    A library's own error would show the token.
    """
    token = (token or "").strip()
    if not token:
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise LoginError(f"{source} holds a token with characters that no token has")
    return token
