"""Makes a fleet of what `density` is told: a fleet's file, a run, or traces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from freepage.forecast.fleet import Fleet, FleetError, Node, Window
from freepage.forecast.fleets.file import USUAL_HOURS, USUAL_OVERHEAD_BYTES, USUAL_UPTIME_S

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from freepage.forecast.fleet import VmKind

# Kinds of VMs, with what their making has left open.
Kinds = tuple[tuple["VmKind", ...], tuple[str, ...]]


def build_fleet(options: argparse.Namespace) -> Fleet:
    """Return the fleet that is asked about; FleetError for sources that do not go together, or lack a node."""
    sources: list[Path] = options.sources
    files = [path for path in sources if path.suffix == ".toml"]
    if (files or any(path.is_dir() for path in sources)) and len(sources) > 1:
        raise FleetError(
            "a fleet or a run is asked about by itself",
            hint="several sources can only be traces, each of one kind of VM",
        )
    if files:
        from freepage.forecast.fleets.read import read_fleet

        fleet = read_fleet(files[0])
    else:
        fleet = _build_from_run(sources[0], options) if sources[0].is_dir() else _build_from_traces(options)
    window = fleet.window
    if options.hours is not None:
        window = Window(window.start_s, window.start_s + max(1, round(options.hours * 3600)))
    return replace(fleet, nodes=_change_nodes(fleet.nodes, options), window=window)


def _change_nodes(nodes: tuple[Node, ...], options: argparse.Namespace) -> tuple[Node, ...]:
    """Return the nodes as the command line has them."""
    if options.node is not None and len(nodes) > 1:
        raise FleetError(
            f"--node is the memory of one node; the fleet has {len(nodes)}", hint="change it in its file"
        )
    given = {"memory_bytes": options.node, "swap_bytes": options.swap, "overcommit": options.overcommit}
    changed = tuple(replace(node, **{k: v for k, v in given.items() if v is not None}) for node in nodes)
    short = next((node for node in changed if node.usable_bytes <= 0), None)
    if short is not None:
        raise FleetError(f"{short.name} reserves all of its memory; nothing is left for VMs")
    return changed


def _build_from_run(folder: Path, options: argparse.Namespace) -> Fleet:
    from freepage.forecast.replay_run import kinds_of_run
    from freepage.store import load_run

    run = load_run(folder)
    memory = run.manifest.node_memory_bytes if options.node is None else options.node
    return _assemble(run.manifest.study, kinds_of_run(run, USUAL_OVERHEAD_BYTES), memory)


def _build_from_traces(options: argparse.Namespace) -> Fleet:
    from freepage.forecast.columns import parse_columns
    from freepage.forecast.replay import read_trace_kind

    if options.node is None:
        raise FleetError("traces have no node", hint="--node SIZE says how much memory one has")
    columns = parse_columns(options.columns)
    read = [read_trace_kind(p, columns, p.stem, USUAL_OVERHEAD_BYTES) for p in options.sources]
    names = [kind.name for kind, _ in read]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FleetError(f"two traces are called {twice!r}", hint="each file is a kind of VM, by its name")
    kinds = tuple(kind for kind, _ in read), tuple(note for _, notes in read for note in notes)
    return _assemble(", ".join(names), kinds, options.node)


def _assemble(title: str, kinds: Kinds, memory_bytes: float) -> Fleet:
    start_s = round(USUAL_UPTIME_S)
    window = Window(start_s, start_s + round(USUAL_HOURS * 3600))
    return Fleet(title, kinds[0], (Node("node", memory_bytes),), window, notes=kinds[1])
