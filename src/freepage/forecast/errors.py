"""The error of a trace that cannot be used, said with its row and column."""

from __future__ import annotations

from freepage.errors import FreepageError


class TraceError(FreepageError):
    """A trace of a VM cannot be read, or has a value that can only be wrong."""

    exit_status = 2
