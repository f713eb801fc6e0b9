"""Runs a node with a container in it until it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.images import LAUNCHER_IMAGE
from lab.nodes import run_nodes
from lab.store import PODS, MemoryStore

SLEEPER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "sleeper", "namespace": "studies"},
    "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": LAUNCHER_IMAGE, "command": ["/bin/sleep", "600"]}],
    },
}


async def run():
    store = MemoryStore()
    async with run_nodes(store, Path(sys.argv[1]), ["one"]):
        store.create(PODS, SLEEPER)
        async for _, pod in store.watch(PODS):
            if pod.get("status", {}).get("phase") == "Running":
                sys.stdout.write("running\n")
                sys.stdout.flush()
                await asyncio.sleep(600)


asyncio.run(run())
