"""The reporting order and delay of kernels of every architecture and age, by what the machine itself shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.kernels import (
    RunningKernel,
    find_page_bytes,
    is_reporting_registered,
    parse_reporting_delay_s,
    parse_reporting_order,
)
from freepage.units import KIB, MIB

X86_OLD = RunningKernel("5.15.0-91-generic", "x86_64", 4 * KIB)


@pytest.mark.parametrize(
    ("kernel", "text", "order"),
    [
        (RunningKernel("6.6.30", "aarch64", 16 * KIB), "11", 11),
        (RunningKernel("6.1.0", "aarch64", 64 * KIB), "5", 5),
        (RunningKernel("5.15.0", "aarch64", 64 * KIB), "14", None),
        (RunningKernel("5.15.0", "aarch64", 64 * KIB), "13", 13),
        (RunningKernel("5.15.0", "arm64", 16 * KIB), "12", None),
        (RunningKernel("5.15.0", "arm64", 16 * KIB), "11", 11),
        (RunningKernel("5.15.0", "aarch64", 4 * KIB), "11", None),
        (X86_OLD, "11", None),
        (X86_OLD, "9", 9),
        (X86_OLD, "0", 0),
        (RunningKernel("6.6.0", "x86_64"), "-1", None),
        (RunningKernel("6.6.0", "x86_64"), "10", 10),
        (RunningKernel("6.8.0", "s390x"), "8", 8),
        (RunningKernel("5.15.0", "s390x"), "9", None),
        (RunningKernel("5.15.0", "ppc64le", 64 * KIB), "9", None),
        (RunningKernel("6.6.0", "ppc64le", 64 * KIB), "8", 8),
        (RunningKernel("4.18.0-553.el8_10.x86_64", "x86_64"), "9", 9),
        (RunningKernel("4.18.0-553.el8_10.x86_64", "x86_64"), "11", None),
        (RunningKernel("7.3.0-rc1", None), "11", 11),
    ],
)
def test_an_order_that_no_driver_has_registered_is_none_on_every_kernel(kernel, text, order):
    assert parse_reporting_order(f"{text}\n", kernel) == order
    assert is_reporting_registered(text, kernel) is (order is not None)


@pytest.mark.parametrize(("free_lists", "order"), [(11, None), (12, 11), (13, 11)])
def test_the_free_lists_of_the_machine_itself_tell_before_anything_else(free_lists, order):
    """A distribution may configure others than the architecture's own."""
    for release in (None, "5.15.0", "6.6.0"):
        assert parse_reporting_order("11", RunningKernel(release, "aarch64", 4 * KIB, free_lists)) == order


@pytest.mark.parametrize(
    "kernel",
    [
        RunningKernel(),
        RunningKernel("5.15.0"),
        RunningKernel("5.15.0", "aarch64"),
        RunningKernel(None, "sparc64", 8192),
    ],
)
@pytest.mark.parametrize("text", ["9", "11", "14"])
def test_what_may_be_an_order_or_nobody_is_not_known(kernel, text):
    assert is_reporting_registered(text, kernel) is None
    assert parse_reporting_order(text, kernel) is None
    assert parse_reporting_order("5", kernel) == 5


@pytest.mark.parametrize(
    ("text", "release", "answer"),
    [
        (None, "6.6.0", False),
        ("", "5.14.0", False),
        (None, "5.10.0", None),
        (None, "4.18.0-553.el8", None),
        (None, None, None),
        ("what", "6.6.0", None),
        ("9" * 40, "6.6.0", None),
    ],
)
def test_a_kernel_without_the_parameter_has_no_reporting_only_where_it_would_show_it(text, release, answer):
    assert is_reporting_registered(text, RunningKernel(release, "x86_64")) is answer


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2000\n", 2.0), ("0", 0.0), ("250", 0.25), ("-1", None), ("", None), (None, None), ("2s", None)],
)
def test_the_delay_of_passes_is_read_in_seconds_and_missing_on_older_kernels(text, seconds):
    assert parse_reporting_delay_s(text) == seconds


@pytest.mark.parametrize(
    ("kernel", "size"),
    [
        (RunningKernel(architecture="x86_64"), 4 * MIB),
        (RunningKernel(architecture="s390x"), MIB),
        (RunningKernel(architecture="aarch64", page_bytes=64 * KIB), 512 * MIB),
        (RunningKernel(architecture="aarch64", page_bytes=16 * KIB), 32 * MIB),
        (RunningKernel(architecture="aarch64", page_bytes=4 * KIB, free_lists=13), 16 * MIB),
        (RunningKernel(architecture="ppc64le", page_bytes=64 * KIB), 16 * MIB),
        (RunningKernel(architecture="aarch64"), None),
        (RunningKernel(free_lists=11), None),
    ],
)
def test_the_largest_free_block_follows_from_page_size_and_lists(kernel, size):
    assert kernel.largest_block_bytes == size


@given(st.text(), st.none() | st.text(), st.none() | st.text(max_size=9))
def test_no_text_breaks_the_parsers(text, release, architecture):
    kernel = RunningKernel(release, architecture)
    order = parse_reporting_order(text, kernel)
    assert order is None or order >= 0
    assert (parse_reporting_delay_s(text) or 0) >= 0


@pytest.mark.parametrize(
    ("architecture", "page_bytes", "order"),
    [
        ("x86_64", 4 * KIB, 9),
        ("amd64", 4 * KIB, 9),
        ("arm64", 16 * KIB, 11),
        ("aarch64", 64 * KIB, 5),
        ("s390x", 4 * KIB, 8),
        ("ppc64le", 64 * KIB, None),
        (None, 4 * KIB, None),
    ],
)
def test_the_usual_reporting_order_is_that_of_an_architecture_and_its_pages(architecture, page_bytes, order):
    assert RunningKernel(None, architecture, page_bytes).usual_reporting_order == order


@pytest.mark.parametrize(
    ("free_pages", "free_bytes", "page_bytes"),
    [
        (1000, 4096_000, 4 * KIB),
        (1000, 5_500_000, 4 * KIB),
        (1000, 15_000_000, 16 * KIB),
        (1000, 65e6, 64 * KIB),
        (1000, 1e6, None),
        (0, 1e6, None),
    ],
)
def test_the_size_of_pages_follows_from_free_blocks_and_free_memory(free_pages, free_bytes, page_bytes):
    assert find_page_bytes(free_pages, free_bytes) == page_bytes
