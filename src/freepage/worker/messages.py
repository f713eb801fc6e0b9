"""Lines from a worker: messages of docs/worker-protocol.md, whose every field has been checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from freepage.records import Action

Message = dict[str, Any]

PROTOCOL_VERSION = 2
# The type of the reply to each command that has one.
REPLY_TO = {
    "ping": "pong",
    "loaded": "loaded",
    "start": "started",
    "go": "going",
    "read": "text",
    "again": "said",
}

# The integers each type of line must carry beside its number.
_INTEGERS = {
    "ready": ("version", "pid", "clock_ns", "page_bytes", "cpus", "memory_bytes"),
    "pong": ("id", "clock_ns"),
    "loaded": ("id", "processes", "steps"),
    "started": ("id",),
    "going": ("id",),
    "said": ("id",),
    "text": ("id",),
    "step": (
        "process",
        "index",
        "iteration",
        "bytes",
        "planned_ns",
        "start_ns",
        "end_ns",
        "user_ns",
        "system_ns",
        "minor_faults",
        "major_faults",
    ),
    "waiting": ("process", "index"),
    "process-ended": ("process", "signal"),
    "done": ("failed",),
    "forgotten": (),
    "error": (),
}


@dataclass(frozen=True)
class Ready:
    """The first message of a worker; `memory_bytes` is what its kernel calls physical memory."""

    version: int
    pid: int
    page_bytes: int
    cpus: int
    memory_bytes: int


def parse_message(line: bytes) -> Message:
    """Return the message of one line, the `text` of a file as bytes; ValueError with what is wrong with it."""
    try:
        message: Message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(kind, str) or kind not in _INTEGERS:
        raise ValueError("its type is unknown")
    for key in ("n", *_INTEGERS[kind]):
        _check_integer(message, key)
    _check_rest(kind, message)
    return message


def _check_rest(kind: str, message: Message) -> None:
    if kind == "step":
        if "read_bytes" in message:
            _check_integer(message, "read_bytes")
        Action(str(message.get("action")))
        if not isinstance(message.get("ok"), bool):
            raise ValueError("'ok' is neither true nor false")
    if kind == "text":
        _read_bytes(message)
    if kind == "error":
        message.setdefault("message", "")
    for key in ("error", "message"):
        if key in message:
            message[key] = str(message[key]).encode("utf-8", "replace").decode("utf-8")


def _read_bytes(message: Message) -> None:
    """Turn the text of a file, one code point a byte, into the bytes it stands for."""
    if "text" not in message:
        _check_integer(message, "errno")
    elif not isinstance(message["text"], str):
        raise ValueError("'text' is no string")
    else:
        message["text"] = message["text"].encode("latin-1")


def _check_integer(message: Message, key: str) -> None:
    value = message.get(key)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError(f"{key!r} is no 64-bit integer")
