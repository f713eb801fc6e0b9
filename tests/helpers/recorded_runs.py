"""Recorded runs of earlier versions, and everything freepage tells of one.

After a change that is meant to tell something else: PYTHONPATH=tests .venv/bin/python tests/helpers/recorded_runs.py
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from freepage.analysis.results import build_results
from freepage.cli.main import main
from freepage.report.figures import draw_figures
from freepage.store import load_run

RUNS = Path(__file__).parents[1] / "recorded/runs"
TOLD = Path(__file__).parents[1] / "recorded/told"


def recorded_runs():
    return sorted(path.name for path in RUNS.iterdir())


def tell(name, folder):
    """Write all that is told of the run `name` into `folder`: results, tables, Markdown, terminal, figures."""
    run = folder / "run"
    shutil.copytree(RUNS / name, run)
    told = folder / "told"
    told.mkdir()
    ask("report", run, "--format", "json", "--out", told / "results.json")
    ask("report", run, "--format", "md", "--out", told / "report.md")
    ask("report", run, "--format", "csv", "--out", told / "tables")
    (told / "show.txt").write_text(ask("show", run), encoding="utf-8")
    (told / "figures.json").write_text(
        json.dumps(list(figures_of(run)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return told


def ask(*arguments):
    """Run a command of freepage as in a terminal of a known width and return what it prints."""
    printed = io.StringIO()
    terminal = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    with patch.dict(os.environ, terminal), contextlib.redirect_stdout(printed):
        assert main(list(map(str, arguments))) == 0
    return printed.getvalue()


def figures_of(folder):
    """Return the words of every figure, and a digest of what it draws."""
    run = load_run(folder)
    for figure in draw_figures(run, build_results(run)):
        yield {
            "id": figure.id,
            "title": figure.title,
            "caption": figure.caption,
            "alternative": figure.alternative,
            "reference": figure.reference,
            "doubts": list(figure.doubts),
            "arms": list(figure.arms),
            "part": figure.part,
            "experiment": figure.experiment,
            "article": figure.article,
            "spec": digest(figure.spec),
            "absolute": digest(figure.absolute),
        }


def digest(spec):
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16] if spec else None


def files_in(folder):
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    shutil.rmtree(TOLD, ignore_errors=True)
    for each in recorded_runs():
        with tempfile.TemporaryDirectory() as temporary:
            shutil.copytree(tell(each, Path(temporary)), TOLD / each)
