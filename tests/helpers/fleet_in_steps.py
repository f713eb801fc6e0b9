"""A fleet second by second: each VM is a process of SimPy that looks at its guest every second. Slow, and plain to read."""

from __future__ import annotations

from math import ceil

import numpy as np
import simpy


class SteppedVm:
    """One VM: what its guest uses, has ever touched, and what the host still holds of what it has freed."""

    def __init__(self, at_s, used_bytes, passes):
        self._levels = list(zip(at_s.tolist(), used_bytes.tolist(), strict=True))
        self._passes = passes
        self.used = self.touched = self.held = self._top = 0.0
        self._due_s = None

    def live(self, env):
        """Do what happens in each second: first the guest, then its reporting."""
        while True:
            self._use(env.now)
            self._report(env.now)
            yield env.timeout(1)

    def _use(self, now_s):
        while self._levels and self._levels[0][0] <= now_s:
            self.used = self._levels.pop(0)[1]
        self.touched = max(self.touched, self.used)
        if self.used >= self.held:
            self.held, self._due_s = self.used, None
        elif self._due_s is None:
            self._top, self._due_s = self.held, now_s + self._passes.delay_s

    def _report(self, now_s):
        if self._due_s is None or now_s < self._due_s:
            return
        listed = max(0, ceil((self._top - self.used) / self._passes.block_bytes))
        most = self._passes.block_bytes * 32 * (ceil(listed / 512) + 1)
        self.held -= min(most, self.held - self.used)
        self._due_s = None if self.held == self.used else self._due_s + self._passes.delay_s


def step_fleet(levels, passes, end_s):
    """Return what is used, held with FPR, and held without by all VMs of some levels, at each second up to end_s."""
    env = simpy.Environment()
    vms = [SteppedVm(*each, passes) for each in zip(levels.at_s, levels.bytes, strict=True)]
    sums = np.zeros((3, end_s))

    def look():
        while True:
            for vm in vms:
                sums[:, int(env.now)] += vm.used, vm.held, vm.touched
            yield env.timeout(1)

    for vm in vms:
        env.process(vm.live(env))
    env.process(look())
    env.run(until=end_s)
    return sums
