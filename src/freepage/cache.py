"""The folder for what can be made again: worker binaries, guest images, the accelerator's answer."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Give freepage's cache folder ($XDG_CACHE_HOME or ~/.cache), made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "freepage"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
