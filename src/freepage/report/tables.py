"""Every table of a report; the page, Markdown and CSV all show these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.report.parts.allocation import allocation_table, host_view_table
from freepage.report.parts.command import command_table
from freepage.report.parts.comparison import claim_table, comparison_table
from freepage.report.parts.cpu import burst_table, cpu_table
from freepage.report.parts.forecast import forecast_table
from freepage.report.parts.io import guest_io_table, host_io_table, io_memory_table
from freepage.report.parts.memory import memory_table
from freepage.report.parts.prometheus import prometheus_table
from freepage.report.parts.release import release_table
from freepage.report.parts.trials import condition_table, evidence_table, trial_table

if TYPE_CHECKING:
    from freepage.analysis.results import Results
    from freepage.records import Manifest
    from freepage.report.table import Table

BUILD = (
    claim_table,
    allocation_table,
    host_view_table,
    memory_table,
    release_table,
    forecast_table,
    cpu_table,
    burst_table,
    guest_io_table,
    host_io_table,
    io_memory_table,
    command_table,
    comparison_table,
    evidence_table,
    prometheus_table,
    trial_table,
)


def build_tables(results: Results, manifest: Manifest) -> list[Table]:
    """Return every table that has something to show, in the order of the page."""
    tables = [*(build(results) for build in BUILD), condition_table(manifest)]
    return [table for table in tables if table.rows]
