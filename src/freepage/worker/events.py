"""A worker's reports of its schedule, in the words and on the clock of this host."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from freepage.records import EventLine
from freepage.worker.commands import NS_PER_S

if TYPE_CHECKING:
    from freepage.worker.messages import Message


def build_event(message: Message, instance: str, shift_s: float) -> EventLine:
    """Return the event of a step; `shift_s` is the zero of the schedule on the worker's clock."""
    start_s, end_s, planned_s = (
        message[key] / NS_PER_S - shift_s for key in ("start_ns", "end_ns", "planned_ns")
    )
    return EventLine(
        t_s=start_s,
        end_s=end_s,
        instance=instance,
        process=message["process"],
        index=message["index"],
        iteration=message["iteration"],
        action=message["action"],
        bytes=message["bytes"],
        planned_s=planned_s,
        late_s=start_s - planned_s,
        wall_s=end_s - start_s,
        user_s=message["user_ns"] / NS_PER_S,
        system_s=message["system_ns"] / NS_PER_S,
        minor_faults=message["minor_faults"],
        major_faults=message["major_faults"],
        ok=message["ok"],
        error=message.get("error"),
        read_bytes=message.get("read_bytes"),
    )


def describe_process_end(message: Message) -> tuple[str, str | None]:
    """Return why a process ended before its schedule did, and a hint where there is one."""
    process, number = message["process"], message["signal"]
    if number == 0:
        return f"lost its process {process}: {message.get('error', 'no reason given')}", None
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    hint = "SIGKILL is usually the OOM killer: give the instance more memory"
    return f"had its process {process} ended by {name}", hint if number == signal.SIGKILL else None
