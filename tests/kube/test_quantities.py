"""Kubernetes' quantities, as the API server reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.kube.quantities import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1288490188800m", 1288490188.8),
        ("131598296Ki", 131598296 * 1024),
        ("1.5Gi", 1.5 * 2**30),
        (".5Gi", 2**29),
        ("1e9", 1e9),
        ("1E3", 1000),
        ("128E", 128e18),
        ("128E-3", 0.128),
        ("4096M", 4096e6),
        ("5k", 5000),
        ("16Ei", 2.0**64),
        ("2500u", 0.0025),
        ("-1", -1),
        (8, 8),
        (1e22, 1e22),
    ],
)
def test_quantities_are_read_as_numbers(text, value):
    assert parse_quantity(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "6GiB",
        "5K",
        "6 Gi",
        "1e3Ki",
        "1e9M",
        "1e",
        "NaN",
        "inf",
        "1e400",
        "0x10",
        "\u0663Gi",
        "Gi",
        None,
        True,
        float("nan"),
        {},
    ],
)
def test_what_the_api_server_would_refuse_is_none(text):
    assert parse_quantity(text) is None


@given(st.text())
def test_no_text_breaks_the_parser(text):
    assert parse_quantity(text) is None or isinstance(parse_quantity(text), float)
