"""The report in a real browser: drawn, at phone width, in light and dark, without a network."""

from __future__ import annotations

import subprocess

import pytest

from freepage.report.page import render_report
from helpers.modelled_run import TOGETHER, Truth
from helpers.modelled_run import write_run as write_modelled_run
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
# Before it does, it uses the page as somebody would: opens what is folded, narrows the time by a slider, drags over a chart, and
# switches to memory in use as it is.
USE = """<script>
const wait = ms => new Promise(done => setTimeout(done, ms));
const shown = id => views[id] && [views[id].signal("span_from"), views[id].signal("span_to")];
window.used = (async () => {
  await new Promise(done => addEventListener("load", done));
  await wait(1000);
  const used = {folded: document.querySelectorAll(".chart svg").length};
  document.getElementById("all").click();
  await wait(1000);
  used.opened = document.querySelectorAll(".chart svg").length;
  const slider = document.querySelector('#experiment-1 input[data-end="to"]');
  slider.value = slider.max / 2;
  slider.dispatchEvent(new Event("input"));
  await wait(200);
  used.narrowed = ["cpu-burst", "node-memory-burst"].map(shown);
  used.other = shown("node-memory-churn");
  const chart = document.getElementById("node-memory-burst"), box = chart.getBoundingClientRect();
  const at = (kind, share) => new PointerEvent(kind, {clientX: box.left + share * box.width, clientY: box.top + 50, button: 0, pointerType: "mouse", bubbles: true});
  for (const [kind, share] of [["pointerdown", 0.5], ["pointermove", 0.6], ["pointerup", 0.75]]) chart.dispatchEvent(at(kind, share));
  await wait(200);
  used.dragged = ["cpu-burst", "node-memory-burst"].map(shown);
  document.querySelector('.views button[data-view="absolute"]').click();
  await wait(500);
  used.titles = [...document.querySelectorAll("#node-memory-churn text")].map(t => t.textContent).filter(t => t.includes("GiB"));
  used.kept = shown("node-memory-burst");
  used.left = document.querySelectorAll(".chosen").length;
  return used;
})();
</script>"""
WITNESS = """<script>
window.problems = [];
addEventListener("error", e => problems.push("error: " + e.message));
addEventListener("unhandledrejection", e => problems.push("rejected: " + e.reason));
addEventListener("load", () => setTimeout(async () => {
  const requests = performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:"));
  const wide = document.documentElement.scrollWidth - innerWidth;
  const charts = document.querySelectorAll(".chart svg");
  const lines = document.querySelectorAll(".chart svg .mark-line path").length;
  const ground = getComputedStyle(document.body).backgroundColor;
  const used = await window.used;
  const found = {used, problems, requests, wide, charts: charts.length, lines, ground, width: charts[0]?.getBoundingClientRect().width};
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


@pytest.fixture(scope="module")
def long_page(tmp_path_factory):
    """A page with two experiments, used as somebody would."""
    folder = tmp_path_factory.mktemp("two") / "run"
    write_modelled_run(folder, Truth(repeats=1), study=TOGETHER)
    text = render_report(folder).read_text(encoding="utf-8")
    path = folder / "watched.html"
    path.write_text(text.replace("<head>", "<head>" + WITNESS + USE, 1), encoding="utf-8")
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
    assert found["charts"] == 4
    assert found["lines"] >= 6
    assert found["width"] > 700


def test_the_page_fits_a_phone(page, tmp_path):
    found = look(page, tmp_path, "--window-size=500,900", "--force-device-scale-factor=1")
    assert found["wide"] <= 0
    assert found["charts"] == 4
    assert found["width"] <= 500


def test_the_page_is_dark_where_that_is_preferred(page, tmp_path):
    light = look(page, tmp_path / "light", "--blink-settings=preferredColorScheme=1")
    dark = look(page, tmp_path / "dark", "--blink-settings=preferredColorScheme=0")
    assert light["ground"] == "rgb(255, 255, 255)"
    assert dark["ground"] == "rgb(17, 21, 26)"
    assert dark["problems"] == []


def test_experiments_unfold_share_their_span_of_time_and_switch_to_memory_as_it_is(long_page, tmp_path):
    found = look(long_page, tmp_path, "--window-size=1280,2000")
    used = found["used"]
    assert found["problems"] == []
    assert used["folded"] == 4
    assert used["opened"] == 6
    assert used["narrowed"] == [[0, 9], [0, 9]]
    assert used["other"] == [0, 20]
    cpu, memory = used["dragged"]
    assert cpu == memory
    assert 3 < memory[0] < memory[1] < 8
    assert used["kept"] == pytest.approx(memory)
    assert used["titles"] == ["node memory in use (GiB)"]
    assert used["left"] == 0
