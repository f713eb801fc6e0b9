from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import pytest

from freepage.analysis.results import build_results
from freepage.cli.main import main
from freepage.report.chart import Figure
from freepage.report.export import export_run
from freepage.report.page import build_sections, render_page, render_report
from freepage.report.tables import build_tables
from freepage.store import load_run
from helpers.synthetic import Truth, write_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), Truth(failed=(3,), accelerator="tcg", repeats=6))


@pytest.fixture(scope="module")
def built(run_folder):
    run = load_run(run_folder)
    return run, build_results(run)


@pytest.fixture(scope="module")
def page(built):
    return render_page(*built)


def body_of(page):
    """The page without its scripts."""
    return re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_the_answer_comes_before_everything_else(page):
    body = body_of(page)
    assert (
        body.index("Memory comes back")
        < body.index("Memory given back")
        < body.index("What was found")
        < body.index("<figure")
        < body.index('<h2 class="part" id="tables">')
    )
    assert 'class="badge memory-only"' in body


def test_the_first_line_says_that_guests_were_emulated_and_what_that_means(page):
    first = re.search(r'<p class="context">(.*?)</p>', page, re.DOTALL)[1]
    assert "TCG" in first
    assert "times do not" in first


def test_the_first_line_of_a_clusters_run_says_which_cluster_it_was(tmp_path):
    folder = write_run(tmp_path / "run", Truth())
    manifest = json.loads((folder / "manifest.json").read_text())
    tools = {"kubernetes": "v1.35.2", "kubevirt": "v1.9.0"}
    title = f"a cluster (KubeVirt {tools['kubevirt']}, Kubernetes {tools['kubernetes']})"
    changes = {"target": "cluster", "target_noun": "nodes", "target_title": title, "node_is_fixed": True}
    changes |= {"host": {"hostname": "node-1, node-2"}, "tools": tools}
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))
    page = render_report(folder).read_text(encoding="utf-8")
    first = re.search(r'<p class="context">(.*?)</p>', page, re.DOTALL)[1]
    assert "node-1, node-2 of a cluster (KubeVirt v1.9.0, Kubernetes v1.35.2)" in first
    assert "Counters of the nodes were sampled" in page


def test_text_from_the_run_is_escaped(page):
    assert "<script>alert(1)" not in page
    assert "<b>badly</b>" not in page
    assert "it broke &lt;b&gt;badly&lt;/b&gt;" in page


def test_the_page_names_no_other_file_and_no_address(page):
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', body_of(page))
    assert not re.findall(r"@import|url\(", body_of(page))


def test_every_table_can_be_downloaded_and_read_as_csv(run_folder, page):
    run = load_run(run_folder)
    for table in build_tables(build_results(run), run.manifest):
        assert f'download="{table.id}.csv"' in page
    for path in export_run(run_folder, "csv"):
        rows = list(csv.reader(path.open()))
        assert len(rows) > 1
        assert len({len(row) for row in rows}) == 1


def test_every_figure_has_a_title_that_says_what_was_found_and_a_text_alternative(page):
    titles = re.findall(r"<figure [^>]*aria-label=\"(.*?)\">\s*<h\d>(.*?)</h\d>", page, re.DOTALL)
    assert [title for _, title in titles] == [
        "Without FPR the host never gets it back; with FPR it does",
        "90 % of what a VM frees is back on the host after 5.5 s",
        "With FPR allocating again takes 1.50 times as long as without",
        "No other work moved the host&#39;s memory in any of 17 trials",
    ]
    assert all(len(alternative) > 40 for alternative, _ in titles)


def test_contents_name_every_finding_and_lead_to_it(page):
    contents = re.search(r'<nav aria-label="Contents">(.*?)</nav>', page, re.DOTALL)[1]
    links = dict(re.findall(r'<a href="#(figure-[^"]*)">(.*?)</a>', contents))
    figures = re.findall(r'<figure id="([^"]*)".*?<h\d>(.*?)</h\d>', page, re.DOTALL)
    assert links == dict(figures)
    for target in re.findall(r'href="#([^"]*)"', body_of(page)):
        assert f'id="{target}"' in page


def test_beneath_an_experiments_heading_stands_what_it_ran_instead_of_its_original(built):
    run, results = built
    sizes = {"cycle": "1 VM of 250 MiB instead of <1 VM> of 60.0 GiB"}
    page = render_page(replace(run, manifest=replace(run.manifest, sizes=sizes)), results)
    section = page[page.index('<details class="experiment"') :]
    assert "Here 1 VM of 250 MiB instead of &lt;1 VM&gt; of 60.0 GiB." in section[: section.index("<figure")]


def test_experiments_fold_and_that_of_the_headline_is_open():
    figures = [Figure(f"{n}-{e}", "", "", "", {}, experiment=e) for e in ("cycle", "random") for n in "ab"]
    figures.append(Figure("controls", "", "", "", {}))
    opened = {s.experiment: (len(s.figures), s.is_open) for s in build_sections(figures, "random", {})}
    assert opened == {"cycle": (2, False), "random": (2, True)}
    assert [s.is_open for s in build_sections(figures, None, {})] == [True, False]
    assert [s.is_open for s in build_sections(figures, "failed", {})] == [True, False]


def test_no_chart_takes_more_room_than_it_is_high(page):
    heights = dict(re.findall(r'class="chart[^"]*" id="([^"]*)".*?min-height: (\d+)px', page))
    assert heights["controls"] == "160"
    assert heights["node-memory-cycle"] == "300"


def test_many_reasons_for_caution_are_folded_with_their_names_to_be_seen(page, monkeypatch, built):
    assert '<section class="doubts" id="doubts">\n<details open>' in page
    monkeypatch.setattr("freepage.report.page.MOST_DOUBTS", 0)
    folded = render_page(*built)
    assert '<section class="doubts" id="doubts">\n<details>\n<summary>' in folded
    names = re.search(r'caution</h2> <span class="gist">(.*?)</span>', folded)[1].split(", ")
    assert names == list(dict.fromkeys(doubt.id for doubt in built[1].doubts))


def test_json_inside_the_page_cannot_end_its_script(page):
    specs = re.search(r"const specs = (.*?);\nconst absolutes", page, re.DOTALL)[1]
    assert "<" not in specs
    content = json.loads(specs)
    rows = [row for rows in content["node-memory-cycle"]["datasets"].values() for row in rows]
    assert {"pod", "vm", "vm-fpr"} <= {row["arm"] for row in rows}


def test_a_run_without_a_good_trial_still_has_a_page_that_says_so(tmp_path):
    folder = write_run(tmp_path, Truth(repeats=1, failed=(0, 1, 2)))
    text = render_report(folder).read_text()
    assert "No trial ended well" in text
    assert "does not decide" in text


def test_a_run_of_one_arm_has_a_page(tmp_path):
    from dataclasses import replace

    from freepage.records import Arm
    from freepage.store import write_manifest
    from helpers.synthetic import build_manifest

    folder = write_run(tmp_path, Truth(repeats=1))
    write_manifest(folder, replace(build_manifest(Truth(repeats=1)), arms=(Arm.VM_FPR,)))
    for path in (folder / "trials").iterdir():
        if "vm-fpr" not in path.name:
            for inner in path.iterdir():
                inner.unlink()
            path.rmdir()
    assert "one trial, no interval" in render_report(folder).read_text()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["html", "md", "json", "csv", "svg", "png"])
def test_a_stored_run_is_exported_by_the_command(run_folder, tmp_path, capsys, kind):
    out = tmp_path / "out"
    assert main(["report", str(run_folder), "--format", kind, "--out", str(out)]) == 0
    paths = capsys.readouterr().out.split()
    assert paths
    assert all(len(open(path, "rb").read()) > 100 for path in paths)  # noqa: PTH123, SIM115
