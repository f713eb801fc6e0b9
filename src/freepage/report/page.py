"""The report: one offline HTML file, made from a stored run alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.results import build_results
from freepage.report.decisions import name_decision
from freepage.report.figures import draw_figures
from freepage.report.headlines import find_headlines
from freepage.report.numbers import METHOD_NOTE
from freepage.report.tables import build_tables
from freepage.report.template import fill_template
from freepage.store import REPORT, RESULTS, Run, load_run, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from freepage.analysis.results import Results
    from freepage.report.chart import Figure

# More reasons for caution than these are folded, with their names to be seen.
MOST_DOUBTS = 4


@dataclass(frozen=True)
class Section:
    """The figures of one experiment on the page.

    is_open: they are to be seen without being asked for. size: what it ran instead of its original; "" for all of it.
    """

    experiment: str
    figures: tuple[Figure, ...]
    is_open: bool
    size: str = ""

    @property
    def span_s(self) -> float:
        """The end of the time axis that its figures share; 0 where none has one."""
        return max((figure.span_s for figure in self.figures), default=0.0)

    @property
    def gist(self) -> str:
        """The findings in one line, for who has not opened it."""
        return " · ".join(figure.title for figure in self.figures)


def render_report(folder: Path, out: Path | None = None) -> Path:
    """Write results.json and report.html of a stored run, and return the page's path."""
    run = load_run(folder)
    return write_report(run, build_results(run), out)


def write_report(run: Run, results: Results, out: Path | None = None) -> Path:
    """Write results.json and report.html of a run whose results are known, and return the page's path."""
    write_json(run.folder / RESULTS, results.as_json())
    path = out or run.folder / REPORT
    path.write_text(render_page(run, results), encoding="utf-8")
    return path


def render_page(run: Run, results: Results) -> str:
    """Return the whole page; it needs no network and no other file."""
    figures = draw_figures(run, results)
    tables = build_tables(results, run.manifest)
    return fill_template(
        "report.html.jinja",
        figures,
        tables,
        run=run,
        manifest=run.manifest,
        results=results,
        verdict=results.verdict,
        decision=name_decision(results.verdict),
        headlines=find_headlines(results),
        doubts=results.doubts,
        doubt_names=tuple(dict.fromkeys(doubt.id for doubt in results.doubts)),
        doubts_open=len(results.doubts) <= MOST_DOUBTS,
        sections=build_sections(figures, results.headline, run.manifest.sizes),
        commands=_commands(run),
        method_note=METHOD_NOTE,
    )


def build_sections(
    figures: Sequence[Figure], headline: str | None, sizes: Mapping[str, str]
) -> list[Section]:
    """Return the experiments that have figures, in their order; that of the headline is open, without one the first."""
    names = list(dict.fromkeys(f.experiment for f in figures if f.experiment))
    shown = headline if headline in names else next(iter(names), None)
    return [
        Section(name, tuple(f for f in figures if f.experiment == name), name == shown, sizes.get(name, ""))
        for name in names
    ]


def _commands(run: Run) -> list[str]:
    again = " ".join(run.manifest.command)
    return [again, f"freepage report {run.folder.name}", f"freepage show {run.folder.name}"]
