"""The columns of a trace: our names, their units, and which of a file's own columns is which."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from freepage.forecast.errors import TraceError
from freepage.metrics import BUDDY_ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class TraceColumn:
    """One column: its unit and meaning. same: other names that can mean nothing else. perhaps: names that often mean it."""

    unit: str
    meaning: str
    same: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()


def block_column(order: int) -> str:
    """Return the name of the column of free blocks of one order."""
    return f"free_{order}"


# Names of our own metrics and of KubeVirt's mean nothing else; "rss" may be in pages, KiB or bytes, "free" of many things.
COLUMNS = {
    "time": TraceColumn(
        "s",
        "seconds since any moment that all VMs share, or ISO 8601; UTC where it names no zone",
        ("time_s", "t_s", "timestamp"),
        ("date", "datetime", "ts", "elapsed"),
    ),
    "resident": TraceColumn(
        "bytes",
        "what the host holds for the VM, swap included",
        ("resident_bytes", "rss_bytes", "kubevirt_vmi_memory_resident_bytes"),
        ("rss", "vmrss", "resident_set"),
    ),
    "total": TraceColumn(
        "bytes",
        "the guest's memory, as its VMM was given it",
        ("total_bytes", "kubevirt_vmi_memory_domain_bytes"),
        ("mem_total", "memtotal", "memory"),
    ),
    "free": TraceColumn(
        "bytes",
        "all that is free in the guest, its page cache not counted (MemFree)",
        ("free_bytes", "guest_free_bytes", "kubevirt_vmi_memory_unused_bytes"),
        ("memfree", "mem_free", "unused"),
    ),
    "free_huge": TraceColumn(
        "blocks", "free blocks of 2 MiB in the guest, larger ones counted as several", (), ("huge",)
    ),
    "free_small": TraceColumn(
        "pages", "all free pages of the guest, those of blocks included", (), ("small",)
    ),
    **{
        block_column(order): TraceColumn(
            "blocks",
            f"free blocks of 2^{order} pages, as in the guest's /proc/buddyinfo",
            (f"guest_free_order_{order}_blocks",),
        )
        for order in BUDDY_ORDERS
    },
    "cached": TraceColumn(
        "bytes",
        "the guest's page cache",
        ("cached_bytes", "guest_cached_bytes", "kubevirt_vmi_memory_cached_bytes"),
        ("cache", "page_cache"),
    ),
    "vm": TraceColumn("", "the VM's name, where several are in one file", ("vm_name",), ("name", "domain")),
    "namespace": TraceColumn("", "the namespace it is in"),
    "node": TraceColumn("", "the node it runs on", (), ("host", "hostname")),
}
NEEDED = ("time", "resident")
_OURS = {name: ours for ours, column in COLUMNS.items() for name in (ours, *column.same)}
_PERHAPS = {name: ours for ours, column in COLUMNS.items() for name in column.perhaps}


def parse_columns(texts: Iterable[str]) -> dict[str, str]:
    """Read "resident=rss,free_huge=huge" (ours=theirs, any number of such texts); TraceError for what is no mapping."""
    found: dict[str, str] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        ours, _, theirs = (word.strip() for word in part.partition("="))
        if ours not in COLUMNS or not theirs:
            raise TraceError(f"--columns {part!r} is not ours=theirs", hint=_explain_ours(ours))
        if ours in found:
            raise TraceError(f"--columns names {ours} twice: {found[ours]!r} and {theirs!r}")
        found[ours] = theirs
    return found


def _explain_ours(word: str) -> str:
    close = get_close_matches(word, COLUMNS, 1)
    names = (
        "time, resident, total, free, free_huge, free_small, free_0 to free_15, cached, vm, namespace, node"
    )
    return (f"did you mean {close[0]!r}? " if close else "") + f"ours are {names}"


def match_columns(header: Sequence[str], mapping: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the name in a file of each of our columns that it has; `mapping` goes before what names tell by themselves.

    TraceError where a mapped column is not there, two columns are the same, or one that is needed is missing.
    """
    _check_mapping(header, mapping, where)
    found = dict(mapping)
    for theirs in header:
        ours = _OURS.get(theirs.lower())
        if ours is None or ours in mapping or theirs in mapping.values():
            continue
        if ours in found:
            raise TraceError(
                f"{where}: the columns {found[ours]!r} and {theirs!r} are both {ours}",
                hint=f"--columns {ours}={theirs} chooses one",
            )
        found[ours] = theirs
    for ours in NEEDED:
        if ours not in found:
            raise TraceError(
                f"{where} has no column {ours} ({COLUMNS[ours].meaning}); it has {', '.join(header)}",
                hint=suggest_mapping(header) or f"--columns {ours}=NAME names it",
            )
    return found


def _check_mapping(header: Sequence[str], mapping: Mapping[str, str], where: str) -> None:
    for ours, theirs in mapping.items():
        if theirs not in header:
            close = get_close_matches(theirs, header, 1)
            raise TraceError(
                f"{where} has no column {theirs!r}, which --columns calls {ours}; it has {', '.join(header)}",
                hint=f"did you mean {close[0]!r}?" if close else None,
            )


def suggest_mapping(header: Sequence[str]) -> str:
    """Return the --columns that a header probably needs, in words; "" where nothing is recognised."""
    parts = [f"{_PERHAPS[name.lower()]}={name}" for name in header if name.lower() in _PERHAPS]
    return f"perhaps --columns {','.join(parts)}" if parts else ""
