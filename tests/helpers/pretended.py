"""Programs that a test pretends."""

from __future__ import annotations


def pretend(folder, name, script):
    """Put a program of this name first on the PATH."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
