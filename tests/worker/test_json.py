"""The worker's JSON parser alone, under sanitizers: it takes flat objects as Python does, and nothing else."""

from __future__ import annotations

import codecs
import json
import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freepage.worker import build
from freepage.worker.build import find_compiler

HERE = Path(__file__).parent
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MAX_FIELDS = 16
PRIVATE = 0x10F700
COMMANDS = [
    {"op": "ping", "id": 1},
    {
        "op": "step",
        "process": 0,
        "index": 3,
        "at_ns": 10**12,
        "action": "run",
        "argv": "sh\n-c\n\u00fc \U0001f600",
    },
    {"op": "go", "id": 2**62, "process": 0, "index": -1, "at_ns": 0},
    {"a": 1.5, "b": True, "c": None, "d": "", "\u0000": '\\"/\b\f', "e": 1e5, "f": -0.5e-7, "g": 10**30},
    {},
]


def find_flags():
    """Return the sanitizers' flags where the compiler has them, on whose absence only their sight is lost."""
    command = [*find_compiler(), *SANITIZERS, "-x", "c", "-o", "/dev/null", "-"]
    outcome = subprocess.run(command, input=b"int main(void) { return 0; }", capture_output=True, check=False)
    return SANITIZERS if outcome.returncode == 0 else ()


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    program = tmp_path_factory.mktemp("json") / "harness"
    folder = Path(build.__file__).parent
    sources = [HERE / "json_harness.c", folder / "json.c"]
    flags = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", *find_flags(), "-I", folder]
    subprocess.run([*find_compiler(), *flags, "-o", program, *sources], check=True)
    return program


def run(harness, lines, *arguments):
    told = b"".join(line + b"\n" for line in lines)
    outcome = subprocess.run([harness, *arguments], input=told, capture_output=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr.decode(errors="replace")
    return outcome.stdout.decode().split("\n")[:-1]


def as_python_reads(line):
    """Return the fields of a line in the harness' words, by Python's json; "-" where it is no flat object."""

    def refuse(word):
        raise ValueError(word)

    def take(pairs):
        if len(pairs) > MAX_FIELDS or any(isinstance(value, list | Fields) for _, value in pairs):
            raise ValueError("not flat")
        return Fields(pairs)

    try:
        value = json.loads(line.decode("utf-8", "keep-apart"), object_pairs_hook=take, parse_constant=refuse)
        return "".join(map(describe, value.pairs)) if isinstance(value, Fields) else "-"
    except (ValueError, RecursionError):
        return "-"


def keep_apart(error):
    """Decode bytes that are no UTF-8 as characters of private use, so that no escape can mean the same."""
    return "".join(chr(PRIVATE + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("keep-apart", keep_apart)


class Fields:
    def __init__(self, pairs):
        self.pairs = pairs


def describe(pair):
    key, value = pair
    if isinstance(value, str):
        words = "t:" + encode(value)
    elif type(value) is int and -(2**63) <= value < 2**63:
        words = f"i:{value}"
    else:
        words = "o:"
    return f"{encode(key)}={words} "


def encode(text):
    """Return a text's bytes in hexadecimal; ValueError for half a surrogate pair, which no UTF-8 has."""
    parts = re.split(f"([{chr(PRIVATE)}-{chr(PRIVATE + 255)}])", text)
    return b"".join(
        bytes([ord(part) - PRIVATE]) if n % 2 else part.encode() for n, part in enumerate(parts)
    ).hex()


def assert_same(harness, lines):
    for line, found in zip(lines, run(harness, lines), strict=True):
        assert found == as_python_reads(line), line


PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=30)
FLAT = st.dictionaries(
    PLAIN_TEXT,
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PLAIN_TEXT,
    max_size=MAX_FIELDS + 1,
)
WITHOUT_NEWLINES = st.binary().map(lambda data: data.replace(b"\n", b" "))


@pytest.mark.long
@settings(deadline=None, max_examples=50)
@given(st.lists(FLAT, max_size=20), st.booleans(), st.sampled_from([(",", ":"), (" ,\t", "\r: ")]))
def test_every_flat_object_is_read_as_python_reads_it(harness, objects, ascii_only, separators):
    texts = [json.dumps(o, ensure_ascii=ascii_only, separators=separators) for o in objects]
    assert_same(harness, [text.encode("utf-8", "surrogatepass") for text in texts])


@pytest.mark.long
@settings(deadline=None, max_examples=50)
@given(st.lists(WITHOUT_NEWLINES, max_size=20))
def test_any_bytes_are_refused_as_python_refuses_them(harness, lines):
    assert_same(harness, lines)


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":\x0b1}',
        b'{"a":1.}',
        b'{"a":.5}',
        b'{"a":1e}',
        b'{"a":-}',
        b'{"a":nul}',
        b'{"a":nullx}',
        b'{"a":NaN}',
        b'{"a":"\x01"}',
        b'{"a":"\t"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc80"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"a":1,}',
        b'{"a":1}{',
        b'{"a":1}\0',
        b'{"a\0":1}',
        b'{"a":[1]}',
        b'{"a":{}}',
        b'{"a" 1}',
        b"{a:1}",
        b'{"a":"',
        b'{"a":"\\',
        b'{"a":"\\u12',
        b"{" + b'"a":1,' * MAX_FIELDS + b'"a":1}',
    ],
)
def test_what_is_no_flat_object_of_at_most_16_fields_is_refused(harness, line):
    assert run(harness, [line]) == ["-"]


def test_lines_with_bytes_changed_are_read_as_python_reads_them(harness):
    assert_same(harness, [mutate(random.Random(seed)) for seed in range(3000)])


def mutate(chance):
    """Return a command whose bytes were changed, dropped, doubled, or mixed with another's."""
    line = bytearray(json.dumps(chance.choice(COMMANDS), ensure_ascii=chance.random() < 0.5).encode())
    for _ in range(chance.randrange(4)):
        start = chance.randrange(len(line) + 1)
        end = min(len(line), start + chance.randrange(6))
        other = json.dumps(chance.choice(COMMANDS)).encode()
        at = chance.randrange(len(other))
        new = [
            b"",
            bytes([chance.randrange(256)]),
            bytes(chance.choices(b'{}[]",:\\u0123456789abcdefeE+-. tn\t', k=3)),
        ]
        line[start:end] = chance.choice([*new, bytes(line[start:end]) * 2, other[at : at + 9]])
    return bytes(line).replace(b"\n", b" ")


@settings(deadline=None, max_examples=50)
@given(st.lists(WITHOUT_NEWLINES, max_size=20))
def test_any_bytes_survive_being_escaped(harness, texts):
    for text, escaped in zip(texts, run(harness, texts, "escape"), strict=True):
        assert escaped.isascii()
        assert json.loads(f'"{escaped}"').encode("latin-1") == text
