"""Stand-ins for the seams."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import asynccontextmanager, contextmanager

from freepage.records import NODE, ClockOffset, EventLine, Evidence
from freepage.targets.base import Accelerator, TargetFacts
from freepage.units import GIB

CONDITIONS = {"memory_total_bytes": 8 * GIB, "memory_available_bytes": 8 * GIB, "cpus_logical": 2}
FACTS = TargetFacts(
    "local", "host", "", "host", False, Accelerator("tcg", "TCG was asked for"), {}, CONDITIONS
)


class FakeChannel:
    """A channel to a worker that the test plays: `say` is what it writes, `heard` what it was told.

    What is said as a dictionary gets the next number, unless it has one. `answers` by op are replies given at once with
    the command's id; a list gives one after the other.
    """

    def __init__(self, answers=None):
        self.heard = []
        self.answers = answers or {}
        self.closed = False
        self.broken = None
        self._said = itertools.count(1)
        self._lines = asyncio.Queue()

    def say(self, line):
        if isinstance(line, dict):
            line = json.dumps(line if "n" in line else {"n": next(self._said), **line}).encode() + b"\n"
        self._lines.put_nowait(line)

    async def read_line(self):
        line = await self._lines.get()
        if isinstance(line, Exception):
            raise line
        return line

    async def write_line(self, line):
        if self.broken is not None:
            raise self.broken
        command = json.loads(line)
        self.heard.append(command)
        answer = self.answers.get(command["op"])
        if isinstance(answer, list):
            answer = answer.pop(0)
        if answer is not None:
            self.say({**answer, "id": command["id"]})

    async def close(self):
        self.closed = True


class BreakableFakeChannel(FakeChannel):
    """A channel whose connection may break, which the test says; lines of others are `passed_on`."""

    def __init__(self, answers=None):
        super().__init__(answers)
        self.passed_on = []

    def pass_on(self, line):
        self.passed_on.append(line)


class RecordedProgress:
    """A progress that remembers what it was told."""

    def __init__(self):
        self.samples = []
        self.calls = []

    def run_started(self, trials, total_s):
        self.calls.append("run started")

    def trial_started(self, trial):
        self.calls.append(f"started {trial.id}")

    def trial_ended(self, trial, record):
        self.calls.append(f"ended {trial.id}")

    def run_ended(self):
        self.calls.append("run ended")

    def sampled(self, trial, line):
        self.samples.append(line)


class FakeWorker:
    def __init__(self, name, log, failure=None):
        self.name, self.log, self.failure = name, log, failure

    async def ping(self, count=8):
        self.log.append(f"ping {self.name}")
        return ClockOffset(1.0, 0.001)

    async def load(self, schedules):
        self.log.append(f"load {self.name}")

    async def start(self, zero_s):
        self.log.append(f"start {self.name}")

    async def wait_done(self, on_event, deadline_s):
        self.log.append(f"wait {self.name}")
        on_event(
            EventLine(0.0, 0.01, self.name, 0, 0, 0, "allocate", 1, 0.0, 0.0, 0.01, 0.0, 0.01, 1, 0, ok=True)
        )
        if self.failure is not None:
            raise self.failure


class FakeInstance:
    def __init__(self, name, log, evidence, failure=None):
        self.name = name
        self.worker = FakeWorker(name, log, failure)
        self._evidence = evidence

    def read_usage(self):
        return {"rss_bytes": 5.0}

    async def read_guest(self):
        return {}

    async def read_evidence(self):
        return self._evidence


class FakeTarget:
    """Instances that do nothing; `failures` by instance name are raised where the real ones would be."""

    def __init__(self, evidence=None, failures=None, refusal=None, obstacle=None):
        self.facts = FACTS
        self.obstacle = obstacle
        self.log = []
        self.evidence = evidence or {}
        self.failures = failures or {}
        self.refusal = refusal

    def find_obstacle(self, trial):
        return self.obstacle

    @contextmanager
    def open_node(self, trial):
        self.log.append(f"node {trial.node_memory_bytes}")
        try:
            yield self.read_node
        finally:
            self.log.append("given back")

    @asynccontextmanager
    async def open_instances(self, trial, folder):
        if self.refusal:
            raise self.refusal
        names = [i.name for i in trial.instances]
        try:
            yield [
                FakeInstance(n, self.log, self.evidence.get(n, Evidence(n)), self.failures.get(n))
                for n in names
            ]
        finally:
            self.log.append("closed")

    def read_node(self):
        parts = ("cached", "buffers", "sreclaimable")
        values = {"mem_total_bytes": 100.0, "mem_free_bytes": 50.0}
        return {NODE: values | {f"mem_{part}_bytes": 0.0 for part in parts}}
