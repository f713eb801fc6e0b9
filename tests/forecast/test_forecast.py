"""A whole forecast: its sentence, what it says of price and coverage, and the same for programs."""

from __future__ import annotations

import json

import pytest

from freepage.analysis.stats import Estimate
from freepage.forecast.forecast import NO_PRICE, forecast_all
from freepage.forecast.price import Price, price_per_hour
from freepage.forecast.words import BYTES, describe_coverage, describe_price, sum_up
from helpers.traces import make_trace

NAN = float("nan")
HOUR = range(0, 3601, 60)
PRICE = Price(
    "kvm-run",
    "cycle",
    Estimate(0.5, 0.4, 0.6, "s/GiB", 5),
    Estimate(0.1, None, None, "s/GiB", 1),
    emulated=False,
)


def build(*traces, price=None, overhead=(0.0, 0.0, 0.0)):
    return forecast_all([(trace, overhead) for trace in traces], price)


SAVING = make_trace("a", resident=8, reportable=4)
RANGE_ONLY = make_trace("b", resident=8, reportable=NAN)
UNKNOWN = make_trace("c", free=NAN, reportable=NAN)
FULL = make_trace("d", resident=8, free=0, reportable=0)
ON = make_trace("e", resident=4, reportable=4, fpr_on=True)
NOW = make_trace("f", t_s=[0.0], resident=8, reportable=4)


@pytest.mark.parametrize(
    ("traces", "sentence"),
    [
        (
            [SAVING],
            "With FPR this VM would hold 8.00 GiB·min instead of 16.0 GiB·min: 50 % less (45 to 55 %).",
        ),
        (
            [SAVING, SAVING, UNKNOWN, ON],
            "With FPR 2 of these 3 VMs would hold 16.0 GiB·min instead of 32.0 GiB·min: 50 % less (45 to 55 %).",
        ),
        (
            [RANGE_ONLY],
            (
                "With FPR this VM would hold 6.00 to 11.7 GiB·min instead of 16.0 GiB·min: 27 to 62 % less. "
                "Where in between is not known."
            ),
        ),
        ([FULL], "With FPR this VM would hold 16.0 GiB·min instead of 16.0 GiB·min: no less."),
        ([NOW], "With FPR this VM would hold 4.00 GiB instead of 8.00 GiB now: 50 % less (45 to 55 %)."),
        ([UNKNOWN], "Nothing can be forecast of this VM: what is missing is said below."),
        ([ON, ON], "FPR is on already in all of these 2 VMs."),
    ],
)
def test_the_answer_is_one_sentence(traces, sentence):
    assert sum_up(build(*traces)) == sentence


def test_long_times_are_told_in_hours():
    days = make_trace(t_s=range(0, 86401, 600), resident=8, reportable=4)
    assert (
        sum_up(build(days))
        == "With FPR this VM would hold 96.0 GiB·h instead of 192 GiB·h: 50 % less (45 to 55 %)."
    )


def test_what_could_not_be_told_names_the_vms_and_the_price():
    unknown = build(SAVING, UNKNOWN).unknown
    assert unknown[-1] == NO_PRICE
    assert next(each for each in unknown if "is free is not known" in each).endswith("(c)")


def test_time_in_which_nothing_is_known_is_told():
    half = make_trace(t_s=range(0, 300, 60), reportable=[4, 4, NAN, 4, 4])
    assert describe_coverage(build(half)).startswith("The numbers are of 50 % of the time")
    assert describe_coverage(build(SAVING)) == ""


def test_the_price_is_what_is_taken_again_times_what_a_run_measured_of_it():
    reportable = [3.0, 4.0] * 30 + [3.0]
    forecast = build(make_trace(t_s=HOUR, resident=8, reportable=reportable), price=PRICE)
    assert forecast.total.reused_gib_per_hour == 30
    assert describe_price(forecast) == (
        "The price by kvm-run (cycle): 30.0 GiB an hour would be taken again after it was given back; 15 s (12 s to 18 s) of waiting "
        "for it an hour, 3 s of CPU an hour."
    )
    assert NO_PRICE not in forecast.unknown
    assert price_per_hour(None, PRICE.wait_s_per_gib).likely is None


def test_a_run_that_did_not_measure_the_price_or_was_emulated_says_so():
    unknown = Price("tcg", "cycle", None, None, emulated=True).unknown
    assert [any(word in each for each in unknown) for word in ("had again", "CPU", "real hardware")] == [
        True
    ] * 3


def test_for_programs_every_number_is_there_and_null_where_it_is_not_known():
    content = build(SAVING, RANGE_ONLY, UNKNOWN, ON).as_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["schema"] == 1
    first, second, third, _ = content["vms"]
    assert first["gib_min"] == {
        "now": pytest.approx(16),
        "with_fpr": {"low": pytest.approx(7.2), "likely": pytest.approx(8), "high": pytest.approx(8.8)},
    }
    assert second["gib_min"]["with_fpr"]["likely"] is None
    assert third["gib_min"] == {"now": None, "with_fpr": {"low": None, "likely": None, "high": None}}
    assert third["unknown"]
    total = content["total"]
    assert (total["vms"], total["vms_with_fpr"], total["vms_without_forecast"]) == (2, 1, ["c"])
    assert total["gib_min"]["now"] == pytest.approx(32)
    assert content["price"] is None


@pytest.mark.parametrize(
    ("gib", "shown"), [(0.5, "0.50 GiB"), (12.34, "12.3 GiB"), (1645.3, "1645 GiB"), (None, "–")]
)
def test_numbers_have_three_digits_or_all_before_the_point(gib, shown):
    assert BYTES.show(None if gib is None else gib * 2**30) == shown
