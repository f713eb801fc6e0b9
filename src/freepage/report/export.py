"""A stored run as files for others: html, md, json, csv; figures as svg and png."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.analysis.results import build_results
from freepage.report.decisions import name_decision
from freepage.report.figures import draw_figures
from freepage.report.page import write_report
from freepage.report.table import Table, table_csv
from freepage.report.tables import build_tables
from freepage.store import RESULTS, load_run, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.analysis.results import Results
    from freepage.store import Run

FIGURE_WIDTH = 800
PNG_SCALE = 2.0


def export_run(folder: Path, kind: str, out: Path | None = None) -> list[Path]:
    """Write a run as `kind` (html, md, json, csv, svg or png) and return the paths written.

    `out` is a file for html, md and json, and a folder for the others; inside the run folder by default.
    """
    run = load_run(folder)
    results = build_results(run)
    if kind == "html":
        return [write_report(run, results, out)]
    if kind == "json":
        path = out or folder / RESULTS
        write_json(path, results.as_json())
        return [path]
    if kind == "md":
        path = out or folder / "report.md"
        path.write_text(render_markdown(run, results), encoding="utf-8")
        return [path]
    if kind == "csv":
        return _write_tables(build_tables(results, run.manifest), out or folder / "tables")
    return _write_figures(run, results, kind, out or folder / "figures")


def render_markdown(run: Run, results: Results) -> str:
    """Return verdict, doubts and tables as Markdown."""
    verdict = results.verdict
    doubts = [f"- **{d.id}** {d.text} {d.remedy}" for d in results.doubts]
    parts = [
        f"# {run.manifest.study} on {run.manifest.location}",
        f"**{name_decision(verdict)}.** {verdict.sentence}",
        f"Rule: {verdict.rule}",
        *(["## Reasons for caution", "\n".join(doubts)] if doubts else []),
        *(table_markdown(table) for table in build_tables(results, run.manifest)),
    ]
    return "\n\n".join(parts) + "\n"


def table_markdown(table: Table) -> str:
    rows = [
        [_escape(f"{c.text} ({c.interval})" if c.interval else c.text) for c in row] for row in table.rows
    ]
    marks = ["---:" if cell.numeric else "---" for cell in table.rows[0]]
    lines = ["| " + " | ".join(cells) + " |" for cells in (list(table.columns), marks, *rows)]
    return "\n\n".join(filter(None, (f"## {table.title}", table.note, "\n".join(lines))))


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def _write_tables(tables: list[Table], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{table.id}.csv" for table in tables]
    for path, table in zip(paths, tables, strict=True):
        path.write_text(table_csv(table), encoding="utf-8")
    return paths


def _write_figures(run: Run, results: Results, kind: str, folder: Path) -> list[Path]:
    import vl_convert

    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for figure in draw_figures(run, results):
        spec = figure.spec | {"width": FIGURE_WIDTH, "title": figure.title, "background": "white"}
        path = folder / f"{figure.id}.{kind}"
        if kind == "svg":
            path.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
        else:
            path.write_bytes(vl_convert.vegalite_to_png(spec, scale=PNG_SCALE))
        paths.append(path)
    return paths
