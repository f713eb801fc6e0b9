"""The report: one offline HTML file, made from a stored run alone."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from freepage.analysis.results import build_results, headline_experiment
from freepage.records import Arm
from freepage.report.figures import ARM_COLOURS, ARM_WORDS, draw_figures
from freepage.report.numbers import show_interval, show_value
from freepage.report.tables import Cell, Table, build_tables
from freepage.store import REPORT, RESULTS, Run, load_run, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment

    from freepage.report.figures import Figure

# What the script on the page calls by name.
_VEGA_GLOBALS = "window.vegaEmbed = vegaEmbed;"

DECISION_WORDS = {
    "enable": "Enable",
    "enable-except": "Enable, with exceptions",
    "no-benefit": "No benefit",
    "inconclusive": "Inconclusive",
}

# The four numbers on top: (label, where in results.json, which doubts touch it, what is said below it).
_HEADLINES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "Memory given back",
        ("arms", Arm.VM_FPR, "given_back_fraction"),
        "memory",
        "of what VMs freed, with FPR",
    ),
    ("Until 90 % is back", ("arms", Arm.VM_FPR, "release_t90_s"), "memory", "after the free, with FPR"),
    ("Allocating again", ("comparisons", "reallocation_penalty"), "time", "times as long as without FPR"),
    ("CPU cost", ("comparisons", "extra_cpu_cores"), "time", "added to the VMs by FPR, on average"),
)
# The same where a run measured fio and no release.
_IO_HEADLINES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("fio with FPR", ("comparisons", "io_ratio"), "time", "times the throughput without FPR, all cells"),
    (
        "Reads from the cache",
        ("arms", Arm.VM_FPR, "cached_read_fraction"),
        "memory",
        "of fio's read cells, with FPR",
    ),
    (
        "Cached cells lost",
        ("comparisons", "cached_lost"),
        "memory",
        "ran from the cache without FPR and not with it",
    ),
    ("Node memory", ("comparisons", "node_mean_ratio"), "node", "times that without FPR, on average"),
)


def render_report(folder: Path, out: Path | None = None) -> Path:
    """Write results.json and report.html of a stored run, and give the page's path."""
    run = load_run(folder)
    results = build_results(run)
    write_json(folder / RESULTS, results)
    path = out or folder / REPORT
    path.write_text(render_page(run, results), encoding="utf-8")
    return path


def render_page(run: Run, results: dict[str, Any]) -> str:
    """Give the whole page; it needs no network and no other file."""
    figures = draw_figures(run, results)
    tables = build_tables(results, run.manifest)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            run=run,
            manifest=run.manifest,
            results=results,
            verdict=results["verdict"],
            decision=DECISION_WORDS[results["verdict"]["decision"]],
            headlines=find_headlines(results),
            doubts=results["doubts"],
            figures=figures,
            tables=tables,
            csv={t.id: table_csv(t) for t in tables},
            arm_words={str(arm): words for arm, words in ARM_WORDS.items()},
            arm_colours={str(arm): colour for arm, colour in ARM_COLOURS.items()},
            specs=_script_json({f.id: f.spec for f in figures}),
            bundle=_vega_bundle(figures),
            commands=_commands(run),
        )
    )


def table_csv(table: Table) -> str:
    """Give a table as CSV for programs: an estimate as value, low, high and unit, unrounded and in its base unit."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    estimated = [any(row[n].estimate for row in table.rows) for n in range(len(table.columns))]
    names = zip(table.columns, estimated, strict=True)
    writer.writerow([part for name, wide in names for part in _csv_heads(name, wide=wide)])
    for row in table.rows:
        cells = zip(row, estimated, strict=True)
        writer.writerow([part for cell, wide in cells for part in _csv_parts(cell, wide=wide)])
    return stream.getvalue()


def _csv_heads(name: str, *, wide: bool) -> list[str]:
    return [name, f"{name} low", f"{name} high", f"{name} unit"] if wide else [name]


def _csv_parts(cell: Cell, *, wide: bool) -> list[object]:
    if not wide:
        return [cell.text]
    estimate = cell.estimate or {}
    return [estimate.get(key) for key in ("value", "low", "high", "unit")]


def find_headlines(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the four numbers that stand on top: label, value and interval as text, trials, words, doubts."""
    name = headline_experiment({n: e["arms"] for n, e in results["experiments"].items()})
    experiment = results["experiments"].get(name or "", {})
    headlines = _HEADLINES
    if _dig(experiment, ("arms", Arm.VM_FPR, "given_back_fraction")) is None and experiment.get("cells"):
        headlines = _IO_HEADLINES
    return [
        {
            "label": label,
            "value": show_value(found := _dig(experiment, path)),
            "interval": show_interval(found),
            "n": found["n"] if found else 0,
            "words": words,
            "missing": _why_missing(results, name, path[-1]),
            "doubts": [
                d for d in results["doubts"] if d["touches"] == touched and d["experiment"] in {None, name}
            ],
            "experiment": name,
        }
        for label, path, touched, words in headlines
    ]


def _why_missing(results: dict[str, Any], experiment: str | None, key: str) -> str:
    """Say why a number on top may be missing: a release time is, unless every release got that far."""
    values = [
        t["values"]
        for t in results["trials"]
        if t["experiment"] == experiment and t["arm"] == Arm.VM_FPR and t["values"]
    ]
    releases = sum(v["releases"] for v in values)
    if key != "release_t90_s" or not releases:
        return "not measured"
    return f"reached in {sum(v['release_t90_count'] for v in values):.0f} of {releases:.0f} releases"


def _dig(tree: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    found: Any = tree
    for key in path:
        found = (found or {}).get(key)
    return found if isinstance(found, dict) else None


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("freepage.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _script_json(content: object) -> str:
    """Give JSON that is safe inside a script element."""
    return (
        json.dumps(content, allow_nan=False, separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    )


def _vega_bundle(figures: list[Figure]) -> str:
    if not figures:
        return ""
    import vl_convert

    return vl_convert.javascript_bundle(_VEGA_GLOBALS).replace("</script", "<\\/script")


def _commands(run: Run) -> list[str]:
    manifest = run.manifest
    again = " ".join(manifest.command)
    return [again, f"freepage report {run.folder.name}", f"freepage show {run.folder.name}"]
