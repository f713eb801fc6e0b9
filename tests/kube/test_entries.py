"""Fields of a kubeconfig's entries."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from freepage.kube.errors import LoginError
from helpers.kubeconfigs import entry_of

ENCODED = base64.b64encode(b"certificates " * 20).decode()


@pytest.mark.parametrize("value", [{}, {"k": None}, {"k": ""}, {"k": []}, {"k": False}])
def test_null_and_empty_are_as_absent(value):
    entry = entry_of(value)
    kinds = {str: entry.text, bool: entry.flag, list: entry.texts}
    read = kinds.get(type(value.get("k")), entry.text)
    assert not read("k")


def test_a_mapping_that_is_empty_is_there():
    assert entry_of({"exec": {}}).part("exec") is not None
    assert entry_of({"exec": None}).part("exec") is None


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        ("text", 123, r'k of user "u" is not a text: put it in quotes'),
        ("text", True, "is not a text: put it in quotes"),
        ("text", ["a"], "is not a text$"),
        ("text", b"a", "is not a text$"),
        ("flag", "false", "is not true or false"),
        ("flag", 1, "is not true or false"),
        ("texts", "g", "is not a list"),
        ("texts", [1], "is not a text: put it in quotes"),
        ("part", "p", "is not a mapping"),
        ("parts", {"a": 1}, "is not a list"),
        ("parts", [1], "is not a mapping"),
        ("text", "a\0b", "characters that no text has"),
        ("text", "\ud800", "characters that no text has"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_field(read, value, words):
    with pytest.raises(LoginError, match=words):
        getattr(entry_of({"k": value}), read)("k")


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_base64_may_be_wrapped(end):
    wrapped = end.join(ENCODED[i : i + 64] for i in range(0, len(ENCODED), 64)) + end
    assert entry_of({"ca-data": wrapped}).read_pem("ca").data == b"certificates " * 20


@pytest.mark.parametrize("text", [f"{ENCODED[:64]} {ENCODED[64:]}", f"{ENCODED} ", "%%%", "é", ENCODED[:-1]])
def test_base64_with_spaces_or_other_characters_is_refused_as_by_kubectl(text):
    with pytest.raises(LoginError, match=r'ca-data of user "u" is no base64'):
        entry_of({"ca-data": text}).read_pem("ca")


def test_a_relative_path_starts_at_the_folder_of_its_file(tmp_path, monkeypatch):
    (tmp_path / "ca.crt").write_text("here")
    assert entry_of({"ca": "ca.crt"}, tmp_path).read_pem("ca").data == b"here"
    monkeypatch.chdir(tmp_path)
    assert entry_of({}, Path()).find_path("./plug.sh") == tmp_path / "plug.sh"
    assert entry_of({}, Path("a")).find_path("../x") == tmp_path / "x"
    assert entry_of({}, Path("a")).find_path("/x") == Path("/x")


def test_data_beside_a_file_is_refused_as_by_kubectl():
    with pytest.raises(LoginError, match="both ca and ca-data"):
        entry_of({"ca": "ca.crt", "ca-data": ENCODED}).read_pem("ca")
