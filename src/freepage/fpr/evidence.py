"""Evidence of FPR in guest and host: parsers for it, and its contradiction of an arm."""

from __future__ import annotations

import re
from dataclasses import replace

from freepage.records import Arm, Evidence

# The feature bits of the virtio balloon (include/uapi/linux/virtio_balloon.h): statistics of the guest, free page hinting,
# free page reporting.
STATISTICS_BIT = 1
HINTING_BIT = 3
REPORTING_BIT = 5


def parse_features(text: str | None) -> frozenset[int] | None:
    """Read /sys/bus/virtio/devices/*/features ("0100010010..."): the bits that were negotiated; None for no text."""
    digits = (text or "").strip()
    if not digits or set(digits) - {"0", "1"}:
        return None
    return frozenset(bit for bit, digit in enumerate(digits) if digit == "1")


def find_reporting_queue(features: frozenset[int] | None) -> int | None:
    """Return the number of the balloon's queue for reports by the negotiated features; None without one, or not known.

    Queues have no fixed numbers: after those to inflate and deflate, each is there only with its feature, and they are
    counted without gaps (init_vqs() in drivers/virtio/virtio_balloon.c).
    """
    if features is None or REPORTING_BIT not in features:
        return None
    return 2 + len(features & {STATISTICS_BIT, HINTING_BIT})


def parse_choice(text: str | None) -> str | None:
    """Read a sysfs choice such as "always [defer+madvise] never": the word in brackets; None without one."""
    found = re.search(r"\[([^\[\]\s]+)\]", text or "")
    return found[1] if found else None


def judge_activity(evidence: Evidence) -> Evidence:
    """Return the evidence, active by the reports that were counted; a driver that has not taken the feature up sends none."""
    counted = None if evidence.report_count is None else evidence.report_count > 0
    return replace(evidence, active=False if evidence.negotiated is False else counted)


def count_from_zero(evidence: Evidence, at_zero: int | None) -> Evidence:
    """Return the evidence, active only by reports that came after the trial's zero: every guest reports at its boot."""
    if at_zero is None or evidence.report_count is None:
        return evidence
    return replace(evidence, report_count_at_zero=at_zero, active=evidence.report_count > at_zero)


def find_contradiction(carrier: Arm, evidence: Evidence) -> str | None:
    """Describe the contradiction between the evidence and the arm; None when there is none.

    A VM of the arm vm-fpr must be seen to have FPR configured and negotiated; one of vm must be seen not to. What is
    not known decides nothing, except that a level must be known at all.
    """
    if carrier is Arm.POD:
        return None
    wanted = carrier is Arm.VM_FPR
    for level, seen in (("configured", evidence.configured), ("negotiated", evidence.negotiated)):
        if seen is not None and seen is not wanted:
            return f"{evidence.instance} is in arm {carrier}, but FPR is {'' if seen else 'not '}{level}{_cause(level, seen)}"
    if evidence.configured is None and evidence.negotiated is None:
        return f"{evidence.instance} is in arm {carrier}, and nothing shows whether FPR is on"
    return None


def _cause(level: str, seen: bool) -> str:
    if seen or level == "configured":
        return ""
    return (
        ": its kernel may lack CONFIG_PAGE_REPORTING (Linux 5.7), or it fills freed memory (init_on_free, page_poison) "
        "and the device does not offer page poisoning"
    )
