"""What QEMU needs beside a guest's memory."""

from __future__ import annotations

from freepage.units import MIB

# At least, most likely and at most, from published settled points of a 16 GiB guest: 0.087 to 0.115 GiB.
OVERHEAD_RANGE_BYTES = (89 * MIB, 100 * MIB, 118 * MIB)
