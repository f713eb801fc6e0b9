"""A text of objects as its documents."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.kube.object_documents import DocumentError, parse_documents

ONE, TWO = {"kind": "Pod", "n": 1}, {"kind": "Node", "n": [2]}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ONE) + json.dumps(TWO),
        json.dumps(ONE, indent=4) + "\r\n" + json.dumps(TWO, indent=4) + "\r\n",
        f"\n  {json.dumps(ONE)}\n{json.dumps(TWO)}\n\n",
        f"\x1e{json.dumps(ONE)}\n\x1e{json.dumps(TWO)}\n",
        f"{json.dumps(ONE)}\n---\n{json.dumps(TWO)}\n",
        f"---\n{json.dumps(ONE)}\n---\n{json.dumps(TWO)}\n...\n",
        "kind: Pod\nn: 1\n---\nkind: Node\nn:\n- 2\n",
        "# written by hand\r\n---\r\nkind: Pod\r\nn: 1\r\n---\r\nkind: Node\r\nn: [2]\r\n",
    ],
    ids=["joined", "indented", "lines", "sequence", "separated", "flow", "yaml", "crlf"],
)
def test_documents_are_read_in_every_form_they_are_written_in(text):
    assert list(parse_documents(text)) == [ONE, TWO]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"kind": "Pod",\n', "not JSON: line 2, column 1"),
        ('{"kind": "Pod"}\n{"kind": "No', "not JSON: line 2, column 10: Unterminated string"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": "tab\there"}', "Invalid control character"),
        ("[" * 100_000, "nested too deeply"),
        ("NAME  AGE\nvm: 1\n", "neither JSON nor YAML: line 2, column 3"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text, words):
    with pytest.raises(DocumentError) as caught:
        list(parse_documents(text))
    assert words in str(caught.value)


def test_a_number_of_any_length_is_no_reason_to_refuse_the_rest():
    (found,) = parse_documents(f'{{"a": {"1" * 9000}, "b": {2**80}}}')
    assert found == {"a": float("inf"), "b": 2**80}


@given(st.text(st.sampled_from('{}[]:,"\\ab12-. \n\x1eeN')))
def test_any_text_is_documents_or_refused(text):
    with contextlib.suppress(DocumentError):
        list(parse_documents("{" + text))
