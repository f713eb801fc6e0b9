"""What tests of the worker share."""

from __future__ import annotations

import pytest

from freepage.worker import channel as channels
from freepage.worker import recovery
from freepage.worker import session as sessions


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(recovery, "AGAIN_PAUSE_S", 0.02)
    monkeypatch.setattr(recovery, "KEEP_ALIVE_S", 0.5)
    monkeypatch.setattr(channels, "SHORTEST_PAUSE_S", 0.005)
    monkeypatch.setattr(channels, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(sessions, "REPLY_DEADLINE_S", 20.0)
