"""The article's own numbers, drawn to scale beside those of a run. article.toml is the list."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from freepage.kinds import FigureName
from freepage.records import Arm

# What stands beside the arms in the key of a figure that has marks of it.
ARTICLE = "the article's, to scale"


@dataclass(frozen=True)
class ArticleFigure:
    """One figure of the article, or its table; article.toml explains the fields.

    shares: by arm, its values divided by what they depend on there, to be multiplied by the same of a run.
    """

    name: str
    finding: str
    scale: str
    shares: dict[Arm, tuple[float, ...]]

    def describe(self, *, drawn: bool) -> str:
        """Return the sentences that a caption has of it; `drawn`: there are marks of its values."""
        if not self.shares:
            marks = f"{self.scale[0].upper()}{self.scale[1:]}."
        elif drawn:
            marks = f"Faint diamonds are its values: {self.scale}."
        else:
            marks = f"Its values are not drawn: they would be {self.scale}."
        return f" The article's {self.name.removeprefix('the ')}: {self.finding}. {marks}"


def find_article_figure(kind: str, figure: FigureName) -> ArticleFigure | None:
    """Return what the article has of a kind of experiment and a figure; None where it has nothing."""
    return _read_figures().get((kind, figure))


@cache
def _read_figures() -> dict[tuple[str, FigureName], ArticleFigure]:
    text = (resources.files("freepage.report") / "article.toml").read_text(encoding="utf-8")
    return {
        (entry["kind"], FigureName(entry["figure"])): ArticleFigure(
            entry["name"],
            entry["finding"],
            entry["scale"],
            {
                Arm(arm): tuple(value / entry["per"] for value in values)
                for arm, values in entry.get("values", {}).items()
            },
        )
        for entry in tomllib.loads(text)["figure"]
    }
