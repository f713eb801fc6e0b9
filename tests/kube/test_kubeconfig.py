"""Kubeconfigs, one or several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freepage.kube.errors import LoginError
from freepage.kube.kubeconfig import read_kubeconfig

FULL = {
    "kind": "Config",
    "apiVersion": "v1",
    "preferences": {"colors": True},
    "unknown": {"a": 1},
    "current-context": "main",
    "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://lab.example", "unknown": 1}}],
    "users": [{"name": "u", "user": {"token": "t"}}, {"name": "v"}],
}


def write(folder, name, content):
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


def read(folder, *contents):
    return read_kubeconfig([write(folder, f"config-{i}", content) for i, content in enumerate(contents)])


def test_fields_that_are_unknown_or_say_nothing_of_the_login_are_passed_over(tmp_path):
    config = read(tmp_path, FULL)
    name, context = config.find_context(None)
    assert (name, config.find_cluster(context).text("server")) == ("main", "https://lab.example")
    assert config.find_user(context).text("token") == "t"


def test_of_several_files_the_first_to_name_something_wins_as_a_whole(tmp_path):
    first = {"users": [{"name": "u", "user": {"as": "bob"}}], "contexts": None, "current-context": ""}
    config = read(tmp_path, first, FULL, {**FULL, "current-context": "other"})
    _, context = config.find_context(None)
    assert context.file.name == "config-1"
    assert config.find_user(context).value == {"as": "bob"}
    assert config.current == "main"


def test_a_file_may_be_named_twice(tmp_path):
    path = write(tmp_path, "config", FULL)
    assert read_kubeconfig([path, path]).find_context(None)


@pytest.mark.parametrize(
    "name", ["bench/api-lab-example:6443/kube:admin", "kubernetes-admin@kubernetes", 'a "b" é']
)
def test_names_may_have_odd_characters(tmp_path, name):
    content = {**FULL, "current-context": name, "contexts": [{"name": name, "context": {"cluster": "c"}}]}
    assert read(tmp_path, content).find_context(None)[0] == name


@pytest.mark.parametrize("user", [{}, {"user": ""}, {"user": None}])
def test_a_context_without_a_user_is_anonymous(tmp_path, user):
    content = {**FULL, "contexts": [{"name": "main", "context": {"cluster": "c", **user}}]}
    config = read(tmp_path, content)
    assert config.find_user(config.find_context(None)[1]).value == {}


@pytest.mark.parametrize("current", [None, "", "null"])
def test_no_current_context_is_none(tmp_path, current):
    text = "contexts: [{name: main}]" + ("" if current is None else f"\ncurrent-context: {current}")
    config = read(tmp_path, text)
    assert config.find_context(None) is None
    assert config.find_context("main")[0] == "main"


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"cluster": "d", "user": "u"}, r'no cluster "d" in .*config-0$'),
        ({"cluster": "c", "user": "w"}, r'no user "w" in .*config-0$'),
        ({"user": "u"}, r'context "main" in .*config-0 names no cluster'),
        (None, r'context "main" in .*config-0 names no cluster'),
    ],
)
def test_what_a_context_names_and_is_not_there_is_named_with_the_file(tmp_path, context, words):
    config = read(tmp_path, {**FULL, "contexts": [{"name": "main", "context": context}]})
    _, found = config.find_context(None)
    with pytest.raises(LoginError, match=f"(?m){words}"):
        (config.find_cluster(found), config.find_user(found))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("users: [{user: {token: hidden", r"is no YAML"),
        ("- hidden", "is no kubeconfig$"),
        ("hidden", "is no kubeconfig$"),
        ({**FULL, "kind": "Pod"}, "it is of kind Pod in v1"),
        ({**FULL, "apiVersion": "v2"}, "it is of kind Config in v2"),
        ({"users": {"u": {}}}, "users of kubeconfig .* is not a list"),
        ({"users": ["u"]}, "users of kubeconfig .* is not a mapping"),
        ({"users": [{"name": 5}]}, "name of users of kubeconfig .* is not a text: put it in quotes"),
        ({"users": [{"name": "u", "user": "hidden"}]}, "user of users of kubeconfig .* is not a mapping"),
        ({"users": [{"name": "u"}, {"name": "u"}]}, 'has the user "u" twice'),
        ({"current-context": 5}, "current-context of kubeconfig .* is not a text"),
    ],
)
def test_what_is_no_kubeconfig_is_refused_without_being_quoted(tmp_path, content, words):
    with pytest.raises(LoginError, match=words) as caught:
        read(tmp_path, content)
    assert "hidden" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("path", "words"), [("/", "Is a directory"), ("/nowhere/config", "No such file")])
def test_a_file_that_cannot_be_read_is_named(path, words):
    with pytest.raises(LoginError, match=f"kubeconfig {path}: {words}"):
        read_kubeconfig([Path(path)])
