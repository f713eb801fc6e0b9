"""A container as clusters run pods: nobody's, with nothing writable but /tmp."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from freepage.records import Action, ProcessSchedule, Step
from freepage.targets.local.container import open_mounted_root, write_bundle
from freepage.targets.local.process import end_process, start_process
from freepage.units import MIB
from freepage.worker.channel import open_process_channel
from freepage.worker.client import WorkerClient

pytestmark = pytest.mark.vm

NOBODY = {"uid": 65534, "gid": 65534}


async def test_a_worker_needs_no_rights_and_no_place_but_tmp(tmp_path):
    runtime = shutil.which("runc") or shutil.which("crun")
    write_bundle(tmp_path, "nobody", None)
    # The mount takes its mode from here; Kubernetes gives an emptyDir this one.
    (tmp_path / "rootfs/tmp").chmod(0o777)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["root"]["readonly"]
    config["process"]["user"] = NOBODY
    (tmp_path / "config.json").write_text(json.dumps(config))
    options = ["--root", str(tmp_path / "state")]
    steps = (
        Step(0.0, Action.ALLOCATE, MIB, 0),
        Step(0.1, Action.FREE, MIB, 0),
        Step(0.2, Action.RUN, 0, 1, argv=("/worker", "sample"), timeout_s=10),
    )
    events = []
    with open_mounted_root() as before:
        run = [*before, runtime, *options, "run", "--bundle", str(tmp_path), "freepage-nobody"]
        process = await start_process(run, None, errors=tmp_path / "errors", pipes=True)
        client = WorkerClient(open_process_channel(process), "pod-0")
        try:
            await client.wait_ready(30)
            await client.ping()
            await client.load([ProcessSchedule(0, steps)])
            await client.start(time.monotonic())
            await client.wait_done(events.append, 30)
            said = await client.read_text("/tmp/run-0-2.err")
            user = await client.read_text("/proc/self/status")
        finally:
            await client.close()
            await end_process(process)
    assert [e.ok for e in events] == [True, True, False]
    assert events[2].error == "ended with status 2"
    assert said.startswith("worker sample INTERVAL_MS")
    assert "Uid:\t65534\t65534" in user
