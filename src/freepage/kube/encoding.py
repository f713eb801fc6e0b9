"""The bytes of a file or a pipe as text: Unicode in any of its encodings, as shells and editors of all systems write it."""

from __future__ import annotations

import codecs

# The longer first: UTF-16's mark is the beginning of UTF-32's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# Of a text without a mark, whose first character is ASCII: where NUL bytes stand in its first four bytes.
_PATTERNS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
# What files that are no text begin with, at which byte.
_OTHER_FILES = (
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (257, b"ustar", "tar"),
)


class EncodingError(ValueError):
    """Bytes are no text; the message says what they are, as what follows "FILE is"."""


def decode_text(data: bytes) -> str:
    """Return the text of UTF-8, UTF-16 or UTF-32, with a byte order mark or without; EncodingError for other bytes."""
    packed = next((kind for at, magic, kind in _OTHER_FILES if data[at:].startswith(magic)), None)
    if packed is not None:
        raise EncodingError(f"a {packed} file: unpack it first")
    encoding = _find_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise EncodingError(_describe(data, encoding, error)) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise EncodingError(f"no text: it has a NUL character in line {line}, as a file that was cut off has")
    return text


def _find_encoding(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    return _PATTERNS.get(tuple(byte == 0 for byte in data[:4]), "utf-8")


def _describe(data: bytes, encoding: str, error: UnicodeDecodeError) -> str:
    if not encoding.startswith("utf-8"):
        return f"not {encoding.upper()} as it begins, from byte {error.start} on: it was damaged or cut off"
    line = data.count(b"\n", 0, error.start) + 1
    if "end of data" in error.reason:
        return f"cut off within a character, in line {line}"
    byte = data[error.start]
    return (
        f"not UTF-8: line {line} has the byte 0x{byte:02x}, which in Latin-1 (ISO 8859-1, Windows-1252) is "
        f"{bytes([byte]).decode('cp1252', 'replace')!r}: convert it, as by iconv -f latin1 -t utf-8"
    )
