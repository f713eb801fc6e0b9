"""The article's own numbers: each belongs to a figure that is drawn here, and says how it is drawn to scale."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from freepage.kinds import KINDS, FigureName
from freepage.records import Arm
from freepage.report.article import find_article_figure

ENTRIES = tomllib.loads((resources.files("freepage.report") / "article.toml").read_text("utf-8"))["figure"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["name"])
def test_every_entry_is_of_a_figure_that_its_kind_draws(entry):
    assert FigureName(entry["figure"]) in KINDS[entry["kind"]].figures
    assert find_article_figure(entry["kind"], FigureName(entry["figure"])).name == entry["name"]


def test_all_seven_figures_of_the_article_and_its_table_are_there():
    assert {e["name"] for e in ENTRIES} == {"the table", *(f"figure {n}" for n in range(1, 8))}


def test_values_are_divided_by_what_they_depend_on_there():
    table = find_article_figure("cycle", FigureName.ALLOCATION)
    assert table.shares[Arm.VM] == pytest.approx((1.0, 11.433 / 14.916))
    assert find_article_figure("host-io", FigureName.NODE_MEMORY).shares[Arm.VM_FPR] == pytest.approx(
        (60 / 76.5, 75 / 76.5)
    )


def test_a_caption_says_how_marks_are_to_scale_or_why_there_are_none():
    drawn = find_article_figure("burst", FigureName.CPU)
    assert "Faint diamonds" in drawn.describe(drawn=True)
    assert "not drawn: they would be its peak" in drawn.describe(drawn=False)
    assert "no numbers" in find_article_figure("host-io", FigureName.THROUGHPUT).describe(drawn=False)


def test_the_article_has_nothing_of_a_users_own_program():
    assert find_article_figure("command", FigureName.NODE_MEMORY) is None
