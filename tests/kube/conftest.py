"""A scripted API server, and a login to it that depends on nothing of this machine."""

from __future__ import annotations

import pytest

from freepage.kube import retries
from helpers.api_server import ApiServer


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.setattr(retries, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "https_proxy", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def server():
    async with ApiServer().serve() as server:
        yield server


@pytest.fixture
async def api(server, tmp_path):
    async with server.log_in(tmp_path) as api:
        yield api
