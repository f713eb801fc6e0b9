"""The table of kinds: whole, consistent, and used by traits alone."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import fields
from importlib import resources
from pathlib import Path

import pytest

from freepage.kinds import COMMAND, KINDS, WORKLOADS, FigureName, Kind, Subject, Workload, find_kind
from freepage.study.read import builtin_studies, parse_study

SOURCE = Path(__file__).parent.parent / "src/freepage"
# A user's program is nothing that could be built in.
WITHOUT_STUDY = {k.name for k in KINDS.values() if k.workload is COMMAND}


def modules_beside_the_table():
    return [p for p in sorted(SOURCE.rglob("*.py")) if p.name != "kinds.py"]


def attributes_read(paths):
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                yield node.attr


@pytest.fixture(scope="module")
def asked():
    """The attributes that the modules beside the table read."""
    return set(attributes_read(modules_beside_the_table()))


def test_kinds_and_workloads_are_found_by_their_own_names():
    assert all(name == kind.name for name, kind in KINDS.items())
    assert all(name == workload.name for name, workload in WORKLOADS.items())
    assert all(k.workload is None or k.workload in WORKLOADS.values() for k in KINDS.values())


def test_a_stored_kind_that_is_not_known_measures_the_same_as_most():
    unknown = find_kind("a kind of tomorrow")
    assert {Subject.RELEASES, Subject.NODE_MEMORY, Subject.SAVINGS} <= unknown.measures
    assert not unknown.measures_io
    assert not unknown.synchronised
    assert find_kind("cycle") is KINDS["cycle"]


TRAITS = [f.name for f in fields(Workload)] + [f.name for f in fields(Kind)]


@pytest.mark.parametrize("trait", [*TRAITS, "synchronised", "shares_node", "measures_io"])
def test_every_trait_is_asked_for(asked, trait):
    assert trait in asked


@pytest.mark.parametrize("member", [*Subject, *FigureName], ids=str)
def test_every_subject_and_figure_is_asked_for(member):
    name = f"{type(member).__name__}.{member.name}"
    assert any(name in path.read_text() for path in modules_beside_the_table())


def test_every_kind_has_a_built_in_study_unless_it_runs_a_users_program():
    studied = {
        e.kind.name for name, text in builtin_studies().items() for e in parse_study(text, name).experiment
    }
    assert studied == set(KINDS) - WITHOUT_STUDY


def test_every_kind_measures_something_that_it_draws_and_shows():
    for kind in KINDS.values():
        assert kind.measures, kind.name
        assert kind.figures, kind.name
        assert len(set(kind.figures)) == len(kind.figures), kind.name
        assert kind.columns, kind.name


def test_claims_of_kinds_are_those_of_the_article_and_each_has_a_kind():
    text = (resources.files("freepage.analysis") / "claims.toml").read_text(encoding="utf-8")
    known = [claim["id"] for claim in tomllib.loads(text)["claim"]]
    decided = {claim for kind in KINDS.values() for claim in kind.claims}
    assert decided == set(known)


def test_columns_are_estimates_that_are_known():
    known = (SOURCE / "analysis").rglob("*.py")
    words = {word for path in known for word in re.findall(r'"([a-z0-9_]+)"', path.read_text())}
    for kind in KINDS.values():
        assert set(kind.columns) <= words, kind.name


def test_a_kind_is_synchronised_as_its_own_workload_is():
    for kind in KINDS.values():
        assert kind.synchronised == (kind.workload is not None and kind.workload.synchronised)
        assert isinstance(kind, Kind)
