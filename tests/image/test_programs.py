"""What programs need of their host."""

from __future__ import annotations

from pathlib import Path

import pytest

from freepage.errors import HostError
from freepage.image.programs import parse_ldd, parse_shebang

LDD = """\tlinux-vdso.so.1 (0x00007ffd)
\tlibaio.so.1 => /lib/x86_64-linux-gnu/libaio.so.1 (0x00007f10)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f20)
"""


def test_libraries_and_the_loader_are_read_from_what_ldd_prints():
    assert parse_ldd(LDD) == [
        Path("/lib/x86_64-linux-gnu/libaio.so.1"),
        Path("/lib/x86_64-linux-gnu/libc.so.6"),
        Path("/lib64/ld-linux-x86-64.so.2"),
    ]
    assert parse_ldd("\tnot a dynamic executable\n") == []


def test_a_library_that_is_missing_is_named():
    with pytest.raises(HostError, match=r"libodd.so.3, which is not installed"):
        parse_ldd("\tlibodd.so.3 => not found\n")


@pytest.mark.parametrize(
    ("head", "programs"),
    [
        (b"#!/bin/sh\n", ["/bin/sh"]),
        (b"#! /bin/sh -e\necho", ["/bin/sh"]),
        (b"#!/usr/bin/env python3\n", ["/usr/bin/env", "python3"]),
        (b"#!/usr/bin/env -S LANG=C sh -e\n", ["/usr/bin/env", "sh"]),
        (b"#!\n", []),
        (b"plain text", []),
        (b"", []),
    ],
)
def test_a_scripts_programs_are_read_from_its_first_line(head, programs):
    assert parse_shebang(head) == programs
