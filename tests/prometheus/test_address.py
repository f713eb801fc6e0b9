"""The address of a Prometheus as a person gives it."""

from __future__ import annotations

import pytest

from freepage.prometheus.address import clean_url
from freepage.prometheus.errors import PrometheusError


@pytest.mark.parametrize(
    "ending",
    ["", "/", "/api", "/api/", "/api/v1", "/api/v1/query", "/graph", "/prom", "/prom/api", "/prom/vmui/"],
)
def test_an_address_may_end_with_the_api(ending):
    assert clean_url(f"https://thanos.example{ending}")[0] == "https://thanos.example" + (
        "/prom" if "prom" in ending else ""
    )


@pytest.mark.parametrize(
    "text", ["prometheus:9090", "ftp://host", "http://", "http://host:none", "http://u:hush@host/?token=hush"]
)
def test_what_is_no_address_is_refused_without_its_secrets(text):
    with pytest.raises(PrometheusError) as caught:
        clean_url(text)
    assert "hush" not in str(caught.value)
    assert "http://HOST:9090" in caught.value.hint
