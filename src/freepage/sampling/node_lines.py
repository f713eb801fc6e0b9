"""The lines that `worker sample` prints of a node, one a tick: the command for it, and their parser."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from freepage.sampling.procfs import NODE_FILES

_NS = 1_000_000_000


@dataclass(frozen=True)
class NodeLine:
    """One tick: its number, the node's own clocks (s), its page size, and the texts of files; None for one unreadable."""

    number: int
    clock_s: float
    wall_s: float
    page_bytes: int
    texts: dict[str, str | None]

    def read(self, path: str) -> str:
        """Return the text of a file as procfs.read_host_from asks for it."""
        return self.texts.get(path) or ""


def sampler_command(interval_s: float) -> list[str]:
    """Return the worker's arguments that make it print what procfs.read_host_from needs every `interval_s` seconds."""
    files = [f"{path}:{','.join(starts)}" if starts else path for path, starts in NODE_FILES.items()]
    return ["sample", str(max(1, round(interval_s * 1000))), *files]


def parse_node_line(text: str) -> NodeLine | None:
    """Take one printed line apart; None for what is no whole line of the sampler."""
    try:
        content: dict[str, Any] = json.loads(text)
        if content["type"] != "sample":
            return None
        return NodeLine(
            int(content["n"]),
            content["clock_ns"] / _NS,
            content["wall_ns"] / _NS,
            int(content["page_bytes"]),
            {path: None if held is None else str(held) for path, held in content["files"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
