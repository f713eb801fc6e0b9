from __future__ import annotations

import pytest

from freepage.run import trial


@pytest.fixture(autouse=True)
def brief_settling(monkeypatch):
    """Have memory count as steady after tenths of a second: the targets here are steady at once."""
    for name in ("NODE_SPAN_S", "QUIET_SPAN_S", "LEAD_S"):
        monkeypatch.setattr(trial, name, 0.2)
