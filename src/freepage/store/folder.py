"""The run folder: its files, made ready for a run, and JSON that is written whole or not at all."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from freepage.errors import RunFolderError

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"
PLAN = "plan.json"
STUDY = "study.toml"
RESULTS = "results.json"
REPORT = "report.html"
PROMETHEUS = "prometheus.json"
PROMETHEUS_SAMPLES = "prometheus.parquet"
_OURS = (
    MANIFEST,
    PLAN,
    STUDY,
    RESULTS,
    REPORT,
    PROMETHEUS,
    PROMETHEUS_SAMPLES,
    "trials",
    "figures",
    "tables",
)


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise RunFolderError when `folder` holds anything; with `force`, when it holds what is no part of a run."""
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is not a folder", hint="choose another --out")
    entries = sorted(folder.iterdir()) if folder.exists() else []
    if entries and not force:
        raise RunFolderError(
            f"the output folder {folder} is not empty ({entries[0].name} is in it)",
            hint="choose another --out, or --force to replace an earlier run",
        )
    foreign = [e.name for e in entries if e.name not in _OURS]
    if foreign:
        raise RunFolderError(
            f"{folder} holds {foreign[0]}, which is no part of a run",
            hint="--force replaces nothing but a run; choose another --out",
        )


def prepare_folder(folder: Path, *, force: bool) -> None:
    """Make `folder` empty for a run; an earlier run in it is removed. Raises what check_folder raises."""
    check_folder(folder, force=force)
    for entry in folder.iterdir() if folder.exists() else ():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (folder / "trials").mkdir(parents=True, exist_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write `content` as JSON in one step: readers see the old file or the new one."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; RunFolderError when it is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFolderError(
            f"{path} is missing", hint="give the folder that `freepage run --out` wrote"
        ) from error
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{path} is not JSON: {error}") from error
