"""The report: one offline HTML file, made from a stored run alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from freepage.analysis.results import build_results
from freepage.report.arms import ARM_STYLES, REFERENCE_COLOUR
from freepage.report.decisions import DECISION_WORDS
from freepage.report.figures import draw_figures
from freepage.report.headlines import find_headlines
from freepage.report.numbers import METHOD_NOTE
from freepage.report.table import table_csv
from freepage.report.tables import build_tables
from freepage.store import REPORT, RESULTS, Run, load_run, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.analysis.results import Results
    from freepage.report.chart import Figure

# What the script on the page calls by name.
_VEGA_GLOBALS = "window.vegaEmbed = vegaEmbed;"


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
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            run=run,
            manifest=run.manifest,
            results=results,
            verdict=results.verdict,
            decision=DECISION_WORDS[results.verdict.decision],
            headlines=find_headlines(results),
            doubts=results.doubts,
            figures=figures,
            tables=tables,
            csv={t.id: table_csv(t) for t in tables},
            arm_styles={str(arm): style for arm, style in ARM_STYLES.items()},
            reference_colour=REFERENCE_COLOUR,
            specs=_script_json({f.id: f.spec for f in figures}),
            bundle=_vega_bundle(figures),
            commands=_commands(run),
            method_note=METHOD_NOTE,
        )
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("freepage.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _script_json(content: object) -> str:
    """Return JSON that is safe inside a script element."""
    return (
        json.dumps(content, allow_nan=False, separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    )


def _vega_bundle(figures: list[Figure]) -> str:
    if not figures:
        return ""
    return vl_convert.javascript_bundle(_VEGA_GLOBALS).replace("</script", "<\\/script")


def _commands(run: Run) -> list[str]:
    again = " ".join(run.manifest.command)
    return [again, f"freepage report {run.folder.name}", f"freepage show {run.folder.name}"]
