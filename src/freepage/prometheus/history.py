"""The memory of a cluster's VMs over hours to weeks, fetched to disk piece by piece (vm_history.py reads it from there)."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

from freepage.prometheus.client import open_prometheus
from freepage.prometheus.errors import LATER_HINT, PrometheusError
from freepage.prometheus.exporters import EXPORTED, NAMES, PREFIX, Vm, name_vm
from freepage.prometheus.history_plan import HistoryPlan
from freepage.prometheus.pieces import merge_piece, read_plan, write_piece, write_plan
from freepage.prometheus.series import Span
from freepage.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from freepage.prometheus.client import PrometheusClient, Settings
    from freepage.prometheus.history_plan import HistoryRequest, Piece

RESUME_HINT = "run the same command again later: it goes on with what is not there yet"
RESIDENT = f"{PREFIX}resident_bytes"
# The names of VMs are asked for in spans of a day: a busy cluster has many series in a month.
_NAMES_SPAN_S = 86400


async def fetch_history(
    settings: Settings, request: HistoryRequest, folder: Path, tell: Callable[[int, int], None]
) -> HistoryPlan:
    """Fetch what a folder lacks of a history, and return its plan: the one that the folder holds, if it holds one.

    `tell` is called with how many of all pieces are there. Raises PrometheusError where the server has no VMs, cannot be
    asked, or the folder holds another history; pieces that have come by then are kept.
    """
    async with open_prometheus(settings) as client:
        try:
            plan = await _find_plan(client, request, folder)
            pieces = [piece for batch in plan.batches() for piece in batch]
            missing = [piece for piece in pieces if not (folder / piece.file).exists()]
            there = len(pieces) - len(missing)
            tell(there, len(pieces))
            for count, piece in enumerate(missing, there + 1):
                await _fetch_piece(client, plan, piece, folder)
                tell(count, len(pieces))
        except PrometheusError as error:
            error.hint = RESUME_HINT if error.hint in {None, LATER_HINT} else error.hint
            raise
    return plan


async def _find_plan(client: PrometheusClient, request: HistoryRequest, folder: Path) -> HistoryPlan:
    plan = read_plan(folder)
    if plan is None:
        plan = await _make_plan(client, request)
        write_plan(folder, plan)
    elif (plan.url, plan.request) != (client.url, request):
        raise PrometheusError(
            f"{folder} holds the history of another request, from {plan.url}",
            hint="name another folder with --state, or remove this one",
        )
    return plan


async def _make_plan(client: PrometheusClient, request: HistoryRequest) -> HistoryPlan:
    """Plan a history up to now, by the server's clock, at times that are multiples of the step."""
    step_s = request.chosen_step_s
    now_s = time.time() + (await client.measure_clock()).offset_s
    end_s = int(now_s // step_s) * step_s
    count = int(request.since_s // step_s) + 1
    start_s = end_s - (count - 1) * step_s
    label, vms = await _find_vms(client, request, Span(start_s, end_s))
    return HistoryPlan(client.url, request, start_s, step_s, count, label, vms)


async def _find_vms(
    client: PrometheusClient, request: HistoryRequest, span: Span
) -> tuple[str, tuple[Vm, ...]]:
    """Find every VM of a span, in order, and the label under which their namespaces stand."""
    vms: set[Vm] = set()
    label = "namespace"
    for part in _split_days(span):
        for labels in await client.find_series(_select_resident(request.namespace), part):
            if request.namespace in {None, name_vm(labels)[0]}:
                vms.add(name_vm(labels))
                label = f"{EXPORTED}namespace" if f"{EXPORTED}namespace" in labels else label
    if not vms:
        raise await _explain_absence(client, request)
    return label, tuple(sorted(vms))


def _split_days(span: Span) -> Iterator[Span]:
    for start_s in range(span.start_s, max(span.end_s, span.start_s + 1), _NAMES_SPAN_S):
        yield Span(start_s, min(start_s + _NAMES_SPAN_S, span.end_s))


def _select_resident(namespace: str | None) -> list[str]:
    if namespace is None:
        return [RESIDENT]
    labels = ("namespace", f"{EXPORTED}namespace")
    return [f"{RESIDENT}{{{label}={json.dumps(namespace)}}}" for label in labels]


async def _explain_absence(client: PrometheusClient, request: HistoryRequest) -> PrometheusError:
    """Return the error for a server that has no VMs, with what it has instead."""
    found = await client.query(f'count by (__name__) ({{__name__=~"{PREFIX}.+"}})')
    names = ", ".join(sorted({series.labels.get("__name__", "") for series in found})) or "none"
    where = "" if request.namespace is None else f" in the namespace {request.namespace}"
    return PrometheusError(
        f"{client.url} has had no {RESIDENT}{where} for {format_duration(request.since_s)}, and without it nothing is "
        f"known of any VM; of {PREFIX}* it has now: {names}",
        hint="ask a Prometheus that scrapes KubeVirt's virt-handler, as a user who may read metrics of these namespaces",
    )


async def _fetch_piece(client: PrometheusClient, plan: HistoryPlan, piece: Piece, folder: Path) -> None:
    grid = plan.grid(piece)
    span = Span(grid.start_s, grid.start_s + (grid.count - 1) * grid.step_s)
    series = await client.query_range(build_query(plan.label, piece.vms), span, grid.step_s)
    write_piece(folder, piece, merge_piece(series, plan, piece, client.warnings))


def build_query(label: str, vms: Sequence[Vm]) -> str:
    """Return the selector of all numbers of some VMs; with them come VMs of the same names in another of their namespaces."""
    namespaces, names = (_match_any(words) for words in zip(*vms, strict=True))
    return f'{{__name__=~"{NAMES}",{label}=~{namespaces},name=~{names}}}'


def _match_any(words: Iterable[str]) -> str:
    # A dash needs no escape in these expressions, and an escape takes room in the address.
    escaped = (re.escape(word).replace("\\-", "-") for word in sorted(set(words)))
    return json.dumps("|".join(escaped))
