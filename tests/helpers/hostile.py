"""Words by which a guest, an object or a server might try to be more than words."""

from __future__ import annotations

HOSTILE = "[red]x[/] [/nothing] \x1b[2J\x9b31m\r\nFORGED row\u2028FORGED\u202e\x07\ud800"


def assert_harmless(printed):
    """Assert that nothing HOSTILE says has become an escape, a line where ours begin, or markup."""
    assert all(c.isprintable() or c == "\n" for c in printed)
    assert not [line for line in printed.split("\n") if line.startswith(("FORGED", " FORGED", "  FORGED"))]
    assert printed.count("[red]") == printed.count("[/nothing]")
