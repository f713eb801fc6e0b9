"""What the figures of a modelled run show."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import altair as alt
import pytest

from freepage.analysis.compared import Comparison
from freepage.analysis.results import build_results
from freepage.analysis.stats import Estimate
from freepage.records import CARRIERS, Arm
from freepage.report.chart import MOST_POINTS
from freepage.report.export import export_run
from freepage.report.figures import draw_figures
from freepage.report.headlines import find_headlines
from freepage.report.parts.allocation import describe_reallocation
from freepage.report.parts.cpu import describe_extra_cpu
from freepage.report.parts.memory import DEMAND, describe_node_memory, draw_node_memory
from freepage.report.parts.release import PREDICTED
from freepage.store import load_run
from freepage.units import GIB, MIB
from helpers.modelled_run import CYCLE_ONLY, Truth, find_trial_ids, write_run


def draw(folder, truth=None, **options):
    truth = write_run(folder, truth, **options)
    run = load_run(folder)
    results = build_results(run)
    return truth, results, {figure.id: figure for figure in draw_figures(run, results)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("figures") / "run", Truth(repeats=5))


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A host whose passes are too small for what cycle frees in one go, and large enough for most releases of random."""
    return draw(tmp_path_factory.mktemp("slow") / "run", Truth(pass_bytes=96 * MIB))


def points(figure, arm):
    """Give the points of one line, wherever the specification keeps them; single marks are no line."""
    return [row for row in longest_rows(figure.spec) if row["arm"] == arm]


def longest_rows(spec):
    return max(spec["datasets"].values(), key=len)


def marks(spec):
    """Give the rows of single points beside the lines."""
    longest = longest_rows(spec)
    return [row for rows in spec["datasets"].values() if rows is not longest for row in rows]


def value_at(figure, arm, t_s):
    return min(points(figure, arm), key=lambda p: abs(p["t"] - t_s))["y"]


def test_figures_come_in_the_order_of_the_page(drawn):
    of_cycle = ["node-memory-cycle", "release-cycle", "allocation-cycle"]
    assert list(drawn[2]) == [*of_cycle, "node-memory-random", "release-random", "controls"]
    assert [f.experiment for f in drawn[2].values()] == ["cycle"] * 3 + ["random"] * 2 + [""]


@pytest.mark.long
def test_every_figure_is_what_the_schema_of_vega_lite_asks_for(drawn):
    for figure in drawn[2].values():
        alt.LayerChart.from_dict(figure.spec, validate=True)
        if figure.absolute is not None:
            alt.LayerChart.from_dict(figure.absolute, validate=True)


def test_the_nodes_memory_is_drawn_above_its_baseline_in_gib(drawn):
    truth, _, figures = drawn
    figure = figures["node-memory-cycle"]
    idle, block = truth.vm_idle_bytes / GIB, 512 * MIB / GIB
    assert value_at(figure, Arm.VM, 12) == pytest.approx(idle + block, abs=0.01)
    assert value_at(figure, Arm.VM_FPR, 12) == pytest.approx(idle + 0.04 * block, abs=0.01)
    assert value_at(figure, Arm.POD, 12) == pytest.approx(truth.pod_idle_bytes / GIB, abs=0.01)


def test_the_grey_line_is_what_the_schedules_hold(drawn):
    figure = drawn[2]["node-memory-cycle"]
    assert figure.reference == DEMAND
    assert value_at(figure, DEMAND, 0) == pytest.approx(0.5)
    assert value_at(figure, DEMAND, 5) == 0


def test_the_grey_line_steps_at_the_very_times_of_the_schedules(drawn):
    steps = [(p["t"], p["y"]) for p in points(drawn[2]["node-memory-cycle"], DEMAND)]
    assert steps == [(0, 0.5), (5, 0), (15, 0.5), (20, 0), (30, 0.5), (35, 0), (45, 0)]


def test_where_blocks_draw_schedules_of_their_own_the_grey_line_is_said_to_be_that_of_one(drawn):
    _, _, figures = drawn
    assert "what the schedules hold." in figures["node-memory-cycle"].caption
    random = figures["node-memory-random"]
    assert random.reference == f"{DEMAND} in block 1"
    assert "the schedules of block 1 hold; each block has schedules of its own" in random.caption
    assert points(random, random.reference)


@pytest.mark.long
def test_a_block_without_a_trial_of_all_instances_is_not_taken_for_one_with_schedules_of_its_own(tmp_path):
    _, results, _ = draw(tmp_path / "run", Truth(repeats=2))
    run = load_run(tmp_path / "run")
    mine = run.ok_trials("random")
    fewer = [
        t if t.record.repeat == 0 else replace(t, schedules=dict(list(t.schedules.items())[:1])) for t in mine
    ]
    whole, cut = (draw_node_memory(replace(run, trials=each), results, "random") for each in (mine, fewer))
    assert whole.reference == f"{DEMAND} in block 1"
    assert cut.reference == DEMAND


def test_memory_is_drawn_as_the_steps_that_samples_are(drawn):
    for name in ("node-memory-cycle", "release-cycle"):
        lines = [layer["mark"] for layer in drawn[2][name].spec["layer"] if layer["mark"]["type"] == "line"]
        assert {mark["interpolate"] for mark in lines} == {"step-after"}


def test_the_other_view_of_memory_has_the_baseline_in_it(drawn):
    truth, _, figures = drawn
    for arm in (*CARRIERS, DEMAND):
        above, absolute = (
            [p["y"] for p in longest_rows(spec) if p["arm"] == arm and p["t"] == 30]
            for spec in (figures["node-memory-cycle"].spec, figures["node-memory-cycle"].absolute)
        )
        assert absolute == pytest.approx([y + truth.baseline_bytes / GIB for y in above], abs=0.01)


def test_the_articles_first_figure_is_drawn_to_the_scale_of_our_block(drawn):
    truth, _, figures = drawn
    figure, idle = figures["node-memory-cycle"], truth.vm_idle_bytes / GIB
    seen = {(m["t"], m["arm"]): m["y"] for m in marks(figure.spec)}
    assert {t for t, _ in seen} == {15, 30, 45}
    assert seen[15, Arm.VM] == pytest.approx(idle + 0.5, abs=0.01)
    assert seen[15, Arm.VM_FPR] == pytest.approx(idle, abs=0.01)
    assert seen[15, Arm.POD] == pytest.approx(0, abs=0.01)
    assert figure.article
    assert "The article's figure 1" in figure.caption


def test_what_cannot_be_drawn_to_scale_is_not_and_the_caption_says_why(drawn):
    figure = drawn[2]["node-memory-random"]
    assert marks(figure.spec) == []
    assert figure.article == ""
    assert "Nothing of it can be drawn to scale" in figure.caption


def test_the_articles_table_stands_beside_our_allocations_by_the_first_one_without_fpr(drawn):
    figure = drawn[2]["allocation-cycle"]
    seen = {row["what"]: (row["y"], row["article"]) for row in longest_rows(figure.spec)}
    assert seen["vm, first"] == (1, 1)
    assert seen["vm-fpr, later"] == pytest.approx((1.2 / 1.2, 15.223 / 14.916), abs=0.02)
    assert seen["pod, later"] == pytest.approx((0.8 / 1.2, 11.430 / 14.916), abs=0.02)
    assert figure.title == "With FPR allocating again takes 1.32 times as long as without"
    assert describe_reallocation(None, "cycle") == "How long allocations take in cycle"


def test_all_time_axes_of_an_experiment_have_the_same_ends_that_the_page_can_move(drawn):
    for figure in drawn[2].values():
        names = [parameter["name"] for parameter in figure.spec.get("params", [])]
        assert names == (["span_from", "span_to"] if figure.span_s else [])
    assert {n: f.span_s for n, f in drawn[2].items() if f.span_s} == {
        "node-memory-cycle": 45,
        "node-memory-random": 60,
    }


def test_no_line_has_more_points_than_a_screen_can_show(drawn):
    for figure, arm in itertools.product(drawn[2].values(), Arm):
        assert len(points(figure, arm)) <= MOST_POINTS


def test_the_staircase_predicted_from_the_kernels_pace_is_the_one_the_model_climbs(drawn):
    figure = drawn[2]["release-cycle"]
    assert figure.reference == PREDICTED
    assert [(p["t"], p["y"]) for p in points(figure, PREDICTED)][:3] == [(0, 0), (2, 50), (4, 100)]
    assert value_at(figure, Arm.VM_FPR, 3) == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    ("seen", "steps", "words"),
    [
        ({"reporting_delay_s": 0.5}, [(0, 0), (0.5, 50), (1, 100)], "passes 0.5 s apart"),
        ({"page_bytes": 65536, "free_lists": 14}, [(0, 0), (2, 100)], "passes 2 s apart"),
    ],
)
def test_the_staircase_is_predicted_by_the_guests_own_delay_and_blocks(tmp_path, seen, steps, words):
    write_run(tmp_path, Truth(repeats=1), study=CYCLE_ONLY)
    for path in tmp_path.glob("trials/*/trial.json"):
        record = json.loads(path.read_text())
        for evidence in record["evidence"]:
            evidence.update(seen)
        path.write_text(json.dumps(record))
    run = load_run(tmp_path)
    figure = next(f for f in draw_figures(run, build_results(run)) if f.id == "release-cycle")
    assert [(p["t"], p["y"]) for p in points(figure, PREDICTED)][: len(steps)] == steps
    assert words in figure.caption


def test_where_processes_overlap_nothing_is_predicted(drawn):
    figure = drawn[2]["release-random"]
    assert figure.reference == ""
    assert points(figure, PREDICTED) == []


def test_a_line_breaks_where_one_trial_has_a_gap_instead_of_jumping(tmp_path):
    write_run(tmp_path / "run")
    folder = tmp_path / "run"
    first = folder / "trials" / find_trial_ids(folder, "cycle", Arm.VM)[0]
    cut_samples(first / "samples.parquet", 20.0, 25.0)
    run = load_run(folder)
    figure = next(f for f in draw_figures(run, build_results(run)) if f.id == "node-memory-cycle")
    assert value_at(figure, Arm.VM, 22) is None
    assert value_at(figure, Arm.VM, 18) is not None
    assert value_at(figure, Arm.VM, 27) is not None


def cut_samples(path, start_s, end_s):
    import polars as pl

    samples = pl.read_parquet(path).filter(~pl.col("t_s").is_between(start_s, end_s))
    samples.write_parquet(path)


@pytest.mark.long
def test_titles_say_what_was_found(drawn, tmp_path):
    assert drawn[2]["node-memory-cycle"].title == "Without FPR the host never gets it back; with FPR it does"
    assert drawn[2]["node-memory-random"].title.startswith("VMs with FPR take 2")
    idle = draw(tmp_path / "run", Truth(given_back=0.0, repeats=5))[2]
    assert idle["node-memory-cycle"].title == "The host gets nothing back, with FPR or without"
    assert idle["release-cycle"].title == "How freed memory comes back to the host in cycle"


def test_a_title_says_only_what_is_decided(tmp_path):
    """Over one trial of few cores once stood: VMs with FPR use 0.003 cores less than without."""
    three = draw(tmp_path / "run", Truth())[2]
    assert three["node-memory-cycle"].title == "Node memory in use while cycle runs"
    assert three["release-cycle"].title == "How freed memory comes back to the host in cycle"
    once = Estimate(-0.003, None, None, "cores", 1, "student")
    neutral = "CPU of the host while churn runs"
    assert describe_extra_cpu(once, 0.02, "churn") == neutral
    five = Estimate(0.1, 0.05, 0.15, "cores", 5, "student")
    assert describe_extra_cpu(five, 0.02, "churn") == "VMs with FPR use 0.10 cores more than without"
    assert describe_extra_cpu(five, 0.08, "churn") == neutral, "it differs, but perhaps by less than matters"
    assert describe_extra_cpu(five, None, "churn") == neutral
    unsure = replace(five, low=-0.05)
    assert "no more CPU than this run can tell" in describe_extra_cpu(unsure, 0.02, "churn")


def with_savings(results, **changes):
    """Return the random experiment's results with another saving."""
    found = results.experiments["random"]
    saved = {Comparison.SAVED_MEAN_SHARE: replace(found.compared(Comparison.SAVED_MEAN_SHARE), **changes)}
    return replace(found, comparisons=found.comparisons | saved)


def test_a_saving_the_interval_does_not_show_is_not_in_the_title(drawn):
    _, results, _ = drawn
    assert "less of the node" in describe_node_memory(results.experiments["random"], "random")[0]
    assert "less of the node" not in describe_node_memory(with_savings(results, low=-1.0), "random")[0]


def test_a_saving_of_more_than_all_is_not_in_the_title(drawn):
    more = with_savings(drawn[1], value=3.7, high=3.9)
    assert "less of the node" not in describe_node_memory(more, "random")[0]


def test_savings_are_in_the_title_only_where_one_looks_at_them_first(drawn):
    cycle = replace(drawn[1].experiments["random"], kind="cycle")
    assert "less of the node" not in describe_node_memory(cycle, "random")[0]


def test_a_doubt_stands_beside_the_figure_it_touches(slow):
    _, results, figures = slow
    doubts = [(d.id, d.experiment) for d in results.doubts]
    assert doubts == [("window-too-short", "cycle")]
    assert figures["release-cycle"].doubts == ("window-too-short",)
    assert figures["release-random"].doubts == ()
    assert figures["node-memory-cycle"].doubts == ()


def test_a_release_time_that_was_not_reached_says_how_often_it_was(slow):
    _, results, _ = slow
    number = next(n for n in find_headlines(results) if n.label == "Until 90 % is back")
    assert number.basis == "reached in 0 of 9 releases"


@pytest.mark.long
def test_one_figure_becomes_one_file(drawn, tmp_path):
    write_run(tmp_path / "run", Truth(repeats=1))
    paths = export_run(tmp_path / "run", "svg", tmp_path / "figures")
    assert [p.stem for p in paths] == list(drawn[2])
    assert all(p.read_text(encoding="utf-8").startswith("<svg") for p in paths)
