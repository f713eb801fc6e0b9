"""Folders that many tests begin with are made once in a process and copied."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

_made: dict[str, Path] = {}


def copy_made(folder, write, arguments):
    """Copy into `folder` what `write(folder, *arguments)` writes; it is called once for each repr of the arguments."""
    key = f"{write.__module__} {arguments!r}"
    if key not in _made:
        home = Path(_home().name) / str(len(_made))
        write(home, *arguments)
        _made[key] = home
    shutil.copytree(_made[key], folder, dirs_exist_ok=True)


@cache
def _home():
    """Return a folder that goes with the process."""
    return tempfile.TemporaryDirectory(prefix="made-once-")
