"""A history of VMs on disk: its plan, and one file for each piece that has come."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from freepage.cache import cache_folder
from freepage.errors import HostError
from freepage.prometheus.errors import PrometheusError
from freepage.prometheus.exporters import METRICS, find_exporters, find_place, merge_exporters
from freepage.prometheus.history_plan import HistoryPlan, HistoryRequest
from freepage.prometheus.series import are_of_several_clusters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from freepage.prometheus.exporters import Array, Indices
    from freepage.prometheus.history_plan import Piece
    from freepage.prometheus.series import TimeSeries

    Bools = NDArray[np.bool_]

PLAN = "plan.json"
# How the name of a history's folder in the cache begins.
_FOLDER = "history-"


@dataclass(frozen=True)
class PieceData:
    """The numbers of a piece: values of shape (VMs, METRICS, times), NaN where there are none.

    places: of shape (VMs, times), the index in `labels` of where a VM was, -1 where nothing is known of it. shared: of shape
    (VMs,), whether several clusters have a VM of this name. warnings: what the server said beside its answer.
    """

    values: Array
    places: Indices
    labels: tuple[dict[str, str], ...]
    shared: Bools
    warnings: tuple[str, ...] = ()


def merge_piece(
    series: Iterable[TimeSeries], plan: HistoryPlan, piece: Piece, warnings: Iterable[str] = ()
) -> PieceData:
    """Return the numbers of a piece from the series of an answer; VMs of other pieces are left out."""
    grid = plan.grid(piece)
    found = find_exporters(series, grid)
    values = np.full((len(piece.vms), len(METRICS), grid.count), np.nan)
    places = np.full((len(piece.vms), grid.count), -1)
    shared = np.zeros(len(piece.vms), dtype=bool)
    labels: dict[tuple[tuple[str, str], ...], int] = {}
    for n, exporters in enumerate(found.get(vm, []) for vm in piece.vms):
        if exporters:
            values[n], chosen = merge_exporters(exporters)
            keys = [tuple(sorted(find_place(each.labels).items())) for each in exporters]
            numbers = np.array([labels.setdefault(key, len(labels)) for key in keys])
            places[n] = np.where(chosen < 0, -1, numbers[chosen])
            shared[n] = are_of_several_clusters([each.labels for each in exporters])
    own = slice(plan.look_back, None)
    return PieceData(values[:, :, own], places[:, own], tuple(map(dict, labels)), shared, tuple(warnings))


def find_folder(url: str, request: HistoryRequest) -> Path:
    """Return the folder in freepage's cache for a history from this address."""
    text = json.dumps([url, asdict(request)])
    return cache_folder() / f"{_FOLDER}{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def list_folders() -> list[Path]:
    """Return the folders in freepage's cache that hold a history, whole or not."""
    return sorted(cache_folder().glob(f"{_FOLDER}*"))


def write_plan(folder: Path, plan: HistoryPlan) -> None:
    """Begin a history, whose pieces may come from now on; HostError where the folder cannot be written."""
    _write(folder, PLAN, json.dumps(asdict(plan)).encode())


def read_plan(folder: Path) -> HistoryPlan | None:
    """Return the plan of the history that a folder holds, whole or not; None where it holds none."""
    try:
        found = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        request = HistoryRequest(**found.pop("request"))
        vms = tuple((str(namespace), str(name)) for namespace, name in found.pop("vms"))
        return HistoryPlan(request=request, vms=vms, **found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_piece(folder: Path, piece: Piece, data: PieceData) -> None:
    """Keep a piece, whole or not at all; HostError where the folder cannot be written."""
    said = json.dumps({"labels": data.labels, "warnings": data.warnings}).encode()
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        values=data.values,
        places=data.places,
        shared=data.shared,
        said=np.frombuffer(said, dtype=np.uint8),
    )
    _write(folder, piece.file, stream.getvalue())


def read_piece(folder: Path, piece: Piece) -> PieceData:
    """Return a piece that has come; PrometheusError where it is not there, or not whole."""
    try:
        with np.load(folder / piece.file) as found:
            said = json.loads(found["said"].tobytes())
            labels, warnings = tuple(said["labels"]), tuple(said["warnings"])
            return PieceData(found["values"], found["places"], labels, found["shared"], warnings)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise PrometheusError(
            f"{folder / piece.file} cannot be read: {error}",
            hint="remove it and run the same command again, which asks for it once more",
        ) from error


def remove_history(folder: Path) -> None:
    """Remove a history from its folder, and the folder where nothing else is in it."""
    for path in (folder / PLAN, *folder.glob("piece-*")):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file in one step."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="piece-", delete=False) as temporary:
            temporary.write(content)
        Path(temporary.name).replace(folder / name)
    except OSError as error:
        raise HostError(
            f"cannot write {folder / name}: {error.strerror}", hint="name another folder with --state"
        ) from error
