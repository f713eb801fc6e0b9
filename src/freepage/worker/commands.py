"""Lines to a worker: commands of docs/worker-protocol.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from freepage.units import KIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freepage.records import Step

# What the worker takes as one line, its newline included.
LONGEST_COMMAND_BYTES = 64 * KIB
NS_PER_S = 1_000_000_000


def build_command(**fields: str | int) -> bytes:
    """Return a command as a line without its newline."""
    return json.dumps(fields, separators=(",", ":")).encode()


def build_step(process: int, index: int, step: Step) -> bytes:
    """Return the command that appends a step to the schedule of a process, times in whole nanoseconds."""
    fields: dict[str, str | int] = {
        "op": "step",
        "process": process,
        "index": index,
        "at_ns": round(step.at_s * NS_PER_S),
        "action": step.action.value,
        "bytes": step.bytes,
        "iteration": step.iteration,
        "scan": step.scan,
        "stride": step.stride_bytes,
        "seed": step.seed,
    }
    if step.barrier:
        fields["barrier"] = 1
    if step.argv:
        fields |= {"argv": "\n".join(step.argv), "timeout_ns": round(step.timeout_s * NS_PER_S)}
    return build_command(**fields)


def find_unsendable_argument(step: Step) -> str | None:
    """Return the first argument of a program that would become another on its way: one with a newline or a NUL."""
    return next((argument for argument in step.argv if "\n" in argument or "\0" in argument), None)


def split_lines(lines: Sequence[bytes], size_bytes: int) -> Iterator[list[bytes]]:
    """Yield lines in parts of at most `size_bytes`, newlines included; one that is longer is a part of its own."""
    part: list[bytes] = []
    part_bytes = 0
    for line in lines:
        if part and part_bytes + len(line) + 1 > size_bytes:
            yield part
            part, part_bytes = [], 0
        part.append(line)
        part_bytes += len(line) + 1
    if part:
        yield part
