"""Documents as kubectl reads them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.kube.documents import parse_document

WANTED = {"a": "é", "b": [1, None]}
YAML = "a: é\nb: [1, null]\n"
JSON = '{\n\t"a": "é",\n\t"b": [1, null]\n}'


@pytest.mark.parametrize("text", [YAML, JSON], ids=["YAML", "JSON"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_yaml_and_json_are_read_in_the_encodings_that_editors_write(text, encoding):
    assert parse_document(text.encode(encoding)) == WANTED


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a:\t1\nb: [1,\t2]", {"a": 1, "b": [1, 2]}),
        ("a: 1\n---\nb: {", {"a": 1}),
        ("---\r\na: yes\r\n...\r\n", {"a": True}),
        ("", None),
        ("# nothing\n", None),
        ("a: !!bool other", {"a": "other"}),
    ],
    ids=[
        "dates are texts",
        "tabs between",
        "the first of several",
        "ends of lines",
        "empty",
        "a comment",
        "a tag is nothing but words",
    ],
)
def test_yaml_is_read_as_go_reads_it(text, value):
    assert parse_document(text.encode()) == value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: 1\nb: {hidden", r"is no YAML \(line 3, column 1\)"),
        (b"a:\n\thidden: 1", r"is no YAML \(line 2, column 1\)"),
        (b"a: *hidden", r"is no YAML \(line 1, column 4\)"),
        (b"a: hidden \xff", "is no YAML: it is no text"),
        (b"[" * 1200, "is no YAML"),
    ],
)
def test_what_cannot_be_read_is_refused_without_being_quoted(data, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse_document(data)
    assert "hidden" not in str(caught.value)


@given(st.text() | st.text("a:{}[]-!&*<\"'#|> \t\n"))
def test_no_text_gives_anything_but_a_value_or_its_refusal(text):
    with suppress(ValueError):
        parse_document(text.encode())
