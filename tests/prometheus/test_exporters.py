"""What several exporters say of one VM becomes one series, and never a mixture."""

from __future__ import annotations

import numpy as np
import pytest

from freepage.prometheus.exporters import (
    METRICS,
    Exporter,
    Grid,
    find_exporters,
    merge_exporters,
    name_vm,
    parse_metric,
)
from freepage.prometheus.series import TimeSeries

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("kubevirt_vmi_memory_resident_bytes", "resident"),
        ("kubevirt_vmi_memory_domain_bytes_total", "domain"),
        ("kubevirt_vmi_memory_pgminfault", "pgminfault"),
        ("kubevirt_vmi_memory_pgminfault_total", "pgminfault"),
        ("kubevirt_vmi_memory_used_total_bytes", None),
        ("kubevirt_vmi_cpu_usage_seconds_total", None),
        ("", None),
    ],
)
def test_a_number_has_one_name_whatever_kubevirt_called_it(name, metric):
    assert parse_metric(name) == metric


def test_the_vm_is_the_exporters_own_where_a_scrape_put_other_labels_in_their_place():
    assert name_vm({"namespace": "kubevirt", "exported_namespace": "apps", "name": "db"}) == ("apps", "db")


def test_points_lie_on_the_grid_and_what_is_beside_it_is_left_out():
    points = [(40.0, 1.0), (100.02, 2.0), (160.0, None), (220.0, 4.0), (280.0, 5.0)]
    series = [TimeSeries({"__name__": "kubevirt_vmi_memory_resident_bytes", "name": "db"}, points)]
    found = find_exporters([*series, TimeSeries({"__name__": "up"}, [(100.0, 1.0)])], Grid(100, 60, 3))
    assert list(found) == [("", "db")]
    np.testing.assert_array_equal(found["", "db"][0].values[METRICS.index("resident")], [2.0, NAN, 4.0])


def exporter(*rows):
    """Rows for the first metrics, of as many times as they have; the rest is not there."""
    values = np.full((len(METRICS), len(rows[0])), NAN)
    values[: len(rows)] = rows
    return Exporter({}, values)


def test_the_one_with_the_most_numbers_stands_and_of_equals_the_one_that_came_last():
    source = exporter([1, 1, 1, 1, 1], [1, 1, 1, 1, 1])
    target = exporter([NAN, 2, 2, 2, 2], [NAN, NAN, NAN, 2, 2])
    values, chosen = merge_exporters([source, target])
    assert chosen.tolist() == [0, 0, 0, 1, 1]
    assert values[0].tolist() == values[1].tolist() == [1, 1, 1, 2, 2]


def test_what_comes_back_to_a_node_it_has_left_came_last_there():
    there = exporter([1, 1, NAN, NAN, 1, 1])
    away = exporter([NAN, 2, 2, 2, 2, NAN])
    assert merge_exporters([there, away])[1].tolist() == [0, 1, 1, 1, 0, 0]


def test_where_no_exporter_has_anything_none_is_chosen():
    values, chosen = merge_exporters([exporter([1, NAN]), exporter([NAN, NAN])])
    assert chosen.tolist() == [0, -1]
    assert np.isnan(values[:, 1]).all()
