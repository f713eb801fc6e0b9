"""Series of samples: cut into queries that a server accepts, and joined again."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from freepage.prometheus.series import Span, TimeSeries, join_chunks, read_series, split_range, split_span
from helpers.fake_prometheus import MOST_STEPS


@given(
    start=st.integers(0, 2_000_000_000),
    seconds=st.integers(1, 100_000),
    step=st.sampled_from([0.5, 1, 2.5, 5, 15, 30]),
)
def test_chunks_are_the_whole_grid_and_none_has_more_points_than_a_server_gives(start, seconds, step):
    chunks = split_range(Span(start, start + seconds), step)
    grid = [first + n * step for first, last in chunks for n in range(round((last - first) / step) + 1)]
    assert grid == [start + n * step for n in range(int(seconds / step) + 1)]
    assert all((last - first) / step < MOST_STEPS for first, last in chunks)


@given(start=st.integers(0, 2_000_000_000), seconds=st.integers(1, 100_000))
def test_spans_of_stored_samples_follow_each_other_without_a_gap(start, seconds):
    spans = split_span(Span(start, start + seconds))
    assert (spans[0].start_s, spans[-1].end_s) == (start, start + seconds)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(spans))


@given(
    times=st.lists(st.integers(0, 200), unique=True).map(sorted),
    seams=st.lists(st.integers(0, 200), max_size=6).map(sorted),
)
def test_a_sample_at_a_seam_comes_once_and_all_are_in_order(times, seams):
    whole = [(float(t), None if t % 7 == 0 else t * 2.0) for t in times]
    edges = [-1, *seams, 201]
    windows = itertools.pairwise(edges)
    chunks = [[TimeSeries({"a": "b"}, [p for p in whole if low <= p[0] <= high])] for low, high in windows]
    assert join_chunks(chunks) == [TimeSeries({"a": "b"}, whole)]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metric", "value", "values", "result", "a"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(kind=ANYTHING | st.sampled_from(["vector", "matrix", "scalar", "string"]), result=ANYTHING)
def test_whatever_a_server_puts_into_an_answer_there_are_only_series_with_numbers_in_order(kind, result):
    for series in read_series({"resultType": kind, "result": result}):
        times = [t for t, _ in series.points]
        assert times == sorted(set(times))
        assert all(isinstance(text, str) for text in series.labels.values())
