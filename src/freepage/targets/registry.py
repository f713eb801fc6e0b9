"""Every target by name: a new one is a package with an entry, and a line here."""

from __future__ import annotations

from freepage.targets.cluster.entry import CLUSTER
from freepage.targets.local.entry import LOCAL

# The first is the default.
TARGETS = {entry.name: entry for entry in (LOCAL, CLUSTER)}
