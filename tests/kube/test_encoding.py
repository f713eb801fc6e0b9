"""Bytes as text, in whichever encoding they were written."""

from __future__ import annotations

import codecs
import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.kube.encoding import EncodingError, decode_text

TEXT = '{"name": "bücher",\r\n"kind": "日本"}'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_unicode_is_read_with_a_byte_order_mark_and_without(encoding):
    marks = {
        "utf-8": codecs.BOM_UTF8,
        "utf-16-le": codecs.BOM_UTF16_LE,
        "utf-16-be": codecs.BOM_UTF16_BE,
        "utf-32-le": codecs.BOM_UTF32_LE,
        "utf-32-be": codecs.BOM_UTF32_BE,
    }
    assert decode_text(TEXT.encode(encoding)) == TEXT
    assert decode_text(marks[encoding] + TEXT.encode(encoding)) == TEXT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{\n"name": "b\xfccher"}', "not UTF-8: line 2 has the byte 0xfc, which in Latin-1"),
        (TEXT.encode()[:12], "cut off within a character, in line 1"),
        (TEXT.encode("utf-16")[:-1], "not UTF-16 as it begins, from byte"),
        (b"{}\n\n\0\0\0", "a NUL character in line 3"),
        (gzip.compress(b"{}", mtime=0), "a gzip file: unpack it first"),
        (b"PK\x03\x04", "a zip file"),
        (bytes(257) + b"ustar", "a tar file"),
    ],
)
def test_what_is_no_unicode_is_named(data, words):
    with pytest.raises(EncodingError, match=r".") as caught:
        decode_text(data)
    assert words in str(caught.value)


@given(st.binary())
def test_any_bytes_are_a_text_or_refused_in_words(data):
    with contextlib.suppress(EncodingError):
        assert isinstance(decode_text(data), str)
