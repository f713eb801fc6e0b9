"""Where a value differs from the one before it, whatever is missing in between."""

from __future__ import annotations

import numpy as np

from freepage.prometheus.vm_history import find_changes


def test_a_change_is_from_the_last_known_value_and_the_first_is_none():
    values = np.array([5, 0, 5, 7, 0, 3])
    known = np.array([True, False, True, True, False, True])
    assert find_changes(values, known, np.not_equal).tolist() == [False, False, False, True, False, True]
    assert find_changes(values, known, np.less).tolist() == [False] * 5 + [True]
    assert not find_changes(values, np.zeros(6, dtype=bool), np.not_equal).any()
