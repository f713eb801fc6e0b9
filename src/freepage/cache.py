"""The folder for files that can be made again: worker binaries, guest images, the accelerator's answer."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from freepage.errors import HostError


def cache_folder() -> Path:
    """Return freepage's cache folder ($XDG_CACHE_HOME or ~/.cache), made if it is not there; HostError if it cannot be."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    base = Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache"
    folder = base / "freepage"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"cannot make the cache folder {folder}: {error.strerror}",
            hint="set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    return folder


def keep(name: str, content: bytes) -> Path:
    """Return the file of that name in the cache, written in one step if it is not there; HostError if it cannot be."""
    path = cache_folder() / name
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
            temporary.write(content)
        Path(temporary.name).replace(path)
    return path
