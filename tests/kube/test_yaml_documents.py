"""YAML as data and nothing else."""

from __future__ import annotations

import contextlib
import math
import re

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from freepage.kube.yaml_documents import YamlError, read_documents

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Dumper(yaml.SafeDumper):
    """Puts words into quotes that are numbers for kubectl, as it does itself: PyYAML takes 1e3, 1.5e3 and 08 for words."""


def _quote_numbers(dumper, word):
    style = '"' if re.fullmatch("[-+.0-9eE]+", word) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", word, style=style)


Dumper.add_representer(str, _quote_numbers)


@given(st.lists(VALUES, max_size=3))
@example(["0E0", "1.5e3", "08", "+.5", {"1e3": "1e3", "<<": [], "x": {"<<": {"a": 1}}}])
def test_what_was_written_as_yaml_is_read_as_it_was(documents):
    written = yaml.dump_all(documents, Dumper=Dumper)
    assert list(read_documents(written)) == documents


def test_words_and_numbers_are_read_as_kubectl_reads_them_and_dates_stay_words():
    text = "[yes, Off, ~, null, '', 12, -3, 1.5, 1e3, .inf, '12', \"no\", 2026-01-01, 1:30, 0x, 52:54:00]"
    (found,) = read_documents(text)
    assert found[:10] == [True, False, None, None, "", 12, -3, 1.5, 1000.0, math.inf]
    assert found[10:] == ["12", "no", "2026-01-01", "1:30", "0x", "52:54:00"]


def test_keys_are_strings_and_the_last_of_two_counts():
    assert list(read_documents("1: a\nyes: b\nx: 1\nx: 2\n")) == [{"1": "a", "yes": "b", "x": 2}]


def test_aliases_and_merge_keys_are_followed():
    text = (
        "base: &b {cpu: 1, ram: 2}\nvm:\n  <<: *b\n  cpu: 4\nsame: *b\nboth:\n  <<: [*b, {ram: 9, disk: 3}]\n"
    )
    (found,) = read_documents(text)
    assert found["vm"] == {"cpu": 4, "ram": 2}
    assert found["same"] == {"cpu": 1, "ram": 2}
    assert found["both"] == {"cpu": 1, "ram": 2, "disk": 3}


def test_no_tag_makes_anything_but_words():
    assert list(read_documents("!!python/object/apply:os.system [id]\n---\n!!binary aGk=\n---\n!x 5")) == [
        ["id"],
        "aGk=",
        "5",
    ]


def build_bomb(levels):
    rows = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (build_bomb(10), "aliases stand for more than 100000 values"),
        ("a: &a {b: *a}", "*a stands for nothing before it"),
        ("a: &x 1\n---\nb: *x", "line 3, column 4: *x stands for nothing before it"),
        ("[" * 500, "nested deeper than 200 levels"),
        ("? [a]\n: b", "line 1, column 3: a key that is no word"),
        ("&a b: 1\n*a : 2", "a key that is no word"),
        ("a: [1", "did not find expected"),
        ("\tkind: List", "line 1, column 1: found character that cannot start any token"),
        ("a: \x07", "control characters are not allowed"),
    ],
)
def test_what_is_no_data_is_refused_with_its_place(text, words):
    with pytest.raises(YamlError) as caught:
        list(read_documents(text))
    assert words in str(caught.value)


@given(st.text(st.sampled_from("ab:-?*&!|>'\"%@`{}[],#~<\n\t 12")))
def test_any_text_is_data_or_refused(text):
    with contextlib.suppress(YamlError):
        list(read_documents(text))
