"""The part on how the run went: whether FPR really was on, every trial, and the conditions of host, guests and tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.report.numbers import MISSING
from freepage.report.table import Cell, Table
from freepage.units import GIB, MIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from freepage.analysis.results import EvidenceResult, Results, TrialResult
    from freepage.records import Manifest

NOT_COUNTED = "warm-up, not counted"


def evidence_table(results: Results) -> Table:
    """Return the four levels at which FPR can be on, summed up for each arm that has guests."""
    rows: list[tuple[Cell, ...]] = []
    for arm in dict.fromkeys(t.arm for t in results.trials):
        seen = [e for t in results.trials if t.arm is arm for e in t.evidence if e.is_of_vm]
        if seen:
            rows.append((Cell(arm), *_evidence_cells(seen)))
    return Table(
        "evidence",
        "Was FPR really on?",
        "Configured: QEMU says so. Negotiated: the guest's virtio feature bit 5. Active: reports arrived at QEMU. Effective: "
        "at least half of what was freed left the host.",
        (
            "arm",
            "configured",
            "negotiated",
            "active",
            "effective",
            "reporting order",
            "guest THP",
            "host THP",
            "guest kernel",
        ),
        tuple(rows),
    )


def _evidence_cells(seen: list[EvidenceResult]) -> tuple[Cell, ...]:
    return (
        _sum_up(e.configured for e in seen),
        _sum_up(e.negotiated for e in seen),
        _sum_up(e.active for e in seen),
        _sum_up(e.effective for e in seen),
        _list(_show_order(e) for e in seen),
        _list(e.guest_thp for e in seen),
        _list(e.host_thp for e in seen),
        _list(e.guest_kernel for e in seen),
    )


def _show_order(evidence: EvidenceResult) -> str | None:
    """Return the order with the block it is and the wait between passes, as far as the guest's kernel shows them."""
    order, page_bytes, delay_s = evidence.reporting_order, evidence.page_bytes, evidence.reporting_delay_s
    if order is None:
        return None
    seen = [] if page_bytes is None else [format_bytes(page_bytes << order)]
    seen += [] if delay_s is None else [f"every {delay_s:g} s"]
    return f"{order} ({', '.join(seen)})" if seen else str(order)


def _sum_up(answers: Iterable[bool | None]) -> Cell:
    """Return what all say, or how many say yes."""
    values = list(answers)
    if all(value is None for value in values):
        return Cell("not known")
    if len(set(values)) == 1:
        return Cell("yes" if values[0] else "no")
    return Cell(f"{sum(value is True for value in values)} of {len(values)}")


def _list(values: Iterable[object]) -> Cell:
    return Cell(", ".join(dict.fromkeys(MISSING if value is None else str(value) for value in values)))


def trial_table(results: Results) -> Table:
    return Table(
        "trials",
        "Trials, in the order they ran",
        "",
        ("#", "experiment", "arm", "repeat", "status", "ready after", "error"),
        (
            *(_trial_cells(trial, NOT_COUNTED) for trial in results.warmups),
            *(_trial_cells(trial, str(trial.repeat + 1)) for trial in results.trials),
        ),
    )


def _trial_cells(trial: TrialResult, repeat: str) -> tuple[Cell, ...]:
    return (
        Cell(str(trial.order + 1), numeric=True),
        Cell(trial.experiment),
        Cell(trial.arm),
        Cell(repeat, numeric=True),
        Cell(trial.status),
        Cell(MISSING if trial.ready_s is None else f"{trial.ready_s:.2f} s", numeric=True),
        Cell("\n".join(filter(None, (trial.error, trial.hint)))),
    )


def condition_table(manifest: Manifest) -> Table:
    node, of = (manifest.location, "") if manifest.node_is_fixed else (manifest.node, "host ")
    facts: dict[str, object] = {
        "command": " ".join(manifest.command),
        "freepage": manifest.freepage_version,
        "study": f"{manifest.study}, scale {manifest.scale:g}, seed {manifest.seed}",
        "accelerator": f"{manifest.accelerator}: {manifest.accelerator_reason}",
        "node": f"{node}, {manifest.node_memory_bytes / GIB:.1f} GiB",
        "sampling interval": f"{manifest.interval_s:g} s",
        "started": manifest.started_at,
        "finished": manifest.finished_at or "cut short",
        **{name.replace("_", " "): value for name, value in manifest.tools.items()},
        **{f"{of}{name.replace('_', ' ')}": value for name, value in manifest.host.items()},
    }
    rows = tuple((Cell(name), Cell(_show_fact(name, value))) for name, value in facts.items())
    return Table("conditions", "Conditions", "", ("what", "value"), rows)


def _show_fact(name: str, value: object) -> str:
    if value is None:
        return "not known"
    if name.endswith("bytes") and isinstance(value, int) and value > MIB:
        return f"{value / GIB:.2f} GiB" if value >= GIB / 10 else format_bytes(value)
    return f"{value:.2f}" if isinstance(value, float) else str(value)
