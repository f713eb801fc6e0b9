"""The report in a real browser: drawn, at phone width, in light and dark, without a network."""

from __future__ import annotations

import subprocess

import pytest

from freepage.report.page import render_report
from helpers.synthetic import write_run

pytestmark = pytest.mark.page

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=8000",
)
# Collects what goes wrong on the page, and says at the end what is there.
WITNESS = """<script>
window.problems = [];
addEventListener("error", e => problems.push("error: " + e.message));
addEventListener("unhandledrejection", e => problems.push("rejected: " + e.reason));
addEventListener("load", () => setTimeout(() => {
  const requests = performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:"));
  const wide = document.documentElement.scrollWidth - innerWidth;
  const charts = document.querySelectorAll(".chart svg");
  const lines = document.querySelectorAll(".chart svg .mark-line path").length;
  const ground = getComputedStyle(document.body).backgroundColor;
  const found = {problems, requests, wide, charts: charts.length, lines, ground, width: charts[0]?.getBoundingClientRect().width};
  document.body.dataset.found = JSON.stringify(found);
}, 3000));
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("run"))
    text = render_report(folder).read_text(encoding="utf-8")
    path = folder / "watched.html"
    path.write_text(text.replace("<head>", "<head>" + WITNESS, 1), encoding="utf-8")
    return path


def look(page, tmp_path, *options):
    """Open the page and give what it says of itself."""
    import html
    import json
    import re

    command = ["chromium", *OPTIONS, f"--user-data-dir={tmp_path}", *options, "--dump-dom", page.as_uri()]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<body[^>]* data-found="([^"]*)"', outcome.stdout)
    assert found, outcome.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


def test_the_page_draws_every_figure_without_errors_and_asks_for_nothing(page, tmp_path):
    found = look(page, tmp_path, "--window-size=1280,2000")
    assert found["problems"] == []
    assert found["requests"] == []
    assert found["charts"] == 3
    assert found["lines"] >= 6
    assert found["width"] > 700


def test_the_page_fits_a_phone(page, tmp_path):
    found = look(page, tmp_path, "--window-size=500,900", "--force-device-scale-factor=1")
    assert found["wide"] <= 0
    assert found["charts"] == 3
    assert found["width"] <= 500


def test_the_page_is_dark_where_that_is_preferred(page, tmp_path):
    light = look(page, tmp_path / "light", "--blink-settings=preferredColorScheme=1")
    dark = look(page, tmp_path / "dark", "--blink-settings=preferredColorScheme=0")
    assert light["ground"] == "rgb(255, 255, 255)"
    assert dark["ground"] == "rgb(17, 21, 26)"
    assert dark["problems"] == []
